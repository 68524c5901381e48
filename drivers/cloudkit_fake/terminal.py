"""A fake server's serial console as a terminal: a getty that echoes, and lets nobody in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cloudkit.errors import Closed, WaitTimeout

_ENTER, _ERASE = b"\r\n", b"\x08\x7f"


class Terminal:
    """See :class:`cloudkit.driver.ConsoleStream`."""

    def __init__(self, hostname: str, on_close: Callable[[Terminal], object]) -> None:
        """``on_close`` is called when a session is closed."""
        self._prompt = f"{hostname} login: ".encode()
        self._on_close = on_close
        self._output = bytearray()
        self._line = bytearray()
        self._asks_password = False
        self._ended = False
        self._changed = threading.Condition()

    def send(self, data: bytes) -> None:
        """Type into it."""
        with self._changed:
            if self._ended:
                raise Closed("the session with the console has ended", driver="fake")
            for byte in data:
                self._type(byte)
            self._changed.notify_all()

    def receive(self, timeout_s: float) -> bytes:
        """What it has answered since."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._output:
                if self._ended:
                    return b""
                left = deadline - time.monotonic()
                if left <= 0:
                    raise WaitTimeout(f"the console printed nothing for {timeout_s:g} s", driver="fake")
                self._changed.wait(left)
            data = bytes(self._output)
            self._output.clear()
        return data

    def close(self) -> None:
        """End the session."""
        self.end()
        self._on_close(self)

    def end(self) -> None:
        """The guest's power went."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _type(self, byte: int) -> None:
        if byte in _ENTER:
            self._output += b"\r\n"
            self._enter(bytes(self._line))
            self._line.clear()
        elif byte in _ERASE:
            if self._line:
                self._line.pop()
                self._output += b"" if self._asks_password else b"\b \b"
        else:
            self._line.append(byte)
            # A password is not shown.
            self._output += b"" if self._asks_password else bytes([byte])

    def _enter(self, line: bytes) -> None:
        if self._asks_password:
            self._asks_password = False
            self._output += b"\r\nLogin incorrect\r\n" + self._prompt
        elif line:
            self._asks_password = True
            self._output += b"Password: "
        else:
            self._output += self._prompt
