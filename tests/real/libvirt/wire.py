"""What is outside of the host: machines on the switch's VLANs, and somebody who listens at its trunk."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address

from bed import LibvirtBed
from guarded_server import SERVE

SWITCH = "cloudkit"
LISTEN = """
import socket, struct, sys
ETH_P_ALL, SOL_PACKET, PACKET_AUXDATA, TAGGED = 3, 263, 8, 1 << 4
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as wire:
    # See packet(7): the kernel takes the tag off, and tells it beside the packet.
    wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    wire.bind((sys.argv[1], 0))
    print("ready", flush=True)
    while True:
        frame, extra, _, _ = wire.recvmsg(2048, 64)
        (status, _, _, _, _, tci, _) = struct.unpack("IIIHHHH", extra[0][2])
        print(tci & 0xFFF if status & TAGGED else 0, frame.hex(), flush=True)
"""


@contextmanager
def on_vlan(bed: LibvirtBed, vlan_id: int, address: str) -> Generator[list[str]]:
    """A machine with a plug in a VLAN, that tells who connects his own address; gives what runs commands there."""
    with _machine(bed, [f"tag={vlan_id}"]) as (namespace, device):
        # The same each time, as guests remember it.
        mac = f"02:00:{ip_address(address).packed.hex(':')}"
        bed.run(["ip", "-n", namespace, "link", "set", device, "address", mac])
        bed.run(["ip", "-n", namespace, "address", "add", f"{address}/24", "dev", device])
        with _running(bed, namespace, [SERVE]):
            yield bed.command(["ip", "netns", "exec", namespace])


@contextmanager
def trunk(bed: LibvirtBed) -> Generator[subprocess.Popen[str]]:
    """All that passes the switch, line by line: its VLAN, or 0 for none, and the packet without the tag."""
    with _machine(bed, []) as (namespace, device), _running(bed, namespace, [LISTEN, device]) as process:
        yield process


@contextmanager
def _machine(bed: LibvirtBed, port: Sequence[str]) -> Generator[tuple[str, str]]:
    name = f"ckw{uuid.uuid4().hex[:8]}"
    bed.run(["ip", "netns", "add", name])
    try:
        bed.open_vswitch.vsctl("add-port", SWITCH, name, *port, "--", "set", "Interface", name, "type=internal")
        try:
            bed.run(["ip", "link", "set", name, "netns", name])
            bed.run(["ip", "-n", name, "link", "set", name, "up"])
            yield name, name
        finally:
            bed.open_vswitch.vsctl("--if-exists", "del-port", SWITCH, name)
    finally:
        bed.run(["ip", "netns", "delete", name])


@contextmanager
def _running(bed: LibvirtBed, namespace: str, script: Sequence[str]) -> Generator[subprocess.Popen[str]]:
    command = bed.command(["ip", "netns", "exec", namespace, sys.executable, "-c", *script])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()
