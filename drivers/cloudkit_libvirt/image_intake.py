"""Bytes of strangers on their way to the pool: kept aside, checked, and converted into a disk of our own making.

Nothing of this touches libvirt, so that what is refused has never been near it. The files have no names: they are
gone with the process, however it ends.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cloudkit import image_format
from cloudkit.errors import Busy, InvalidRequest, MissingExtra, QuotaExceeded

CHUNK_BYTES = 1 << 20
MEMORY_BYTES = 4 << 30
"""Of qemu-img's address space, most of which it only reserves: it reads by up to 64 threads with a stack each."""
OPEN_FILES = 64

_MIB = 1 << 20
_WRITES_S = (60, 20 * _MIB)
_WALL_S = (300, 2 * _MIB)
"""Seconds at least, and bytes a second that even a slow and busy machine converts."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An image that may go to the pool.

    Attributes:
        original: as it was given; ``base`` a fresh qcow2 of the same content.
        size_bytes: of ``original``.
    """

    original: BinaryIO
    base: BinaryIO
    size_bytes: int
    virtual_size_bytes: int
    checksum: str


@contextmanager
def accepted(
    data: BinaryIO, claimed: str, announced_bytes: int | None, max_virtual_bytes: int
) -> Generator[Accepted]:
    """Read ``data`` to its end, check and convert it.

    Raises:
        InvalidRequest: it is not what is claimed, or asks for what is refused; or QEMU cannot read it.
        QuotaExceeded: there is no room for it in the folder for temporary files.
        MissingExtra: qemu-img is not installed here.
    """
    _require_tools()
    with _nameless() as original, _nameless() as base:
        size_bytes, checksum = _keep(data, original)
        if not size_bytes:
            raise InvalidRequest("the image is empty", driver="libvirt")
        if announced_bytes is not None and size_bytes != announced_bytes:
            raise InvalidRequest(f"{announced_bytes} bytes were announced, and {size_bytes} came", driver="libvirt")
        info = image_format.inspect_file(original, claimed, max_virtual_bytes)
        assert info.virtual_size_bytes is not None
        assert info.data_bytes is not None
        convert(original, claimed, base, info.data_bytes)
        yield Accepted(original, base, size_bytes, info.virtual_size_bytes, checksum)


def size_of(file: BinaryIO) -> int:
    """Bytes of a file."""
    return os.fstat(file.fileno()).st_size


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """A file from its start on."""
    file.seek(0)
    return iter(lambda: file.read(CHUNK_BYTES), b"")


def convert(source: BinaryIO, format: str, target: BinaryIO, data_bytes: int) -> None:
    """Write a fresh qcow2 of the content of a checked image.

    Args:
        format: what QEMU is told that it is; it never guesses.
        data_bytes: how much it unpacks to; all limits follow from it.
    """
    # Tables take an eighth of a thousandth; the rest is for the small ones.
    limit_bytes = data_bytes + data_bytes // 1000 + 16 * _MIB
    limits = {
        "core": 0,
        "as": MEMORY_BYTES,
        "nofile": OPEN_FILES,
        "cpu": _seconds(_WRITES_S, data_bytes),
        "fsize": limit_bytes,
    }
    command = ["prlimit", *(f"--{name}={limit}" for name, limit in limits.items()), "qemu-img", "convert"]
    command += ["-f", format, "-O", "qcow2", "-o", "compat=1.1", _path(source), _path(target)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=(source.fileno(), target.fileno()),
            # Every thread's own arena would be 64 MiB of address space.
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "MALLOC_ARENA_MAX": "2"},
            cwd="/",
            timeout=_seconds(_WALL_S, data_bytes),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _unconvertible(f"it takes more than {error.timeout:.0f} s") from error
    if done.returncode == 0:
        return
    said = done.stderr.decode("utf-8", "replace").strip()
    if os.strerror(errno.ENOSPC) in said:
        raise _no_room(said)
    if any(os.strerror(number) in said for number in (errno.EAGAIN, errno.ENOMEM)):
        raise Busy("this machine is too busy to convert the image", driver="libvirt", fault=said)
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        said = f"it takes more than {limits['cpu']} s of processor time"
    elif done.returncode == -signal.SIGXFSZ or os.strerror(errno.EFBIG) in said:
        said = f"it unpacks to more than {limit_bytes} bytes"
    raise _unconvertible(said or f"qemu-img ended with {done.returncode}")


def _seconds(pace: tuple[int, int], data_bytes: int) -> int:
    return pace[0] + data_bytes // pace[1]


def _path(file: BinaryIO) -> str:
    return f"/proc/self/fd/{file.fileno()}"


def _unconvertible(reason: str) -> InvalidRequest:
    return InvalidRequest(
        "the image cannot be converted, so no server could boot it",
        driver="libvirt",
        fault=reason,
        hint="Check it: qemu-img check. A damaged file is to be fetched again.",
    )


def _require_tools() -> None:
    for tool, package in (
        ("qemu-img", "qemu-utils (Debian, Ubuntu) or qemu-img (Fedora)"),
        ("prlimit", "util-linux"),
    ):
        if shutil.which(tool) is None:
            raise MissingExtra(
                f"{tool} is not installed on this machine, and no image goes to libvirt unconverted",
                driver="libvirt",
                hint=f"Install the package {package}.",
            )


def _folder() -> str | None:
    """Where images may lie for a while: /tmp is often in memory."""
    return None if os.environ.get("TMPDIR") or not Path("/var/tmp").is_dir() else "/var/tmp"  # noqa: S108


def _nameless() -> BinaryIO:
    # Unbuffered: qemu-img works on the same file.
    return tempfile.TemporaryFile(buffering=0, prefix="cloudkit-", dir=_folder())


def _keep(data: BinaryIO, file: BinaryIO) -> tuple[int, str]:
    """Copy a stream; returns its size and checksum."""
    size, digest = 0, hashlib.sha512()
    while piece := data.read(CHUNK_BYTES):
        digest.update(piece)
        size += len(piece)
        try:
            _write(file, piece)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise _no_room(str(error)) from error
    file.seek(0)
    return size, f"sha512:{digest.hexdigest()}"


def _write(file: BinaryIO, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[file.write(view) :]


def _no_room(said: str) -> QuotaExceeded:
    return QuotaExceeded(
        f"there is no room for the image in this machine's folder for temporary files, "
        f"{_folder() or tempfile.gettempdir()}",
        driver="libvirt",
        fault=said,
        hint="Set TMPDIR to a folder with more room: it takes the image twice, once unpacked.",
    )
