"""Opening a connection to libvirt. libvirt itself would wait for ever for a daemon that accepts and says nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import libvirt

from cloudkit_libvirt.errors import code_of
from cloudkit_libvirt.events import ensure_event_loop
from cloudkit_libvirt.ssh_transport import asked, is_openssh

KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_COUNT = 3
"""A daemon that hangs is given up when it has not answered so many questions, one each KEEPALIVE_INTERVAL_S."""
OPEN_TIMEOUT_S = 30.0

_NO_REASON = ("Broken pipe", "Value too large")
"""All that libvirt says where ssh has ended before it was spoken to (once in sixty times, measured), and where ssh
has said more than 1024 bytes: so it does of a changed host key, if the path of known_hosts is long."""

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
    """A connection that ends when its daemon does not answer any longer.

    Raises:
        libvirt.libvirtError: it cannot be opened.
        HostKeyChanged, HostKeyUnknown, Unauthenticated: that is how ssh ended, and libvirt does not say it.
    """
    ensure_event_loop()
    virt = _opened(uri)
    try:
        optional(lambda: virt.setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT))
    except BaseException:
        virt.close()
        raise
    return virt


def _opened(uri: str) -> libvirt.virConnect:
    try:
        return libvirt.open(uri)
    except libvirt.libvirtError as error:
        if is_openssh(uri) and any(words in str(error) for words in _NO_REASON):
            refusal = asked(uri)
            if refusal is not None:
                raise refusal from error
        raise


def optional(call: Callable[[], Any]) -> Any:
    """What the call gives, or None where the hypervisor's driver does not have it."""
    try:
        return call()
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return None
