"""What the suite must know of a back-end beyond what its driver declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloudkit import Cloud, Network
from cloudkit.cli.story import BLANK_IMAGE

_BOOT_CODE = bytes.fromhex(
    "fb"  #             sti
    "ba0206 b80001 ef"  # PM1_EN: the power button is an event
    "f4"  #       wait: hlt, until the next tick of the timer
    "ba0006 ed"  #      PM1_STS
    "f6c401 74f6"  #    no power button: wait
    "ba0406 b80020 ef"  # PM1_CNT: sleep in S5, which is off
    "ebed"  #           wait
)
IDLE_IMAGE = _BOOT_CODE + BLANK_IMAGE[len(_BOOT_CODE) :]
"""A raw disk of 1 MiB whose guest sleeps until somebody presses the power button: it takes no time of the machine's.

For a PC as QEMU has it, with SeaBIOS, which puts the registers of power management at 0x600 (its dev-piix.h and
dev-q35.h); they are those of ACPI 6.5, 4.8.3.
"""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A back-end that the suite runs against, on behalf of an administrator.

    Attributes:
        name: the title of its column in the matrix.
        connect: opens a Cloud in the project that the suite works in.
        other_project: a second project, in which there is nothing.
        image: the bytes or the file of an image that its servers boot, or the name of one that is there where none
            can be uploaded. With ``servers.ssh`` the image's guest lets ``user`` in by the server's key pair.
        idle_image: what servers boot instead that nobody logs in to, where the guest of ``image`` takes the machine's
            time; ``IDLE_IMAGE`` for a PC with a BIOS.
        user: the guest's login user.
        ram_mib, disk_gib: the size of the suite's servers.
        login_timeout_s: how long a server may take from ACTIVE to its first login, in real seconds.
        join: puts the tests' own host on a network that it does not reach by itself; what is created for it through
            the given Cloud is deleted with the network.
        network: a network with a subnet that is there, for back-ends where none can be made.
        external_network: the network that floating IPs are from; None for the only external one.
        settle_s: how long after an answer network and disks may still be as they were before, in real seconds.
        cidr: a /16 that is free; subnets are cut from it.
        vlan_ids: first and last of a range that is free.
        floor: capabilities that it must declare.
        never: capabilities that it cannot have by its nature; the matrix tells them from those that are to come.
    """

    name: str
    connect: Callable[[], Cloud]
    other_project: str = "conformance-other"
    image: bytes | Path | str = BLANK_IMAGE
    idle_image: bytes | Path | None = None
    user: str = "root"
    ram_mib: int = 128
    disk_gib: int = 1
    login_timeout_s: float = 120.0
    join: Callable[[Cloud, Network], None] | None = None
    network: str | None = None
    external_network: str | None = None
    settle_s: float = 0.0
    cidr: str = "10.213.0.0/16"
    vlan_ids: tuple[int, int] = (3001, 3099)
    floor: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
