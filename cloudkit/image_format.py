"""What a disk image's bytes say: its true format, its size, and whether any tool may open it.

Images come from users. Whoever opens one lets its header speak: a qcow2 can name another file of the host as
its backing or data file (CVE-2024-32498), a vmdk can name any number of them (CVE-2022-47951), a "raw" one can in
truth be of a format that tools recognise. So the bytes are read here, before libvirt or QEMU see the file.

``inspect`` needs no more than an image's start, for streams; ``inspect_file`` reads all tables too, and so notices
what is cut off and what unpacks to far more than it should. Neither raises anything but InvalidRequest, whatever
the bytes are, and neither opens another file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from cloudkit import _qcow2, _vmdk
from cloudkit._image_bytes import Bytes, refusal
from cloudkit.errors import InvalidRequest

HEADER_BYTES = 64 * 1024
"""How much of an image's start ``inspect`` wants, or all of a shorter one."""
MAX_VIRTUAL_BYTES = 64 << 40
SUPPORTED = ("qcow2", "raw", "vmdk")
SECTOR = 512

FREE_EXPANSION_BYTES = 16 << 30
MAX_EXPANSION = 100
"""How many times its own size a larger image may unpack to; real ones stay below 20."""

_MAGICS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"conectix", "vpc"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"QED\0", "qed"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"LUKS\xba\xbe", "luks"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"\x1f\x8b\x08", "gzip"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"BZh", "bzip2"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"PK\3\4", "zip"),
)
_PACKED = ("gzip", "xz", "bzip2", "zstd", "zip")


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """A checked image.

    Attributes:
        virtual_size_bytes: what a guest sees; None where only the whole file's length tells it (raw).
        data_bytes: the most that it unpacks to; None where only its start was looked at.
    """

    format: str
    virtual_size_bytes: int | None
    data_bytes: int | None = None


def detect(header: bytes) -> str:
    """The format by its magic; what has none is raw."""
    for offset, magic, name in _MAGICS:
        if header[offset : offset + len(magic)] == magic:
            return name
    return "raw"


def inspect(
    header: bytes, claimed: str, size_bytes: int | None = None, max_virtual_bytes: int = MAX_VIRTUAL_BYTES
) -> ImageInfo:
    """Check an image's start against the format that it is said to have.

    Args:
        header: its first HEADER_BYTES, or all of a shorter one.
        size_bytes: of the whole file, where it is known: its tables must be within it.

    Raises:
        InvalidRequest: the format is another one or not taken, or the header asks for what is refused.
    """
    header = header[:HEADER_BYTES]
    _check_claim(header, claimed)
    if claimed == "raw":
        size = None if size_bytes is None else _whole_sectors(size_bytes)
        if size is not None:
            _check_virtual_size("raw", size, max_virtual_bytes)
        return ImageInfo("raw", size)
    size = _reader(claimed).check_header(header, size_bytes)
    _check_virtual_size(claimed, size, max_virtual_bytes)
    return ImageInfo(claimed, size)


def inspect_file(file: BinaryIO, claimed: str, max_virtual_bytes: int = MAX_VIRTUAL_BYTES) -> ImageInfo:
    """Check a whole image: its start, and that all its tables point to what is there.

    Args:
        file: seekable, the image from where it stands to its end; it stands there again afterwards.

    Raises:
        InvalidRequest: as of ``inspect``; or it is cut off, or unpacks to more than MAX_EXPANSION times its size.
    """
    start = file.tell()
    size_bytes = file.seek(0, os.SEEK_END) - start
    try:
        source = Bytes(file, start, size_bytes)
        info = inspect(source.read(0, min(HEADER_BYTES, size_bytes)), claimed, size_bytes, max_virtual_bytes)
        if claimed == "raw":
            return ImageInfo("raw", info.virtual_size_bytes, size_bytes)
        data_bytes = _reader(claimed).count_data(source)
    finally:
        file.seek(start)
    if data_bytes > max(FREE_EXPANSION_BYTES, MAX_EXPANSION * size_bytes):
        raise refusal(claimed, f"its {size_bytes} bytes would unpack to {data_bytes}")
    return ImageInfo(claimed, info.virtual_size_bytes, data_bytes)


def _reader(format: str) -> _qcow2.Qcow2 | _vmdk.Vmdk:
    return _qcow2.READER if format == "qcow2" else _vmdk.READER


def _check_claim(header: bytes, claimed: str) -> None:
    if claimed not in SUPPORTED:
        raise InvalidRequest(
            f"images of the format {claimed!r} are not taken",
            hint=f"Convert it first: qemu-img convert -O qcow2. Taken are: {', '.join(SUPPORTED)}.",
        )
    actual = detect(header)
    if actual == claimed:
        return
    if actual in _PACKED:
        hint = f"Unpack it first: it is a {actual} file."
    elif actual in SUPPORTED:
        hint = f"Say disk_format={actual!r}."
    else:
        hint = "Convert it with qemu-img first."
    raise InvalidRequest(f"the image is said to be {claimed}, but its first bytes are those of {actual}", hint=hint)


def _check_virtual_size(format: str, size_bytes: int, limit: int) -> None:
    if not 0 < size_bytes <= limit:
        raise refusal(
            format,
            f"its virtual size of {size_bytes} bytes is out of range",
            f"From 1 byte to {limit >> 30} GiB are taken.",
        )


def _whole_sectors(size_bytes: int) -> int:
    return -(-size_bytes // SECTOR) * SECTOR
