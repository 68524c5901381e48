"""Images: uploaded, downloaded, described."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Unpack, cast

from cloudkit import _checks as checks
from cloudkit import image_format
from cloudkit._collection import Collection, Creation, Ref
from cloudkit._context import Verb
from cloudkit.driver import Download, Upload
from cloudkit.errors import CloudError, InvalidRequest, ResourceFailed
from cloudkit.types import Image, ImageSpec, ImageStatus, Kind, Visibility

DISK_FORMATS = ("ami", "ari", "aki", "iso", "ploop", "qcow2", "raw", "vdi", "vhd", "vhdx", "vmdk")
CONTAINER_FORMATS = ("aki", "ami", "ari", "bare", "compressed", "docker", "ova", "ovf")
"""Glance's (image service, "Disk and container formats")."""

_DOWNLOADABLE = "images.download"


class Images(Collection[Image]):
    """Disk images that servers boot from."""

    kind = Kind.IMAGE
    _service = "image"
    _create_capability = "images.create"
    _ready = frozenset({ImageStatus.ACTIVE})
    _broken = frozenset(
        {ImageStatus.KILLED, ImageStatus.DELETED, ImageStatus.PENDING_DELETE, ImageStatus.DEACTIVATED}
    )
    _timeout_s = 1800.0

    def upload(
        self,
        name: str,
        *,
        path: str | os.PathLike[str] | None = None,
        data: bytes | BinaryIO | None = None,
        disk_format: str | None = None,
        container_format: str = "bare",
        min_disk_gib: int = 0,
        min_ram_mib: int = 0,
        visibility: str = Visibility.PRIVATE,
        protected: bool = False,
        metadata: Mapping[str, str] | None = None,
        tags: Iterable[str] = (),
        on_bytes: Callable[[int, int | None], object] | None = None,
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> Image:
        """Make an image of a file's bytes; returns when it is active.

        Args:
            path: the file; or ``data``: bytes, or a binary file that is read to its end.
            disk_format: as "qcow2" or "raw"; None: told from the first bytes.
            protected: refuse to delete it until it is updated to False.
            on_bytes: called with the bytes that were read so far, and their total where it is known.

        Raises:
            InvalidRequest: there is no such file, its bytes are not ``disk_format``, or the header asks for what is
                never allowed, as a backing file. Nothing is left behind.
        """
        with Verb(self._context, "images.upload", name):
            self._require_create()
            part: Upload = self._part
            common = self._common(name, description, native)
            with _source(path, data, on_bytes) as source:
                spec = ImageSpec(
                    **common,
                    disk_format=_checked_format(source.header, disk_format),
                    container_format=checks.one_of(container_format, CONTAINER_FORMATS, "container_format"),
                    min_disk_gib=checks.integer(min_disk_gib, "min_disk_gib", 0, checks.MAX_GIB),
                    min_ram_mib=checks.integer(min_ram_mib, "min_ram_mib", 0, checks.MAX_MIB),
                    visibility=checks.choice(visibility, Visibility, "visibility"),
                    protected=checks.flag(protected, "protected"),
                    metadata=checks.metadata(metadata),
                    tags=checks.tags(tags),
                )
                try:
                    return self._create(
                        spec, send=lambda spec: part.create(spec, cast(BinaryIO, source), source.size_bytes), **how
                    )
                except CloudError:
                    if source.error is not None:
                        # The caller's own reader broke: that is what they want to see.
                        raise source.error from None
                    raise

    def update(self, ref: Ref, **changes: Any) -> Image:
        """Change its name, visibility, protected, min_disk_gib, min_ram_mib, metadata or tags (both as a whole)."""
        allowed: dict[str, Callable[[Any], Any]] = {
            "name": checks.name,
            "visibility": lambda value: checks.choice(value, Visibility, "visibility"),
            "protected": lambda value: checks.flag(value, "protected"),
            "min_disk_gib": lambda value: checks.integer(value, "min_disk_gib", 0, checks.MAX_GIB),
            "min_ram_mib": lambda value: checks.integer(value, "min_ram_mib", 0, checks.MAX_MIB),
            "metadata": checks.metadata,
            "tags": checks.tags,
        }
        return self._update(ref, changes, allowed)

    def download(
        self,
        ref: Ref,
        path: str | os.PathLike[str],
        *,
        on_bytes: Callable[[int, int | None], object] | None = None,
    ) -> Image:
        """Write the image's bytes to a file, which is replaced at once or not at all; returns the image.

        Raises:
            InvalidRequest: the file cannot be written.
            ResourceFailed: the bytes do not have the checksum that the image has.
        """
        with Verb(self._context, "images.download", ref):
            part: Download = self._offered(_DOWNLOADABLE)
            image = self._get(ref)
            place = Path(path).expanduser()
            partial = place.with_name(f"{place.name}.{secrets.token_hex(4)}.part")
            try:
                with partial.open("xb") as file:
                    self._fill(file, part, image, on_bytes)
                os.replace(partial, place)
            except BaseException as error:
                with suppress(OSError):
                    partial.unlink()
                if isinstance(error, OSError) and not isinstance(error, CloudError):
                    raise InvalidRequest(f"{place} cannot be written", fault=error.strerror or str(error)) from error
                raise
            return image

    def _fill(
        self, file: BinaryIO, part: Download, image: Image, on_bytes: Callable[[int, int | None], object] | None
    ) -> None:
        algorithm, _, expected = (image.checksum or "").partition(":")
        digest = hashlib.new(algorithm) if algorithm in hashlib.algorithms_available else None
        pieces = self._context.call(part.download, image.id)
        count = 0
        while (piece := self._context.call(next, pieces, None)) is not None:
            file.write(piece)
            count += len(piece)
            if digest is not None:
                digest.update(piece)
            if on_bytes is not None:
                on_bytes(count, image.size_bytes)
        if digest is not None and digest.hexdigest() != expected:
            raise ResourceFailed(
                f"the bytes of the image {image.name!r} do not have its checksum", resource=image, hint="Try again."
            )


class _Source(io.RawIOBase):
    """The bytes to upload: their start, looked at beforehand, and the rest.

    Attributes:
        error: what reading them raised, which the driver may have turned into something else.
    """

    def __init__(
        self, file: Any, size_bytes: int | None, on_bytes: Callable[[int, int | None], object] | None, close: bool
    ) -> None:
        super().__init__()
        self._file = file
        self._close = close
        self._on_bytes = on_bytes
        self._count = 0
        self.size_bytes = size_bytes
        self.error: BaseException | None = None
        self.header = self._read_header()
        self._start = self.header

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if self._start:
            piece, self._start = self._start[:size], self._start[size:]
        else:
            piece = self._pull(size)
        self._count += len(piece)
        if self._on_bytes is not None and piece:
            self._on_bytes(self._count, self.size_bytes)
        return piece

    def readinto(self, buffer: Any, /) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if self._close:
            self._file.close()
        super().close()

    def _pull(self, size: int) -> bytes:
        try:
            piece = self._file.read(size)
        except BaseException as error:
            self.error = error
            raise
        if piece is not None and not isinstance(piece, bytes):
            self.error = InvalidRequest("data: the file gives text, and bytes are expected", hint="Open it as 'rb'.")
            raise self.error
        return piece or b""

    def _read_header(self) -> bytes:
        header = b""
        while len(header) < image_format.HEADER_BYTES:
            piece = self._pull(image_format.HEADER_BYTES - len(header))
            if not piece:
                break
            header += piece
        return header


def _source(path: Any, data: Any, on_bytes: Callable[[int, int | None], object] | None) -> _Source:
    if (path is None) == (data is None):
        raise InvalidRequest("either path or data is expected", hint="path is a file's, data are its bytes.")
    if path is not None:
        if not isinstance(path, (str, os.PathLike)):
            checks.wrong("path", "a file's path", path)
        place = Path(cast("str | os.PathLike[str]", path)).expanduser()
        try:
            file = place.open("rb")
            return _Source(file, os.fstat(file.fileno()).st_size, on_bytes, close=True)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InvalidRequest(
                f"the image {place} cannot be read", fault=reason, hint="Give a file's path."
            ) from error
    if isinstance(data, (bytes, bytearray)):
        return _Source(io.BytesIO(data), len(data), on_bytes, close=False)
    if not callable(getattr(data, "read", None)):
        checks.wrong("data", "bytes or a binary file", data)
    return _Source(data, _rest_of(data), on_bytes, close=False)


def _rest_of(file: Any) -> int | None:
    """How many bytes a file has from here on, where it can tell."""
    try:
        here = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(here)
    except (AttributeError, OSError, ValueError):
        return None
    return int(end - here)


def _checked_format(header: bytes, claimed: str | None) -> str:
    if not header:
        raise InvalidRequest("the image is empty")
    found = image_format.detect(header)
    if claimed is None:
        claimed = found if found in DISK_FORMATS else "raw"
    checks.one_of(claimed, DISK_FORMATS, "disk_format")
    # Of other formats only the service knows whether it takes them.
    if claimed in image_format.SUPPORTED:
        image_format.inspect(header, claimed)
    return claimed
