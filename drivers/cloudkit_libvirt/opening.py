"""Opening a connection to libvirt. libvirt itself would wait for ever for a daemon that accepts and says nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import libvirt

from cloudkit_libvirt.errors import code_of
from cloudkit_libvirt.events import ensure_event_loop
from cloudkit_libvirt.ssh_transport import is_openssh

KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_COUNT = 3
"""A daemon that hangs is given up when it has not answered so many questions, one each KEEPALIVE_INTERVAL_S."""
OPEN_TIMEOUT_S = 30.0

_LOST_REASON = "Broken pipe"
"""All that libvirt says where ssh has ended before it was spoken to; what ssh said of the reason is not read then."""
_TRIES = 4
"""The reason is lost once in sixty times (measured)."""

T = TypeVar("T")


class Attempt(Future[T]):
    """An attempt to open something, in a thread of its own; it goes on when nobody waits for it any longer."""

    def __init__(self, open: Callable[[], T]) -> None:
        """Begin."""
        super().__init__()
        threading.Thread(target=self._run, args=(open,), name="cloudkit-libvirt-open", daemon=True).start()

    def _run(self, open: Callable[[], T]) -> None:
        try:
            self.set_result(open())
        except BaseException as error:
            self.set_exception(error)

    def in_time(self) -> T:
        """What comes of it; raises TimeoutError after OPEN_TIMEOUT_S."""
        return self.result(OPEN_TIMEOUT_S)


def opened(uri: str) -> libvirt.virConnect:
    """A connection that ends when its daemon does not answer any longer."""
    ensure_event_loop()
    virt = _opened(uri)
    try:
        optional(lambda: virt.setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT))
    except BaseException:
        virt.close()
        raise
    return virt


def _opened(uri: str) -> libvirt.virConnect:
    for _ in range(_TRIES - 1):
        try:
            return libvirt.open(uri)
        except libvirt.libvirtError as error:
            if not is_openssh(uri) or _LOST_REASON not in str(error):
                raise
    return libvirt.open(uri)


def optional(call: Callable[[], Any]) -> Any:
    """What the call gives, or None where the hypervisor's driver does not have it."""
    try:
        return call()
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return None
