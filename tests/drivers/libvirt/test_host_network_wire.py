"""What the Ethernet table lets a guest send: its own, and nothing that only a router or a neighbour may say."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import uuid
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from cloudkit._slaac import link_local, slaac_address
from cloudkit_libvirt.hostnet.rules import render
from cloudkit_libvirt.hostnet.topology import Group, Guest, Segment, Topology

GROUP = str(uuid.UUID(int=1))
PREFIX = IPv6Network("fd00:1::/64")
MAC, OTHER_MAC = "52:54:00:00:00:01", "52:54:00:00:00:02"
OWN, OTHER = slaac_address(PREFIX, MAC), slaac_address(PREFIX, OTHER_MAC)
LINK_LOCAL, OTHER_LINK_LOCAL = link_local(MAC), link_local(OTHER_MAC)
NS, NA, RS, RA, REDIRECT, ECHO = 135, 136, 133, 134, 137, 128


def guest(number: int, mac: str, ip6: str) -> Guest:
    return Guest(tap=f"ckt{number}", bridge="cka", mac=mac, ip=f"10.1.0.{number + 1}", group_ids=(GROUP,), ip6=ip6)


TOPOLOGY = Topology(
    segments=(
        Segment(network="ck-a", bridge="cka", cidr=IPv4Network("10.1.0.0/24")),
        Segment(network="ck-a", bridge="cka", cidr=PREFIX),
    ),
    guests=(guest(1, MAC, OWN), guest(2, OTHER_MAC, OTHER)),
    groups=(Group(id=GROUP, rules=()),),
)


def frame(payload: bytes, ethertype: int, mac: str = MAC) -> str:
    ethernet = bytes.fromhex((OTHER_MAC + mac).replace(":", "")) + ethertype.to_bytes(2, "big")
    return (ethernet + payload).ljust(60, b"\0").hex()


def packed(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def ipv6(source: str, protocol: int, payload: bytes, mac: str = MAC) -> str:
    header = bytes([0x60, 0, 0, 0]) + len(payload).to_bytes(2, "big") + bytes([protocol, 255])
    return frame(header + packed(source) + packed(OTHER) + payload, 0x86DD, mac)


def icmpv6(source: str, type: int, target: str = OWN, mac: str = MAC) -> str:
    return ipv6(source, 58, bytes([type, 0, 0, 0, 0, 0, 0, 0]) + packed(target), mac)


def udp(source: str, sport: int, dport: int) -> str:
    return ipv6(source, 17, sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + bytes([0, 8, 0, 0]))


def arp(sender: str) -> str:
    request = bytes([0, 1, 8, 0, 6, 4, 0, 1]) + bytes.fromhex(MAC.replace(":", "")) + packed(sender)
    return frame(request + bytes(6) + packed("10.1.0.3"), 0x0806)


LET_THROUGH = {
    "its own address": icmpv6(OWN, ECHO),
    "its neighbours' address": icmpv6(LINK_LOCAL, ECHO),
    "who has": icmpv6(OWN, NS, OTHER),
    "I have": icmpv6(OWN, NA, OWN),
    "I have, by the other address": icmpv6(LINK_LOCAL, NA, OWN),
    "I have the neighbours' address": icmpv6(LINK_LOCAL, NA, LINK_LOCAL),
    "has anybody this": icmpv6("::", NS, OWN),
    "is there a router": icmpv6(LINK_LOCAL, RS),
    "a DHCP client": udp(LINK_LOCAL, 546, 547),
    "ARP of its own": arp("10.1.0.2"),
}
KEPT_BACK = {
    "another's address": icmpv6(OTHER, ECHO),
    "another's neighbours' address": icmpv6(OTHER_LINK_LOCAL, ECHO),
    "an address of nobody": icmpv6("fd00:1::77", ECHO),
    "no address": icmpv6("::", ECHO),
    "another's MAC": icmpv6(OWN, ECHO, mac=OTHER_MAC),
    "I have another's address": icmpv6(OWN, NA, OTHER),
    "I have another's neighbours' address": icmpv6(LINK_LOCAL, NA, OTHER_LINK_LOCAL),
    "I am a router": icmpv6(LINK_LOCAL, RA),
    "go another way": icmpv6(LINK_LOCAL, REDIRECT),
    "a DHCP server": udp(LINK_LOCAL, 547, 546),
    "ARP of another": arp("10.1.0.3"),
}


@pytest.mark.skipif(shutil.which("nft") is None or shutil.which("ip") is None, reason="nft or ip is not installed")
def test_a_guest_sends_its_own_and_says_what_is_true() -> None:
    # Security groups have a table of their own.
    rules = render(TOPOLOGY, str(uuid.UUID(int=9)))
    ethernet = rules[rules.index("table bridge cloudkit {") :]
    given = {"rules": ethernet, "bridge": "cka", "taps": ["ckt1", "ckt2"], "frames": LET_THROUGH | KEPT_BACK}
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", sys.executable, str(Path(__file__).with_name("wire.py"))],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or "Operation not supported" in done.stderr:
        pytest.skip("this user may not make such a network namespace")
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads(done.stdout)) == sorted(LET_THROUGH)
