"""A shell in a server: commands with their status and output, files both ways."""

from __future__ import annotations

import logging
import os
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from cloudkit.errors import Closed, CommandFailed, InvalidRequest, SshError, Unavailable, WaitTimeout
from cloudkit.ssh import transfer
from cloudkit.ssh.exchange import Exchange, NotTaken, TimedOut
from cloudkit.ssh.paramiko_module import close_transport, is_alive, load_paramiko
from cloudkit.types import Endpoint, Server

_log = logging.getLogger("cloudkit.ssh")

_OPEN_CHANNEL_S = 30.0
_TRIES = 3
"""dropbear 2022.83 closes a channel that is opened while it takes leave of the one before (measured: one of 30)."""
_SHOWN = 4000
"""How many characters of what a command printed go into an error's text."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended.

    Attributes:
        exit_status: its exit status; -1 when a signal ended it.
        stdout, stderr: what it printed, decoded as UTF-8; what is not UTF-8 becomes U+FFFD. Fetch binary data by
            :meth:`Shell.get`.
        command: the command line as the server's shell got it.
        duration_s: seconds from asking until its end.
    """

    exit_status: int
    stdout: str
    stderr: str
    command: str
    duration_s: float


class Shell:
    """An SSH connection to a server whose host key was verified; a context manager, usable from several threads.

    Attributes:
        server: the server, as it was when the shell was opened.
        user: the user that is logged in.
        endpoint: where it was reached.
        host_key: its verified host key, as ``"ssh-ed25519 SHA256:…"``.
    """

    def __init__(
        self,
        transport: Any,
        *,
        server: Server,
        user: str,
        endpoint: Endpoint,
        host_key: str,
        on_close: Callable[[], None],
    ) -> None:
        self.server = server
        self.user = user
        self.endpoint = endpoint
        self.host_key = host_key
        self._transport = transport
        self._on_close = on_close
        self._closed = False
        self._close_lock = threading.Lock()

    def run(
        self,
        command: str | Sequence[str],
        *,
        input: str | bytes | None = None,
        sudo: bool = False,
        check: bool = False,
        timeout_s: float | None = None,
    ) -> CommandResult:
        """Run a command and wait for its end.

        Args:
            command: a line for the user's shell, or a list of arguments, which are quoted.
            input: what it reads from stdin; without it, stdin is empty.
            sudo: run it as root by ``sudo -n``, unless root is logged in.
            check: raise CommandFailed when its exit status is not 0.
            timeout_s: how long it may take, in seconds; None for as long as it likes.

        Raises:
            CommandFailed: with ``check``, its exit status was not 0.
            WaitTimeout: it took too long; ``fault`` tells what it had printed. The connection stays usable; the
                command itself may go on in the server.
            Unavailable: the connection broke; whether the command ran to its end is not known.
            Closed: the shell is closed.
        """
        line = self._line(command, sudo)
        out, err = list[bytes](), list[bytes]()
        pieces = () if input is None else (input.encode() if isinstance(input, str) else input,)
        started = time.monotonic()
        try:
            status = self._execute(line, pieces, out.append, err.append, timeout_s)
        except TimedOut:
            raise WaitTimeout(
                f"the command has not ended within {timeout_s:g} s: {line[:200]}",
                resource=self.server,
                fault=_printed(out, err),
                hint="Give it a longer timeout_s. It may still be running in the server.",
            ) from None
        result = CommandResult(status, _decode(out), _decode(err), line, time.monotonic() - started)
        # Not the command: it may hold a password.
        _log.debug(
            "%s: a command ended with status %d after %.0f ms, %d + %d characters",
            self.server.name,
            status,
            result.duration_s * 1000,
            len(result.stdout),
            len(result.stderr),
        )
        if check and status != 0:
            raise CommandFailed(
                f"exit status {status}: {line[:200]}",
                resource=self.server,
                fault=result.stderr[-_SHOWN:].strip() or None,
                exit_status=status,
                stdout=result.stdout,
                stderr=result.stderr,
            )
        return result

    def put(self, local: str | os.PathLike[str], remote: str, *, mode: int | None = None) -> None:
        """Copy a local file to the server; ``remote`` is replaced at once or not at all.

        Args:
            remote: the file's path; a relative one starts at the user's home.
            mode: its permissions, as ``0o644``; None for those of the local file.

        Raises:
            InvalidRequest: the local file cannot be read, or the remote folder does not exist or is not writable.
            Unavailable: the connection broke.
        """
        transfer.put(self, os.fspath(local), remote, mode)

    def get(self, remote: str, local: str | os.PathLike[str]) -> None:
        """Copy a file of the server to a local one; ``local`` is replaced at once or not at all.

        Raises:
            NotFound: there is no such file in the server.
            InvalidRequest: it cannot be read, or the local file cannot be written.
            Unavailable: the connection broke.
        """
        transfer.get(self, remote, os.fspath(local))

    def close(self) -> None:
        """Close the connection; calling it again does nothing."""
        with self._close_lock:
            if self._closed:
                return
            self._closed = True
        close_transport(self._transport)
        self._on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.endpoint.host}:{self.endpoint.port}"
        return f"<Shell {self.user}@{self.server.name} {state}>"

    def _line(self, command: str | Sequence[str], sudo: bool) -> str:
        line = command if isinstance(command, str) else shlex.join(command)
        if not line.strip() or "\0" in line:
            raise InvalidRequest("the command is empty, or holds a NUL")
        if not sudo or self.user == "root":
            return line
        # A shell line as a whole, not only its first command.
        return f"sudo -n sh -c {shlex.quote(line)}" if isinstance(command, str) else f"sudo -n {line}"

    def _execute(
        self,
        line: str,
        pieces: Iterable[bytes],
        on_stdout: Callable[[bytes], object],
        on_stderr: Callable[[bytes], object],
        timeout_s: float | None = None,
    ) -> int:
        """Run a command line, passing on pieces of input and output; the exit status.

        Raises:
            TimedOut: it has not ended within ``timeout_s``.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for tries_left in reversed(range(_TRIES)):
            with self._channel(timeout_s) as channel:
                try:
                    return Exchange(channel, on_stdout, on_stderr, deadline).run(line, pieces)
                except (NotTaken, load_paramiko().SSHException, OSError, EOFError) as error:
                    if not is_alive(self._transport):
                        raise self._broken(error) from error
                    if isinstance(error, NotTaken) and tries_left:
                        continue
                    raise self._refused(error) from error
        raise AssertionError("the last try returns or raises")

    def _channel(self, timeout_s: float | None = None) -> Any:
        """A new channel on the connection."""
        if self._closed:
            raise Closed(f"the shell into {self.server.name} is closed", resource=self.server)
        paramiko = load_paramiko()
        wait_s = min(_OPEN_CHANNEL_S, timeout_s or _OPEN_CHANNEL_S)
        deadline = time.monotonic() + wait_s
        tries_left = _TRIES
        while True:
            tries_left -= 1
            try:
                return self._transport.open_session(timeout=wait_s)
            except paramiko.ChannelException as error:
                raise SshError(
                    f"{self.server.name} refuses one more channel on this connection",
                    resource=self.server,
                    fault=str(error),
                    hint="Run fewer commands at the same time, or open a second shell.",
                ) from error
            except (paramiko.SSHException, OSError, EOFError) as error:
                if time.monotonic() >= deadline:
                    if timeout_s is not None and self._transport.is_active():
                        raise TimedOut from error
                elif is_alive(self._transport):
                    # It was opened, and closed again at once.
                    if tries_left:
                        continue
                    raise self._refused(error) from error
                raise self._broken(error) from error

    def _refused(self, error: Exception) -> SshError:
        return SshError(
            f"{self.server.name} does not run commands for {self.user!r}",
            resource=self.server,
            fault=str(error),
            hint="Look at the SSH server's settings, and at what is allowed to this key there.",
        )

    def _broken(self, error: Exception | None = None) -> Unavailable:
        return Unavailable(
            f"the connection to {self.server.name} broke",
            resource=self.server,
            fault=str(error) if error is not None else None,
            hint="Open a new shell. Whether the command ran to its end is not known.",
        )


def _decode(pieces: list[bytes]) -> str:
    return b"".join(pieces).decode("utf-8", "replace")


def _printed(out: list[bytes], err: list[bytes]) -> str:
    parts = ((name, _decode(pieces)[-_SHOWN:].strip()) for name, pieces in (("stdout", out), ("stderr", err)))
    return "; ".join(f"{name} so far: {text}" for name, text in parts if text) or "it has printed nothing"
