"""The bed as a target of the conformance suite, with all that its host's network can do."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bare_driver import current_bed, guest_path
from bed import LibvirtBed
from conformance_floor import FLOOR
from saved_guest import connect

from cloudkit.conformance import IDLE_IMAGE, Target
from cloudkit.conformance.lab import Lab

ROUTED = {"host_network": "on", "external_cidr": ""}
"""The external network is made by the target, as the bed must be left empty."""


@contextmanager
def system_lab(folder: Path) -> Generator[Lab]:
    """A lab of its own on the current bed: what is asked there does not count in the conformance matrix."""
    with system_target(current_bed()) as target, Lab(target, folder) as lab:
        yield lab


@contextmanager
def system_target(bed: LibvirtBed) -> Generator[Target]:
    """The target, which has an external network as long as it is used."""
    with connect(bed, **ROUTED) as admin, admin.scope("external") as mine:
        mine.networks.create("public", cidr="172.24.4.0/24", external=True)
        yield Target(
            name="libvirt system",
            connect=lambda: connect(bed, **ROUTED),
            image=guest_path(),
            idle_image=IDLE_IMAGE,
            floor=FLOOR["libvirt system"],
        )
