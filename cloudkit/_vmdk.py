"""Reads vmdk of the two kinds that are one file: VMware's "Virtual Disk Format 5.0", and QEMU's block/vmdk.c."""

from __future__ import annotations

import re
import struct
import sys
from array import array
from dataclasses import dataclass

from cloudkit._image_bytes import INCOMPLETE, Bytes, refusal
from cloudkit.errors import InvalidRequest

TYPES = ("monolithicSparse", "streamOptimized")

_SECTOR = 512
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_GD_AT_END = (1 << 64) - 1
_FLAG_REDUNDANT_TABLE = 2
_FLAG_ZERO_GRAINS = 4
_MAX_SECTORS = 1 << 54
_MAX_TABLES = 32 << 20
_CREATE_TYPE = re.compile(r'^\s*createType\s*=\s*"?([^"\s]*)', re.IGNORECASE | re.MULTILINE)
_PARENT_ID = re.compile(r"^\s*parentCID\s*=\s*(\w*)", re.IGNORECASE | re.MULTILINE)
_EXTENT = re.compile(r"^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\w+)(?:\s+(.*?))?\s*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Header:
    flags: int
    capacity: int
    grain: int
    entries: int
    redundant_offset: int
    directory_offset: int

    @property
    def tables(self) -> int:
        """How many grain tables there are."""
        return -(-self.capacity // (self.entries * self.grain))


class Vmdk:
    """The format's reader."""

    def check_header(self, header: bytes, size_bytes: int | None) -> int:
        """The virtual size; raises InvalidRequest for what is never opened."""
        found = _parse(header)
        _check_descriptor(header)
        if size_bytes is not None and found.directory_offset != _GD_AT_END:
            _check_directories(found, size_bytes)
        return found.capacity * _SECTOR

    def count_data(self, source: Bytes) -> int:
        """How many bytes the grains hold that are in use; raises InvalidRequest where one is not in the file."""
        header = source.read(0, min(source.size, 64 * 1024))
        found = _parse(header)
        if found.directory_offset == _GD_AT_END:
            found = _read_footer(source, found)
        _check_directories(found, source.size)
        nothing = (0, 1) if found.flags & _FLAG_ZERO_GRAINS else (0,)
        counted: dict[int, int] = dict.fromkeys(nothing, 0)
        total = 0
        for offset in _numbers(source.read(found.directory_offset * _SECTOR, 4 * found.tables)):
            if offset not in counted:
                table = _numbers(source.read(offset * _SECTOR, 4 * found.entries))
                grains = [grain for grain in table if grain not in nothing]
                if grains and max(grains) * _SECTOR >= source.size:
                    raise _refuse("its data end before they should", INCOMPLETE)
                counted[offset] = len(grains)
            total += counted[offset]
        return total * found.grain * _SECTOR


READER = Vmdk()


def _refuse(reason: str, *hint: str) -> InvalidRequest:
    return refusal("vmdk", reason, *hint)


def _numbers(data: bytes) -> array[int]:
    numbers = array("I", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _parse(header: bytes) -> _Header:
    if header[:4] != b"KDMV":
        raise _refuse("it only describes other files, or is of an old kind", "Convert it: qemu-img convert -O qcow2.")
    if len(header) < _SECTOR:
        raise _refuse("its header is cut off", INCOMPLETE)
    _, version, flags, capacity, grain, _, _, entries, redundant, directory, _, _, _, compression = (
        _HEADER.unpack_from(header)
    )
    if not 1 <= version <= 3:
        raise _refuse(f"its version is {version}")
    if not 0 < capacity < _MAX_SECTORS:
        # Of one without a size QEMU believes the descriptor, and opens what that names.
        raise _refuse(f"its virtual size of {capacity} sectors is out of range")
    if not 1 <= grain <= 1 << 15 or grain & (grain - 1):
        raise _refuse("its grain size is out of range")
    if not 1 <= entries <= 512:
        raise _refuse("the size of its grain tables is out of range")
    if compression > 1:
        raise _refuse("the way it is compressed is not known")
    found = _Header(flags, capacity, grain, entries, redundant, directory)
    if found.tables > _MAX_TABLES:
        raise _refuse("it has too many grain tables")
    return found


def _check_directories(found: _Header, size_bytes: int) -> None:
    offsets = [found.directory_offset]
    if found.flags & _FLAG_REDUNDANT_TABLE:
        offsets.append(found.redundant_offset)
    for offset in offsets:
        if not 0 < offset < _MAX_SECTORS or offset * _SECTOR + 4 * found.tables > size_bytes:
            raise _refuse("a table is beyond its end", INCOMPLETE)


def _read_footer(source: Bytes, header: _Header) -> _Header:
    """The copy of the header that ends a stream, which knows where the tables are and otherwise must say the same."""
    if source.size < 3 * _SECTOR:
        raise _refuse("its footer is missing", INCOMPLETE)
    footer = source.read(source.size - 2 * _SECTOR, _SECTOR)
    if footer[:4] != b"KDMV":
        raise _refuse("its footer is missing", INCOMPLETE)
    found = _parse(footer)
    if (found.capacity, found.grain, found.entries) != (header.capacity, header.grain, header.entries):
        raise _refuse("its footer contradicts its header")
    return found


def _check_descriptor(header: bytes) -> None:
    """The text within it, which says what kind it is; QEMU also looks there for a parent."""
    start, length = (number * _SECTOR for number in _HEADER.unpack_from(header)[5:7])
    if not start or not length or start + length > 64 * 1024:
        raise _refuse("its descriptor is missing or out of range")
    if start + length > len(header):
        raise _refuse("its descriptor is cut off", INCOMPLETE)
    # QEMU looks for it in a range of its own, whatever the header says.
    if b"parentfilenamehint" in header.lower():
        raise _refuse("it has a parent, which would be read from this host")
    text = header[start : start + length].partition(b"\0")[0].decode("latin-1")
    kinds = _CREATE_TYPE.findall(text)
    if len(kinds) != 1 or kinds[0] not in TYPES:
        raise _refuse(
            f"its kind is {', '.join(map(repr, kinds)) or 'not told'}; taken are {' and '.join(TYPES)}",
            "Convert it: qemu-img convert -O qcow2.",
        )
    if any(parent.lower() != "ffffffff" for parent in _PARENT_ID.findall(text)):
        raise _refuse("it has a parent, which would be read from this host")
    extents = _EXTENT.findall(text)
    if len(extents) != 1 or extents[0][0].upper() != "SPARSE" or "/" in extents[0][1] or "\\" in extents[0][1]:
        raise _refuse("its descriptor names other files")
