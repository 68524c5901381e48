"""A session with a server's serial console."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from cloudkit import _checks as checks
from cloudkit._context import Context
from cloudkit.driver import ConsoleStream
from cloudkit.errors import Closed, CloudError
from cloudkit.types import Server


class Console:
    """A server's serial console as a terminal: bytes to type, bytes that it prints. Closes itself as a context.

    Attributes:
        server: whose console it is, as it was when the session began.
    """

    def __init__(self, context: Context, server: Server, stream: ConsoleStream) -> None:
        """Made by ``cloud.servers.console``."""
        self.server = server
        self._context = context
        self._stream = stream
        self._closed = False

    def send(self, data: bytes) -> None:
        """Type; Enter is a carriage return.

        Raises:
            Closed: the session has ended, by ``close`` or with the guest's power.
        """
        with self._using():
            self._context.call(self._stream.send, checks.octets(data, "data"))

    def receive(self, timeout_s: float = 10.0) -> bytes:
        """What it has printed since the last call: at least one byte, or nothing once the session has ended.

        What was printed before the session began is in ``console_log``.

        Raises:
            WaitTimeout: nothing was printed for ``timeout_s`` seconds.
            Closed: ``close`` was called.
        """
        with self._using():
            return self._context.call(self._stream.receive, checks.seconds(timeout_s))

    def close(self) -> None:
        """Let others open it; harmless when done already."""
        if not self._closed:
            self._closed = True
            self._stream.close()

    @contextmanager
    def _using(self) -> Generator[None]:
        # A session is one verb: what is typed and read is not logged.
        try:
            if self._closed:
                raise Closed("this console was closed")
            yield
        except CloudError as error:
            error.add_context(driver=self._context.driver.name, operation="servers.console", resource=self.server)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
