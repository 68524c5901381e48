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
from open_vswitch import OpenVSwitch

from cloudkit_libvirt.hostnet.switch import VXLAN_ID

SWITCH = "cloudkit"
UNDERLAY = "underlay"
HERE, PEER = "10.99.0.1", "10.99.0.2"
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
def other_host(bed: LibvirtBed, vlan_id: int, address: str) -> Generator[None]:
    """A second host, reached by an ordinary wire, on whose switch is a machine that tells who connects his address.

    Its addresses are ``PEER``, and this host's ``HERE``; its switch is joined with this host's by VXLAN.
    """
    hold = ["unshare", "--net", "sh", "-c", "ip link set lo up; echo $$; exec sleep infinity"]
    holder = subprocess.Popen(bed.inner_command(hold), stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    pid = holder.stdout.readline().strip()
    enter = ["nsenter", f"--net=/proc/{pid}/ns/net", "--"]
    there = OpenVSwitch(bed, "elsewhere", enter)
    try:
        _inside(bed, f"ip link add ckuhere type veth peer name ckuthere netns {pid}")
        there.start()
        for switch, device, ip, way in ((bed.open_vswitch, "ckuhere", HERE, []), (there, "ckuthere", PEER, enter)):
            # Open vSwitch sends tunnels itself where the kernel does not, from an address on a bridge of its own.
            switch.vsctl("add-br", UNDERLAY, "--", "set", "Bridge", UNDERLAY, "datapath_type=netdev")
            switch.vsctl("add-port", UNDERLAY, device)
            for line in (
                f"ip address add {ip}/24 dev {UNDERLAY}",
                f"ip link set {UNDERLAY} up",
                f"ip link set {device} up",
            ):
                _inside(bed, line, way)
        there.vsctl("add-br", SWITCH, "--", "set", "Bridge", SWITCH, "datapath_type=netdev")
        tunnel = ["type=vxlan", f"options:remote_ip={HERE}", f"options:key={VXLAN_ID}"]
        there.vsctl("add-port", SWITCH, "tunnel", "--", "set", "Interface", "tunnel", *tunnel)
        machine = ["--", "set", "Interface", "machine", "type=internal"]
        there.vsctl("add-port", SWITCH, "machine", f"tag={vlan_id}", *machine)
        _inside(bed, f"ip address add {address}/24 dev machine", enter)
        _inside(bed, "ip link set machine up", enter)
        # The process within the bed ends with the one outside that is known here.
        with _serving(bed.inner_command([*enter, "setpriv", "--pdeathsig=KILL", sys.executable, "-c", SERVE])):
            yield
    finally:
        bed.open_vswitch.vsctl("--if-exists", "del-br", UNDERLAY)
        # Both hosts' processes have the same name.
        bed.kill("ovs")
        bed.kill("sleep")
        holder.communicate()
        bed.open_vswitch.start()


def _inside(bed: LibvirtBed, line: str, way: Sequence[str] = ()) -> None:
    subprocess.run(bed.inner_command([*way, *line.split()]), check=True, capture_output=True)


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
    with _serving(bed.command(["ip", "netns", "exec", namespace, sys.executable, "-c", *script])) as process:
        yield process


@contextmanager
def _serving(command: Sequence[str]) -> Generator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()
