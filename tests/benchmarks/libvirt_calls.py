"""Counting what a client asks of libvirtd, which a machine that is busy with other things does not change."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import libvirt  # type: ignore[import-untyped, unused-ignore]

_WITHOUT_DAEMON = (
    "GetName", "GetUUID", "GetUUIDString", "GetConnect", "GetLastError", "ResetLastError", "Free", "IsAlive",
    "StreamNew", "EventRunDefaultImpl",
)  # fmt: skip


class _Counting:
    """Stands for the binding's C module, whose functions are libvirt's own."""

    def __init__(self, module: Any, counts: Counter[str]) -> None:
        self._module = module
        self._counts = counts
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._module, name)
        return member if name.endswith(_WITHOUT_DAEMON) else self._counted(name, member)

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            with self._lock:
                self._counts[name] += 1
            return call(*arguments)

        return counted


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Calls to the daemon that are made in the body, by the names of libvirt's functions."""
    counts: Counter[str] = Counter()
    module = libvirt.libvirtmod
    libvirt.libvirtmod = _Counting(module, counts)
    try:
        yield counts
    finally:
        libvirt.libvirtmod = module
