"""What a server uses, as samples: libvirt's statistics by Ceilometer's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from cloudkit.meters import sample
from cloudkit.types import Sample

_DISK = {
    "disk.device.read.bytes": "rd.bytes",
    "disk.device.read.requests": "rd.reqs",
    "disk.device.write.bytes": "wr.bytes",
    "disk.device.write.requests": "wr.reqs",
}
_NETWORK = {
    "network.incoming.bytes": "rx.bytes",
    "network.incoming.packets": "rx.pkts",
    "network.outgoing.bytes": "tx.bytes",
    "network.outgoing.packets": "tx.pkts",
}


def size_samples(server_id: str, vcpus: int, ram_mib: int, now: datetime) -> list[Sample]:
    """What every server has, also one that does not run."""
    make = partial(sample, server_id=server_id, timestamp=now)
    return [make("vcpus", vcpus), make("memory", ram_mib)]


def usage_samples(
    server_id: str, stats: Mapping[str, Any], taps: tuple[str, ...], seed_path: str, now: datetime
) -> Iterator[Sample]:
    """What a running server uses.

    Args:
        stats: of libvirt's domainListGetStats.
        taps: names for its interfaces, in their order.
        seed_path: the one disk that is no disk of the user's.
    """
    make = partial(sample, server_id=server_id, timestamp=now)
    if "cpu.time" in stats:
        yield make("cpu", stats["cpu.time"])
    if (used := _memory_kib(stats)) is not None:
        yield make("memory.usage", used >> 10)
    for prefix in _each(stats, "block"):
        if stats.get(f"{prefix}.path") != seed_path:
            for name, key in _DISK.items():
                if f"{prefix}.{key}" in stats:
                    yield make(name, stats[f"{prefix}.{key}"], device=stats[f"{prefix}.name"])
    for prefix, tap in zip(_each(stats, "net"), taps, strict=False):
        for name, key in _NETWORK.items():
            if f"{prefix}.{key}" in stats:
                yield make(name, stats[f"{prefix}.{key}"], device=tap)


def _each(stats: Mapping[str, Any], what: str) -> Iterator[str]:
    return (f"{what}.{number}" for number in range(stats.get(f"{what}.count", 0)))


def _memory_kib(stats: Mapping[str, Any]) -> int | None:
    """What the guest says that it uses; its balloon driver tells it after a while, if there is one."""
    available, unused = stats.get("balloon.available"), stats.get("balloon.unused")
    return None if available is None or unused is None else max(0, available - unused)
