"""Files to and from a server: by SFTP, or through ``cat`` where the server has no SFTP (dropbear often has none).

Both ways write to a new name beside the target and rename, so that nobody ever sees half a file.
"""

from __future__ import annotations

import errno
import os
import secrets
import shlex
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

from cloudkit.errors import CloudError, InvalidRequest, NotFound, SshError
from cloudkit.ssh.paramiko_module import close_channel, is_alive, load_paramiko

if TYPE_CHECKING:
    from cloudkit.ssh.shell import Shell

_PIECE = 1 << 17


def put(shell: Shell, local: str, remote: str, mode: int | None) -> None:
    """See :meth:`Shell.put`."""
    if not remote or remote.endswith("/"):
        raise InvalidRequest(f"{remote!r} names no file", hint="Give the file's whole path in the server.")
    part = f"{remote}.{secrets.token_hex(4)}.part"
    place = os.path.expanduser(local)
    with _open_local(place, "rb", place) as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode) if mode is None else mode
        pieces = iter(_Local(file, place).read, b"")
        with _sftp(shell) as sftp:
            if sftp is None:
                _put_by_cat(shell, pieces, part, remote, mode)
            else:
                with _remote_errors(shell, remote):
                    _put_by_sftp(sftp, pieces, part, remote, mode)


def get(shell: Shell, remote: str, local: str) -> None:
    """See :meth:`Shell.get`."""
    place = os.path.expanduser(local)
    part = f"{place}.{secrets.token_hex(4)}.part"
    try:
        with _open_local(part, "xb", place) as file, _sftp(shell) as sftp:
            target = _Local(file, place)
            if sftp is None:
                _get_by_cat(shell, remote, target)
            else:
                with _remote_errors(shell, remote):
                    _get_by_sftp(sftp, remote, target)
        with _local_errors(place, "written"):
            os.replace(part, place)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


class _Local:
    """A local file whose errors are not taken for the server's."""

    def __init__(self, file: IO[bytes], place: str) -> None:
        self._file = file
        self._place = place

    def read(self) -> bytes:
        with _local_errors(self._place, "read"):
            return self._file.read(_PIECE)

    def write(self, piece: bytes) -> None:
        with _local_errors(self._place, "written"):
            self._file.write(piece)
            self._file.flush()


def _put_by_sftp(sftp: Any, pieces: Iterator[bytes], part: str, remote: str, mode: int) -> None:
    size = 0
    try:
        with sftp.open(part, "wx") as target:
            # Before the first byte: it may be a secret.
            sftp.chmod(part, mode)
            # Without waiting for the answer to each piece.
            target.set_pipelined(True)
            for piece in pieces:
                target.write(piece)
                size += len(piece)
        # paramiko forgets what the server said to the last pieces.
        if sftp.stat(part).st_size != size:
            raise OSError(errno.ENOSPC, "the server has not stored all of it; is its disk full?")
        sftp.posix_rename(part, remote)
    except BaseException:
        with suppress(Exception):
            sftp.remove(part)
        raise


def _get_by_sftp(sftp: Any, remote: str, file: _Local) -> None:
    with sftp.open(remote, "rb") as source:
        ask = source._prefetch_thread

        def ask_quietly(*requests: Any) -> None:
            # The reader meets the same error; a thread would print it.
            with suppress(Exception):
                ask(*requests)

        source._prefetch_thread = ask_quietly
        # Without waiting for each piece. A file whose size is not known, as those of /proc, is read piece by piece.
        source.prefetch(source.stat().st_size)
        while piece := source.read(_PIECE):
            file.write(piece)


def _put_by_cat(shell: Shell, pieces: Iterator[bytes], part: str, remote: str, mode: int) -> None:
    part, target = _operand(part), _operand(remote)
    try:
        _run(shell, f"umask 077 && cat > {part}", pieces, _ignore, remote)
        # Apart from the first, which takes the end of a broken connection for the end of the file.
        line = f"chmod {mode:o} {part} && test ! -d {target} && mv -f {part} {target}"
        _run(shell, line, (), _ignore, remote)
    except BaseException:
        with suppress(CloudError):
            _run(shell, f"rm -f {part}", (), _ignore, remote)
        raise


def _get_by_cat(shell: Shell, remote: str, file: _Local) -> None:
    source = _operand(remote)
    line = f"test -e {source} || exit 44; exec cat {source}"
    _run(shell, line, (), file.write, remote)


def _ignore(_piece: bytes) -> None:
    pass


def _run(
    shell: Shell, line: str, pieces: Iterator[bytes] | tuple[()], on_stdout: Callable[[bytes], object], remote: str
) -> None:
    err = list[bytes]()
    status = shell._execute(line, pieces, on_stdout, err.append)  # pyright: ignore[reportPrivateUsage]
    if status == 44:
        raise _no_such_file(shell, remote)
    if status:
        fault = b"".join(err).decode("utf-8", "replace").strip()
        raise InvalidRequest(f"{remote} cannot be copied", resource=shell.server, fault=fault or None)


def _operand(path: str) -> str:
    # A leading dash would be an option.
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


@contextmanager
def _sftp(shell: Shell) -> Generator[Any, None, None]:
    """An SFTP session, or None where the server has none."""
    paramiko = load_paramiko()
    channel = shell._channel()  # pyright: ignore[reportPrivateUsage]
    try:
        try:
            channel.invoke_subsystem("sftp")
            session = paramiko.SFTPClient(channel)
        except (paramiko.SSHException, EOFError, OSError):
            if not is_alive(channel.get_transport()):
                raise shell._broken() from None  # pyright: ignore[reportPrivateUsage]
            session = None
        yield session
    finally:
        close_channel(channel)


@contextmanager
def _remote_errors(shell: Shell, remote: str) -> Generator[None, None, None]:
    paramiko = load_paramiko()
    try:
        yield
    except CloudError:
        raise
    except (paramiko.SSHException, EOFError) as error:
        raise shell._broken(error) from error  # pyright: ignore[reportPrivateUsage]
    except OSError as error:
        if not is_alive(shell._transport):  # pyright: ignore[reportPrivateUsage]
            raise shell._broken(error) from error  # pyright: ignore[reportPrivateUsage]
        if error.errno == errno.ENOENT:
            raise _no_such_file(shell, remote) from error
        if error.errno == errno.EACCES:
            raise InvalidRequest(
                f"{shell.user} may not access {remote} in {shell.server.name}",
                resource=shell.server,
                hint="Copy to a place of the user's own, and move it by run(…, sudo=True).",
            ) from error
        raise SshError(
            f"{remote} cannot be copied", resource=shell.server, fault=error.strerror or str(error)
        ) from error


def _no_such_file(shell: Shell, remote: str) -> NotFound:
    return NotFound(
        f"there is no {remote} in {shell.server.name}, or not the folder that it belongs in",
        resource=shell.server,
        hint="Give the path as the server has it; a relative one starts at the user's home.",
    )


def _open_local(path: str, mode: str, place: str) -> IO[bytes]:
    with _local_errors(place, "read" if mode == "rb" else "written"):
        return open(path, mode)


@contextmanager
def _local_errors(place: str, verb: str) -> Generator[None, None, None]:
    try:
        yield
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise InvalidRequest(
            f"{place} cannot be {verb}", fault=reason or str(error), hint="Give the path of a local file."
        ) from error
