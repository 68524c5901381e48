"""The addresses that this host can reach by itself, so that no subnet hides them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

ROUTES = Path("/proc/net/route")


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


def local_routes(path: Path = ROUTES) -> list[tuple[str, IPv4Network]]:
    """The routes of this host; none where it does not tell."""
    try:
        return list(parse_routes(path.read_text()))
    except OSError:
        return []
