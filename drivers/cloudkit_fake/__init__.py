"""The fake driver: a cloud in memory that behaves as the real ones do.

This module is what the entry point names; the rest is loaded when a fake is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudkit.driver import DRIVER_API, DriverPlugin, Option

if TYPE_CHECKING:
    from cloudkit.driver import Driver, OpenRequest


def _open(request: OpenRequest) -> Driver:
    from cloudkit_fake.driver import open_driver

    return open_driver(request)


def _clock(value: Any) -> str:
    if value not in ("virtual", "real"):
        raise ValueError("it must be virtual or real")
    return str(value)


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds < float("inf"):
        raise ValueError("it must be 0 or more seconds")
    return seconds


def _path(value: Any) -> Path:
    if not value:
        raise ValueError("it must name a file")
    path = Path(value).expanduser().absolute()
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} does not exist")
    return path


def _quotas(value: Any) -> Mapping[str, int]:
    if isinstance(value, str):
        pairs = [item.partition("=") for item in filter(None, value.split(","))]
        value = {name.strip(): number for name, _, number in pairs}
    if not hasattr(value, "items"):
        raise ValueError("it must be as servers=3,volumes=2")
    given: Mapping[Any, Any] = value
    quotas = {str(name): int(number) for name, number in given.items()}

    from cloudkit_fake.cloud import DEFAULT_QUOTAS

    for name in quotas:
        if name not in DEFAULT_QUOTAS:
            raise ValueError(f"there is no quota {name!r}; known: {', '.join(DEFAULT_QUOTAS)}")
    return quotas


PLUGIN = DriverPlugin(
    name="fake",
    api=DRIVER_API,
    open=_open,
    options=(
        Option("path", "a file that keeps the cloud, shared by processes; without it, it lives in memory", _path),
        Option("clock", "virtual (moves by waits only) or real; virtual in memory, real in a file", _clock),
        Option("boot_seconds", "how long a server boots; 5 on the virtual clock, 0 on the real one", _seconds),
        Option("task_seconds", "how long other tasks take; 1 on the virtual clock, 0 on the real one", _seconds),
        Option("quotas", "as servers=3,volumes=2; -1 for no limit", _quotas, {}),
    ),
    story={"user": "cirros", "flavor": "m1.tiny", "external_network": "public"},
)
