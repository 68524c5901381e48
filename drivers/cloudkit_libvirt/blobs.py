"""Where records are kept: named bytes that are created exclusively, and never changed."""

from __future__ import annotations

import threading
import time
from typing import Protocol

import libvirt

from cloudkit_libvirt.errors import is_pool_busy
from cloudkit_libvirt.pool import Pool


class BlobExists(Exception):
    """The name is taken."""


class BlobGone(Exception):
    """There is nothing of this name, or no longer."""


class BlobStore(Protocol):
    """What the records need."""

    def names(self) -> list[str]:
        """All names, in one call."""
        ...

    def create(self, name: str, data: bytes, quiet: bool = False) -> None:
        """Take the name, then fill it; raises BlobExists, or BlobGone where another client deletes it in between.

        Args:
            quiet: other clients that wait for a change need not be told of this one.
        """
        ...

    def read(self, name: str) -> bytes:
        """The bytes: zeros or none while another client is between taking and filling; raises BlobGone."""
        ...

    def delete(self, name: str) -> bool:
        """Whether there was something to delete."""
        ...

    def age_s(self, name: str) -> float:
        """Seconds since it was written to, by the clock of the store's host; raises BlobGone."""
        ...


class PoolBlobs:
    """Small volumes of the pool."""

    def __init__(self, pool: Pool) -> None:
        """Keep blobs in ``pool``."""
        self._pool = pool

    def names(self) -> list[str]:
        """All names of volumes."""
        return self._pool.names()

    def create(self, name: str, data: bytes, quiet: bool = False) -> None:
        """Make a volume, then upload."""
        try:
            self._pool.create_filled(name, data, quiet=quiet)
        except FileExistsError:
            raise BlobExists(name) from None
        except FileNotFoundError:
            raise BlobGone(name) from None

    def read(self, name: str) -> bytes:
        """Download a volume."""
        try:
            return b"".join(self._pool.download(name))
        except FileNotFoundError:
            raise BlobGone(name) from None
        except libvirt.libvirtError as error:
            if is_pool_busy(error):
                # The name was taken this moment.
                return b""
            raise

    def delete(self, name: str) -> bool:
        """Delete a volume."""
        return self._pool.delete(name)

    def age_s(self, name: str) -> float:
        """From the file's modification time; right as far as both hosts' clocks are."""
        try:
            modified_at = self._pool.modified_at(name)
        except FileNotFoundError:
            raise BlobGone(name) from None
        return 0.0 if modified_at is None else time.time() - modified_at


class MemoryBlobs:
    """For ``test:///default``, whose volumes hold no bytes: the records live as long as the driver."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._blobs: dict[str, tuple[bytes, float]] = {}

    def names(self) -> list[str]:
        """All names."""
        with self._lock:
            return list(self._blobs)

    def create(self, name: str, data: bytes, quiet: bool = False) -> None:  # noqa: ARG002
        """Put it there."""
        with self._lock:
            if name in self._blobs:
                raise BlobExists(name)
            self._blobs[name] = (data, time.monotonic())

    def read(self, name: str) -> bytes:
        """Get it."""
        with self._lock:
            if name not in self._blobs:
                raise BlobGone(name)
            return self._blobs[name][0]

    def delete(self, name: str) -> bool:
        """Remove it."""
        with self._lock:
            return self._blobs.pop(name, None) is not None

    def age_s(self, name: str) -> float:
        """By this process' clock."""
        with self._lock:
            if name not in self._blobs:
                raise BlobGone(name)
            return time.monotonic() - self._blobs[name][1]
