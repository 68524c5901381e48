"""What the readers of image formats share: bytes that are there or are refused, and how a refusal reads."""

from __future__ import annotations

from typing import BinaryIO

from cloudkit.errors import InvalidRequest

INCOMPLETE = "The file is incomplete: fetch it again."


def refusal(
    format: str, reason: str, hint: str = "Make a self-contained copy: qemu-img convert -O qcow2."
) -> InvalidRequest:
    """The error for an image that no tool may open."""
    return InvalidRequest(f"the {format} image is refused: {reason}", hint=hint)


class Bytes:
    """An image within a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        """``size`` bytes of ``file`` from ``start`` on."""
        self._file = file
        self._start = start
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """All of these bytes; raises InvalidRequest where the file ends before."""
        if offset < 0 or offset + length > self.size:
            raise InvalidRequest("the image is cut off", hint=INCOMPLETE)
        self._file.seek(self._start + offset)
        data = b""
        while len(data) < length:
            piece = self._file.read(length - len(data))
            if not piece:
                raise InvalidRequest("the image is cut off", hint=INCOMPLETE)
            data += piece
        return data
