"""What fake servers use: it grows with the time that they run, and looks like an idle machine's."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from cloudkit.meters import sample
from cloudkit.types import Sample, Server, ServerStatus

_RAN, _SINCE = "ran_s", "runs_since"
_KEEPS_COUNTING = frozenset(
    {ServerStatus.PAUSED, ServerStatus.SUSPENDED, ServerStatus.REBOOT, ServerStatus.HARD_REBOOT}
)
_CPU_SHARE = 0.05
_MEMORY_SHARE = 0.25
_PER_SECOND = {
    "disk.device.read.bytes": 4096,
    "disk.device.read.requests": 1,
    "disk.device.write.bytes": 8192,
    "disk.device.write.requests": 2,
    "network.incoming.bytes": 120,
    "network.incoming.packets": 2,
    "network.outgoing.bytes": 60,
    "network.outgoing.packets": 1,
}


def note(secret: dict[str, Any], before: ServerStatus, after: ServerStatus, at: float) -> None:
    """A server's status has changed at a time."""
    was, runs = before is ServerStatus.ACTIVE, after is ServerStatus.ACTIVE
    if was and not runs:
        secret[_RAN] = _ran_s(secret, at)
        secret.pop(_SINCE, None)
    elif runs and not was:
        secret[_SINCE] = at
        if before not in _KEEPS_COUNTING:
            secret[_RAN] = 0.0


def samples_of(
    server: Server, secret: dict[str, Any], port_ids: list[str], now: float, time: datetime
) -> tuple[Sample, ...]:
    """The samples of a server; one that does not run has a size only."""
    make = partial(sample, server_id=server.id, timestamp=time)
    found = [make("vcpus", secret["vcpus"]), make("memory", secret["ram_mib"])]
    if server.status is not ServerStatus.ACTIVE:
        return tuple(found)
    ran_s = _ran_s(secret, now)
    found.append(make("cpu", ran_s * secret["vcpus"] * _CPU_SHARE * 1e9))
    found.append(make("memory.usage", secret["ram_mib"] * _MEMORY_SHARE))
    taps = [f"tap{port_id[:11]}" for port_id in port_ids]
    for name, rate in _PER_SECOND.items():
        devices = ["vda"] if name.startswith("disk.") else taps
        found += [make(name, ran_s * rate, device=device) for device in devices]
    return tuple(found)


def _ran_s(secret: dict[str, Any], now: float) -> float:
    return float(secret.get(_RAN, 0.0) + (now - secret.get(_SINCE, now)))
