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
from cloudkit.ssh.paramiko_module import load_paramiko

if TYPE_CHECKING:
    from cloudkit.ssh.shell import Shell

_PIECE = 1 << 17


def put(shell: Shell, local: str, remote: str, mode: int | None) -> None:
    """See :meth:`Shell.put`."""
    if not remote or remote.endswith("/"):
        raise InvalidRequest(f"{remote!r} names no file", hint="Give the file's whole path in the server.")
    part = f"{remote}.{secrets.token_hex(4)}.part"
    with _open_local(os.path.expanduser(local)) as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode) if mode is None else mode
        with _sftp(shell) as sftp:
            if sftp is None:
                _put_by_cat(shell, file, part, remote, mode)
            else:
                with _remote_errors(shell, remote):
                    _put_by_sftp(sftp, file, part, remote, mode)


def get(shell: Shell, remote: str, local: str) -> None:
    """See :meth:`Shell.get`."""
    place = os.path.expanduser(local)
    part = f"{place}.{secrets.token_hex(4)}.part"
    try:
        file = open(part, "xb")
    except (OSError, ValueError) as error:
        raise _local_error(place, "written", error) from error
    try:
        with file, _sftp(shell) as sftp:
            if sftp is None:
                _get_by_cat(shell, remote, file)
            else:
                with _remote_errors(shell, remote):
                    sftp.getfo(remote, file)
        try:
            os.replace(part, place)
        except OSError as error:
            raise _local_error(place, "written", error) from error
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def _put_by_sftp(sftp: Any, file: IO[bytes], part: str, remote: str, mode: int) -> None:
    try:
        with sftp.open(part, "wx") as target:
            # Before the first byte: it may be a secret.
            sftp.chmod(part, mode)
            # Without waiting for the answer to each piece.
            target.set_pipelined(True)
            while piece := file.read(_PIECE):
                target.write(piece)
        sftp.posix_rename(part, remote)
    except BaseException:
        with suppress(Exception):
            sftp.remove(part)
        raise


def _put_by_cat(shell: Shell, file: IO[bytes], part: str, remote: str, mode: int) -> None:
    part, target = _operand(part), _operand(remote)
    line = (
        f"umask 077 && cat > {part} && chmod {mode:o} {part} && test ! -d {target} && mv -f {part} {target}"
        f" || {{ rm -f {part}; exit 1; }}"
    )
    _run_cat(shell, line, iter(lambda: file.read(_PIECE), b""), lambda _: None, remote)


def _get_by_cat(shell: Shell, remote: str, file: IO[bytes]) -> None:
    source = _operand(remote)
    line = f"test -e {source} || exit 44; exec cat {source}"
    _run_cat(shell, line, (), file.write, remote)


def _run_cat(
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
            if not channel.get_transport().is_active():
                raise shell._broken() from None  # pyright: ignore[reportPrivateUsage]
            session = None
        yield session
    finally:
        channel.close()


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
        if not shell._transport.is_active():  # pyright: ignore[reportPrivateUsage]
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


def _open_local(place: str) -> IO[bytes]:
    try:
        return open(place, "rb")
    except (OSError, ValueError) as error:
        raise _local_error(place, "read", error) from error


def _local_error(place: str, verb: str, error: Exception) -> InvalidRequest:
    reason = error.strerror if isinstance(error, OSError) else None
    return InvalidRequest(f"{place} cannot be {verb}", fault=reason or str(error), hint="Give the path of a local file.")
