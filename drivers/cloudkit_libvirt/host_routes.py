"""The addresses that this host can reach by itself, so that no subnet hides them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

ROUTES = Path("/proc/net/route")
ROUTES6 = Path("/proc/net/ipv6_route")

_LINK_LOCAL, _MULTICAST = IPv6Network("fe80::/10"), IPv6Network("ff00::/8")
"""Every interface has them."""


def parse_routes(text: str) -> Iterator[tuple[str, IPv4Network]]:
    """Interface and destination of each route of the kernel's table but the default ones."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8:
            continue
        # The kernel prints the four bytes as one number of its own byte order.
        destination, mask = (IPv4Address(struct.pack("=I", int(fields[index], 16))) for index in (1, 7))
        if int(mask):
            yield fields[0], IPv4Network(f"{destination}/{mask}", strict=False)


def parse_routes6(text: str) -> Iterator[tuple[str, IPv6Network]]:
    """The same of IPv6, without what leads to a single address."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) != 10:
            continue
        prefix = int(fields[1], 16)
        network = IPv6Network((IPv6Address(bytes.fromhex(fields[0])), prefix), strict=False)
        everywhere = network.subnet_of(_LINK_LOCAL) or network.subnet_of(_MULTICAST)
        if 0 < prefix < network.max_prefixlen and not everywhere:
            yield fields[9], network


def local_routes(path: Path = ROUTES, path6: Path = ROUTES6) -> list[tuple[str, IPv4Network | IPv6Network]]:
    """The routes of this host; none where it does not tell."""
    return [*parse_routes(_text(path)), *parse_routes6(_text(path6))]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
