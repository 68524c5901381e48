"""The meters of servers, as Ceilometer names and counts them (its documentation, "Telemetry measurements").

For authors of drivers: samples of other meters are valid too, but these are what users find on each back-end.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from cloudkit.types import Sample, SampleType

METERS: Mapping[str, tuple[SampleType, str]] = {
    "vcpus": (SampleType.GAUGE, "vcpu"),
    "memory": (SampleType.GAUGE, "MB"),
    "memory.usage": (SampleType.GAUGE, "MB"),
    "cpu": (SampleType.CUMULATIVE, "ns"),
    "disk.device.read.bytes": (SampleType.CUMULATIVE, "B"),
    "disk.device.read.requests": (SampleType.CUMULATIVE, "request"),
    "disk.device.write.bytes": (SampleType.CUMULATIVE, "B"),
    "disk.device.write.requests": (SampleType.CUMULATIVE, "request"),
    "network.incoming.bytes": (SampleType.CUMULATIVE, "B"),
    "network.incoming.packets": (SampleType.CUMULATIVE, "packet"),
    "network.outgoing.bytes": (SampleType.CUMULATIVE, "B"),
    "network.outgoing.packets": (SampleType.CUMULATIVE, "packet"),
}
"""Name → type and unit."""


def sample(name: str, volume: float, server_id: str, timestamp: datetime, device: str = "") -> Sample:
    """A sample of a server, or of a device of it."""
    type, unit = METERS[name]
    resource_id = f"{server_id}-{device}" if device else server_id
    return Sample(name=name, type=type, unit=unit, volume=int(volume), resource_id=resource_id, timestamp=timestamp)
