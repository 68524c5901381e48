"""One command on one channel: input, both outputs and the exit status at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from cloudkit.ssh.paramiko_module import close_channel, is_alive, load_paramiko

_PIECE = 1 << 18


class TimedOut(Exception):
    """The deadline passed before the command's end."""


class NotTaken(Exception):
    """The channel was closed, or the request denied, before the command was started: it may be tried again."""


class _Wakeup(threading.Event):
    """Set by both of a channel's buffers; only the reader itself resets it.

    A buffer clears its event when it has been emptied. With one event for two buffers, that would lose the news
    from the other one.
    """

    def clear(self) -> None:
        """Called by the buffers; does nothing."""

    def reset(self) -> None:
        """Called by the reader, before it looks into the buffers."""
        super().clear()


class Exchange:
    """Drains stdout and stderr as they come, so that neither can block the other by filling the channel's window."""

    def __init__(
        self,
        channel: Any,
        on_stdout: Callable[[bytes], object],
        on_stderr: Callable[[bytes], object],
        deadline: float | None,
    ) -> None:
        self._channel = channel
        self._on_stdout = on_stdout
        self._on_stderr = on_stderr
        self._deadline = deadline
        self._wakeup = _Wakeup()
        self._expired = False
        self._input_error: Exception | None = None

    def run(self, line: str, pieces: Iterable[bytes]) -> int:
        """Execute and see it through; the exit status, -1 when a signal ended the command.

        Raises:
            TimedOut: the deadline passed.
            NotTaken: the server has not started the command; no piece of the input was read.
            EOFError: the connection broke.
        """
        channel = self._channel
        # Before the command starts, so that no news are missed.
        channel.in_buffer.set_event(self._wakeup)
        channel.in_stderr_buffer.set_event(self._wakeup)
        feeder = None
        try:
            self._start(line)
            feeder = self._feed(pieces)
            while not self._drain():
                self._wait(self._wakeup)
                self._wakeup.reset()
            self._wait(channel.status_event)
        finally:
            close_channel(channel)
            if feeder is not None:
                feeder.join()
        if self._input_error is not None:
            raise self._input_error
        if channel.exit_status == -1 and not is_alive(channel.get_transport()):
            raise EOFError("it was closed before the command's end")
        return int(channel.exit_status)

    def _start(self, line: str) -> None:
        timer = None
        if self._deadline is not None:
            # paramiko waits for the server's answer without a limit.
            timer = threading.Timer(self._deadline - time.monotonic(), self._expire)
            timer.daemon = True
            timer.start()
        try:
            self._channel.exec_command(line)
        except load_paramiko().SSHException as error:
            if self._expired:
                raise TimedOut from None
            # A command that was started is acknowledged before anything else is said of its channel (RFC 4254, 5.4).
            raise NotTaken(str(error)) from error
        finally:
            if timer is not None:
                timer.cancel()

    def _expire(self) -> None:
        self._expired = True
        close_channel(self._channel)

    def _drain(self) -> bool:
        """Pass on what there is; whether that was all there will ever be."""
        channel = self._channel
        # Read before looking: what comes before the end of the file is in the buffers by then.
        ended = channel.eof_received or channel.closed
        while channel.recv_ready():
            self._on_stdout(channel.recv(_PIECE))
        while channel.recv_stderr_ready():
            self._on_stderr(channel.recv_stderr(_PIECE))
        return bool(ended)

    def _wait(self, event: threading.Event) -> None:
        if self._deadline is None:
            event.wait()
        elif not event.wait(max(0.0, self._deadline - time.monotonic())):
            raise TimedOut

    def _feed(self, pieces: Iterable[bytes]) -> threading.Thread | None:
        if not pieces:
            self._channel.shutdown_write()
            return None
        # Sending waits while the command does not read, and it may not read until we have read from it.
        feeder = threading.Thread(target=self._send, args=(pieces,), name="cloudkit-ssh-input", daemon=True)
        feeder.start()
        return feeder

    def _send(self, pieces: Iterable[bytes]) -> None:
        try:
            for piece in pieces:
                self._channel.sendall(piece)
        except (OSError, EOFError):
            # The command has ended, or closed its input, or the connection broke: the reader will see.
            return
        except Exception as error:
            # From reading the input. Without an end of it, the command would wait for ever.
            self._input_error = error
        with suppress(OSError, EOFError):
            self._channel.shutdown_write()
