"""A pool's volumes: making, filling, reading and deleting them."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import libvirt

from cloudkit.errors import Busy
from cloudkit_libvirt import storage_xml
from cloudkit_libvirt.connection import Connection, folder_of
from cloudkit_libvirt.errors import EXISTS, PoolFull, code_of, is_pool_busy, is_pool_full, is_unreachable
from cloudkit_libvirt.undo import undoing
from cloudkit_libvirt.xml_tree import parse, to_text

CHUNK_BYTES = 256 * 1024 - 64
"""What one message of libvirt's protocol carries of a stream, nearly."""

BUSY_TIMEOUT_S = 60.0
_POLL_S = 0.01

T = TypeVar("T")


class Pool:
    """Volumes by name. Missing ones raise FileNotFoundError, taken names FileExistsError."""

    def __init__(self, connection: Connection, name: str | None = None) -> None:
        """Use the connection's own pool, or another one."""
        self.name = name
        self._connection = connection

    @property
    def _pool(self) -> libvirt.virStoragePool:
        return self._connection.pool if self.name is None else self._connection.other_pool(self.name)

    # -- what there is

    def names(self) -> list[str]:
        """The names of all volumes, in one call."""
        # Not listVolumes: that one asks for the number first, and what is made in between is cut off.
        volumes = {volume.name(): volume for volume in self._pool.listAllVolumes()}
        if self.name is None:
            seen = self._connection.volumes
            seen.clear()
            seen.update(volumes)
        return list(volumes)

    def refresh(self) -> None:
        """Make libvirt see files that it did not write itself, as QEMU's; raises Busy.

        libvirt looks at all or nothing, and at nothing while it makes any volume.
        """
        _when_free(self._pool.refresh)

    def path(self, name: str) -> str:
        """Where the volume is, on libvirt's host."""
        return str(self._find(name).path())

    def path_for(self, name: str) -> str:
        """Where a volume of this name is, whether it is there or not."""
        folder = self._connection.folder if self.name is None else folder_of(self._pool)
        return f"{folder}/{name}"

    def size_bytes(self, name: str) -> int:
        """Bytes that the volume takes on the host's disk, as last refreshed."""
        return int(self._find(name).info()[2])

    def capacity_bytes(self, name: str) -> int:
        """Bytes of the disk that the volume is."""
        return int(self._find(name).info()[1])

    def length_bytes(self, name: str) -> int:
        """Bytes that a download gives: holes in the file count too."""
        return int(self._find(name).infoFlags(libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2])

    def xml(self, name: str) -> str:
        """Libvirt's description."""
        volume = self._find(name)
        try:
            return str(volume.XMLDesc())
        except libvirt.libvirtError as error:
            # libvirt looks at the file, which comes a moment after the name.
            raise _as_missing(error, name) from error

    def modified_at(self, name: str) -> float | None:
        """Seconds since the epoch; None while it is being made."""
        text = parse(self.xml(name)).findtext("target/timestamps/mtime")
        return float(text) if text else None

    def free_bytes(self) -> int | None:
        """Bytes that still fit, or None when that is not known."""
        try:
            self.refresh()
            return int(self._pool.info()[3])
        except (libvirt.libvirtError, Busy):
            return None

    @contextmanager
    def telling_when_full(self) -> Generator[None]:
        """Have a lack of room told as one of this pool."""
        try:
            yield
        except Exception as error:
            if not is_pool_full(error):
                raise
            raise PoolFull(str(error), self.name, self.free_bytes) from error

    # -- making

    def create_raw(self, name: str, size_bytes: int) -> None:
        """A sparse raw volume."""
        self._create(name, size_bytes, "raw")

    def create_qcow2(self, name: str, capacity_bytes: int) -> None:
        """An empty qcow2 volume."""
        self._create(name, capacity_bytes, "qcow2")

    def create_overlay(self, name: str, capacity_bytes: int, backing_path: str, backing_format: str) -> None:
        """A qcow2 volume over another file, whose format is stated and not guessed."""
        self._create(name, capacity_bytes, "qcow2", backing_path, backing_format)

    def copy(self, source: str, name: str, source_pool: Pool | None = None) -> None:
        """A flat qcow2 volume with the content of another volume that nothing writes to, also of another pool."""
        xml = to_text(storage_xml.volume(name, 0, "qcow2"))
        volume = (source_pool or self)._find(source)
        with _names_taken():
            _when_free(lambda: self._pool.createXMLFrom(xml, volume))

    def resize(self, name: str, capacity_bytes: int) -> None:
        """Grow a volume that no running server uses."""
        volume = self._find(name)
        _when_free(lambda: volume.resize(capacity_bytes))

    def create_filled(self, name: str, data: bytes, *, quiet: bool = False) -> None:
        """A raw volume that holds ``data``; it has its room before the first byte is written.

        Args:
            quiet: nobody waits for it. An upload makes libvirt look at all of the pool, while it serves nobody else,
                and tell all clients; where the file can be written from here, that is spared.
        """
        with _names_taken():
            volume = self._pool.createXML(
                to_text(storage_xml.volume(name, len(data), "raw", allocated_bytes=len(data)))
            )
        with undoing(lambda: self.delete(name)):
            if not (quiet and self._connection.host is None and _written_here(self.path_for(name), data)):
                try:
                    self._write(volume, [data], 0)
                except libvirt.libvirtError as error:
                    raise _as_missing(error, name) from error

    def _create(self, name: str, capacity_bytes: int, format: str, *backing: str) -> None:
        with _names_taken():
            self._pool.createXML(to_text(storage_xml.volume(name, capacity_bytes, format, *backing)))

    # -- bytes

    def upload(self, name: str, data: Iterable[bytes], offset: int = 0) -> None:
        """Write pieces into a volume from ``offset`` on; it grows as needed."""
        last, end = self._write(self._find(name), data, offset)
        # libvirt keeps an error of its last write to itself: in a full file system nothing else tells of it.
        if last and b"".join(self.download(name, end - len(last), len(last))) != last:
            raise OSError(errno.ENOSPC, "No space left on device")

    def _write(self, volume: libvirt.virStorageVol, data: Iterable[bytes], offset: int) -> tuple[bytes, int]:
        """Write; returns what was sent last, and where it ends."""
        # Another client may be looking at what was made this moment.
        stream = _when_free(lambda: self._begin_upload(volume, offset))
        last, end = b"", offset
        try:
            for piece in data:
                view = memoryview(piece)
                while view:
                    chunk = bytes(view[:CHUNK_BYTES])
                    last = chunk[: _sent(stream, chunk)]
                    view, end = view[len(last) :], end + len(last)
        except BaseException:
            with contextlib.suppress(libvirt.libvirtError):
                stream.abort()
            raise
        stream.finish()
        return last, end

    def _begin_upload(self, volume: libvirt.virStorageVol, offset: int) -> libvirt.virStream:
        stream = self._connection.virt.newStream()
        volume.upload(stream, offset, 0)
        return stream

    def download(self, name: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """Read a volume, or a part of it, in pieces; a ``length`` of 0 is all.

        Where libvirt goes away in the middle, it goes on from where it was once libvirt is back.
        """
        done, tried_at = 0, -1
        while True:
            try:
                for piece in self._download(name, offset + done, length - done if length else 0):
                    done += len(piece)
                    yield piece
            except libvirt.libvirtError as error:
                if self._connection.is_alive and not is_unreachable(error):
                    raise
                if done in (tried_at, length or -1):
                    raise
                tried_at = done
            else:
                return

    def _download(self, name: str, offset: int, length: int) -> Iterator[bytes]:
        stream = self._connection.virt.newStream()
        volume = self._seen(name)
        try:
            volume.download(stream, offset, length)
        except libvirt.libvirtError as error:
            raise _as_missing(error, name) from error
        ended = False
        try:
            while piece := stream.recv(CHUNK_BYTES):
                yield piece
            ended = True
        finally:
            if ended:
                stream.finish()
            else:
                with contextlib.suppress(libvirt.libvirtError):
                    stream.abort()

    # -- deleting

    def delete(self, name: str) -> bool:
        """Whether there was something to delete; raises Busy while it is being made or copied."""
        try:
            _when_free(self._seen(name).delete)
        except FileNotFoundError:
            return False
        except libvirt.libvirtError as error:
            if code_of(error) == libvirt.VIR_ERR_NO_STORAGE_VOL:
                return False
            raise
        return True

    def delete_all(self, prefix: str, unseen: bool = True) -> None:
        """Delete what starts with ``prefix``.

        Args:
            unseen: also what QEMU wrote, that libvirt has not seen yet: for that, libvirt looks at all of the pool.
        """
        if unseen:
            self.refresh()
        for name in self.names():
            if name.startswith(prefix):
                self.delete(name)

    def _find(self, name: str) -> libvirt.virStorageVol:
        try:
            return self._pool.storageVolLookupByName(name)
        except libvirt.libvirtError as error:
            raise _as_missing(error, name) from error

    def _seen(self, name: str) -> libvirt.virStorageVol:
        """The same, without asking libvirt for what a list has shown: it may be gone."""
        seen = self._connection.volumes.get(name) if self.name is None else None
        return seen or self._find(name)


def _written_here(path: str, data: bytes) -> bool:
    """Write to the file of a new volume, if it is on this host and this user may."""
    try:
        # A file of this name and size that somebody else made cannot be: the name has just been taken.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "wb") as file:
            if os.fstat(file.fileno()).st_size != len(data):
                return False
            file.write(data)
    except OSError:
        return False
    return True


def _when_free(call: Callable[[], T]) -> T:
    """Call into libvirt, again where it is in the way of itself; raises Busy after BUSY_TIMEOUT_S."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            return call()
        except libvirt.libvirtError as error:
            if not is_pool_busy(error):
                raise
            if time.monotonic() > deadline:
                raise Busy("the pool is being written to", driver="libvirt", fault=str(error)) from error
            time.sleep(_POLL_S)


def _sent(stream: libvirt.virStream, piece: bytes) -> int:
    return int(stream.send(piece))


def _as_missing(error: libvirt.libvirtError, name: str) -> Exception:
    return FileNotFoundError(name) if code_of(error) == libvirt.VIR_ERR_NO_STORAGE_VOL else error


@contextmanager
def _names_taken() -> Generator[None]:
    try:
        yield
    except libvirt.libvirtError as error:
        if code_of(error) in EXISTS and "exist" in str(error):
            raise FileExistsError(str(error)) from error
        raise
