"""The bytes of an image that is uploaded: from a file or from memory, looked into before anything is sent."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from cloudkit import _checks as checks
from cloudkit import image_format
from cloudkit.errors import InvalidRequest

OnBytes = Callable[[int, int | None], object]

CHECKSUMS = {"sha256": 64, "sha512": 128}
"""Algorithm → its digest's length in hexadecimal."""

_CHECKSUM = re.compile(r"(sha256|sha512):([0-9a-fA-F]+)")


def checked_checksum(value: object) -> str | None:
    """A checksum as ``sha256:<hex>`` in lower case; raises InvalidRequest."""
    if value is None:
        return None
    match = _CHECKSUM.fullmatch(value) if isinstance(value, str) else None
    if match is None or len(match[2]) != CHECKSUMS[match[1]]:
        checks.wrong("checksum", '"sha256:" or "sha512:" and its digits', value)
    return match[0].lower()


class Source(io.RawIOBase):
    """The bytes to upload: their start, looked at beforehand, and the rest.

    Attributes:
        error: what reading them raised, which the driver may have turned into something else.
    """

    def __init__(
        self,
        file: Any,
        size_bytes: int | None,
        on_bytes: OnBytes | None = None,
        checksum: str | None = None,
        close: bool = False,
    ) -> None:
        super().__init__()
        self._file = file
        self._close = close
        self._on_bytes = on_bytes
        self._count = 0
        algorithm, _, self._expected = (checksum or "").partition(":")
        self._digest = hashlib.new(algorithm) if algorithm else None
        self.size_bytes = size_bytes
        self.error: BaseException | None = None
        self.header = self._read_header()
        self._start = self.header

    def checked_format(self, claimed: object, known: tuple[str, ...], bare: bool) -> str:
        """The format, told from the bytes where it is not claimed.

        Raises:
            InvalidRequest: there are no bytes, they are of another format, or ask for what is never allowed.
        """
        if not self.header:
            raise InvalidRequest("the image is empty")
        found = image_format.detect(self.header)
        format = checks.one_of(
            (found if found in known else "raw") if claimed is None else claimed, known, "disk_format"
        )
        # Of other formats, and of what is packed in a container, only the service knows whether it takes them.
        if bare and format in image_format.SUPPORTED:
            if self.size_bytes is None:
                image_format.inspect(self.header, format)
            else:
                self._inspect_whole(format)
        return format

    def check_sent(self) -> None:
        """Raise what went wrong with the bytes, where a driver took them nevertheless, or did not read to the end."""
        while self.error is None and self._pull(1 << 20):
            self.error = InvalidRequest("not all of the image was sent")
        if self.error is not None:
            raise self.error

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if self._start:
            piece, self._start = self._start[:size], self._start[size:]
        else:
            piece = self._pull(size)
        self._note(piece, ended=not piece and size > 0)
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

    def _note(self, piece: bytes, ended: bool) -> None:
        """Count and hash; the checksum is compared before the last piece is given away."""
        self._count += len(piece)
        if self._digest is None:
            return
        self._digest.update(piece)
        if (ended or self._count == self.size_bytes) and self._digest.hexdigest() != self._expected:
            self.error = InvalidRequest(
                f"the image's {self._digest.name} is {self._digest.hexdigest()}, and {self._expected} was expected",
                hint="The file is incomplete or another one: fetch it again, and compare the checksum's source.",
            )
            raise self.error

    def _inspect_whole(self, format: str) -> None:
        here = self._file.tell()
        self._file.seek(here - len(self.header))
        try:
            image_format.inspect_file(self._file, format)
        finally:
            self._file.seek(here)

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


def open_source(path: Any, data: Any, on_bytes: OnBytes | None, checksum: str | None) -> Source:
    """The bytes of a file, or of memory; raises InvalidRequest unless there is exactly one of them to read."""
    if (path is None) == (data is None):
        raise InvalidRequest("either path or data is expected", hint="path is a file's, data are its bytes.")
    if path is not None:
        if not isinstance(path, (str, os.PathLike)):
            checks.wrong("path", "a file's path", path)
        place = Path(cast("str | os.PathLike[str]", path)).expanduser()
        try:
            file = place.open("rb")
            return Source(file, _rest_of(file), on_bytes, checksum, close=True)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InvalidRequest(
                f"the image {place} cannot be read", fault=reason, hint="Give a file's path."
            ) from error
    if isinstance(data, (bytes, bytearray)):
        return Source(io.BytesIO(data), len(data), on_bytes, checksum)
    if not callable(getattr(data, "read", None)):
        checks.wrong("data", "bytes or a binary file", data)
    return Source(data, _rest_of(data), on_bytes, checksum)


def _rest_of(file: BinaryIO) -> int | None:
    """How many bytes a file has from here on, where it can tell."""
    try:
        here = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(here)
    except (AttributeError, OSError, ValueError):
        return None
    return int(end - here)
