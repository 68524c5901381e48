"""What a disk image's first bytes say: its true format, and whether any tool may open it.

Images come from users. Whoever opens one lets its header speak: a qcow2 can name another file of the host as
its backing or data file (CVE-2024-32498), a "raw" one can in truth be of a format that tools recognise. So the
header is read here, before libvirt or QEMU see the file. Fields are QEMU's docs/interop/qcow2.txt.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cloudkit.errors import InvalidRequest

HEADER_BYTES = 64 * 1024
"""How much of an image's start ``inspect`` wants, or all of a shorter one."""
MAX_VIRTUAL_BYTES = 64 << 40
SUPPORTED = ("qcow2", "raw")

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
)
_QCOW2_V2_LENGTH = 72
_QCOW2_V3_LENGTH = 104
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION = 1, 2, 4, 8
# Extended L2 entries are bit 4; they are young and rare, but harmless: QEMU since 5.2.
_KNOWN_INCOMPATIBLE = _DIRTY | _COMPRESSION | 16
_EXTENSION_END = 0
_EXTENSION_BACKING_FORMAT = 0xE2792ACA
_EXTENSION_DATA_FILE = 0x44415441


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """A checked image. ``virtual_size_bytes`` is None where only the whole file's length tells it (raw)."""

    format: str
    virtual_size_bytes: int | None


def detect(header: bytes) -> str:
    """The format by its magic; what has none is raw."""
    for offset, magic, name in _MAGICS:
        if header[offset : offset + len(magic)] == magic:
            return name
    return "raw"


def inspect(header: bytes, claimed: str) -> ImageInfo:
    """Check an image's start against the format that it is said to have.

    Raises:
        InvalidRequest: the format is another one or not taken, or the header asks for what is refused.
    """
    if claimed not in SUPPORTED:
        raise InvalidRequest(
            f"images of the format {claimed!r} are not taken",
            hint=f"Convert it first: qemu-img convert -O qcow2. Taken are: {', '.join(SUPPORTED)}.",
        )
    actual = detect(header)
    if actual != claimed:
        raise InvalidRequest(
            f"the image is said to be {claimed}, but its first bytes are those of {actual}",
            hint=f"Say disk_format={actual!r}." if actual in SUPPORTED else "Convert it with qemu-img first.",
        )
    return ImageInfo("raw", None) if actual == "raw" else ImageInfo("qcow2", _check_qcow2(header))


def _refuse(reason: str, hint: str = "Make a self-contained copy: qemu-img convert -O qcow2.") -> InvalidRequest:
    return InvalidRequest(f"the qcow2 image is refused: {reason}", hint=hint)


def _check_qcow2(header: bytes) -> int:
    if len(header) < _QCOW2_V2_LENGTH:
        raise _refuse("its header is cut off", "The file is incomplete: fetch it again.")
    version, backing_offset, _backing_length, cluster_bits, size = struct.unpack_from(">IQIIQ", header, 4)
    if version not in (2, 3):
        raise _refuse(f"its version is {version}")
    if backing_offset:
        raise _refuse("it has a backing file, which would be read from this host")
    if not 9 <= cluster_bits <= 21:
        raise _refuse("its cluster size is out of range")
    if struct.unpack_from(">I", header, 32)[0]:
        raise _refuse("it is encrypted")
    if not 0 < size <= MAX_VIRTUAL_BYTES:
        raise _refuse(f"its virtual size of {size} bytes is out of range")
    length = _QCOW2_V2_LENGTH
    if version == 3:
        length = _check_qcow2_v3(header)
    _check_extensions(header, length)
    return int(size)


def _check_qcow2_v3(header: bytes) -> int:
    if len(header) < _QCOW2_V3_LENGTH:
        raise _refuse("its header is cut off", "The file is incomplete: fetch it again.")
    (incompatible,) = struct.unpack_from(">Q", header, 72)
    if incompatible & _DATA_FILE:
        raise _refuse("its data is in an external file, which would be read from this host")
    if incompatible & _CORRUPT:
        raise _refuse("it is marked as corrupt", "Repair it: qemu-img check -r all.")
    if incompatible & ~_KNOWN_INCOMPATIBLE:
        raise _refuse(f"it has unknown incompatible features ({incompatible:#x})")
    (length,) = struct.unpack_from(">I", header, 100)
    if not _QCOW2_V3_LENGTH <= length <= len(header) or length % 8:
        raise _refuse("the length of its header is out of range")
    return int(length)


def _check_extensions(header: bytes, offset: int) -> None:
    while offset + 8 <= len(header):
        kind, length = struct.unpack_from(">II", header, offset)
        if kind == _EXTENSION_END:
            return
        if kind in (_EXTENSION_DATA_FILE, _EXTENSION_BACKING_FORMAT):
            raise _refuse("it names another file")
        offset += 8 + (length + 7) // 8 * 8
