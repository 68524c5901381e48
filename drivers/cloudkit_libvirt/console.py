"""A session with a domain's serial console: a stream of libvirt's, read by a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress

import libvirt

from cloudkit.errors import Closed, InUse, WaitTimeout
from cloudkit_libvirt.connection import Connection

_CHUNK_BYTES = 64 * 1024
_KEPT_BYTES = 1 << 20
"""What may wait to be received; a guest that prints more waits too."""
_JOIN_S = 5.0


class DomainConsole:
    """See :class:`cloudkit.driver.ConsoleStream`."""

    def __init__(self, connection: Connection, domain: libvirt.virDomain) -> None:
        """Open it; raises InUse."""
        self._stream = connection.virt.newStream()
        self._pieces: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._ended = False
        try:
            domain.openConsole(None, self._stream, libvirt.VIR_DOMAIN_CONSOLE_SAFE)
        except libvirt.libvirtError as error:
            # libvirt has no code of its own for it.
            if "Active console session exists" not in str(error):
                raise
            raise InUse(
                "another session with the server's console is open",
                driver="libvirt",
                fault=error.get_error_message(),
                hint="Close it first: a console serves one at a time.",
            ) from error
        self._reader = threading.Thread(target=self._read, name="cloudkit-libvirt-console", daemon=True)
        self._reader.start()

    def send(self, data: bytes) -> None:
        """Type into it."""
        left = data
        while left:
            with self._changed:
                if self._ended:
                    raise Closed("the session with the console has ended", driver="libvirt")
            left = left[int(self._stream.send(left)) :]

    def receive(self, timeout_s: float) -> bytes:
        """What was printed since."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._pieces:
                if self._ended:
                    return b""
                left = deadline - time.monotonic()
                if left <= 0:
                    raise WaitTimeout(f"the console printed nothing for {timeout_s:g} s", driver="libvirt")
                self._changed.wait(left)
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._changed.notify_all()
        return data

    def close(self) -> None:
        """End the session."""
        self._end()
        with suppress(libvirt.libvirtError):
            self._stream.abort()
        self._reader.join(_JOIN_S)

    def _read(self) -> None:
        try:
            while piece := self._stream.recv(_CHUNK_BYTES):
                with self._changed:
                    self._pieces.append(piece)
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._ended or sum(map(len, self._pieces)) < _KEPT_BYTES)
        except libvirt.libvirtError:
            # The guest's power went, or the connection.
            pass
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
