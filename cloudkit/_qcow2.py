"""Reads qcow2, as far as it must be known before QEMU may: QEMU's docs/interop/qcow2.txt."""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import dataclass

from cloudkit._image_bytes import INCOMPLETE, Bytes, refusal
from cloudkit.errors import InvalidRequest

_V2_LENGTH = 72
_V3_LENGTH = 104
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = 1, 2, 4, 8, 16
_KNOWN_INCOMPATIBLE = _DIRTY | _COMPRESSION | _EXTENDED_L2
_ZSTD = 1
_EXTENSION_END = 0
_EXTENSION_BACKING_FORMAT = 0xE2792ACA
_EXTENSION_DATA_FILE = 0x44415441
# QEMU's own limits (block/qcow2.h).
_MAX_L1_BYTES = 32 << 20
_MAX_REFCOUNT_TABLE_BYTES = 8 << 20
_MAX_SNAPSHOTS = 65536
_OFFSET = 0x00FF_FFFF_FFFF_FE00
_COMPRESSED = 1 << 62
_ZERO = 1


@dataclass(frozen=True, slots=True)
class _Header:
    cluster_bits: int
    size: int
    l1_entries: int
    l1_offset: int
    l2_entry_bytes: int

    @property
    def l1_needed(self) -> int:
        """How many entries of the L1 table stand for the disk; more can follow, for a machine's memory."""
        covered = (1 << self.cluster_bits) * ((1 << self.cluster_bits) // self.l2_entry_bytes)
        return -(-self.size // covered)


class Qcow2:
    """The format's reader."""

    def check_header(self, header: bytes, size_bytes: int | None) -> int:
        """The virtual size; raises InvalidRequest for what is never opened."""
        return _read_header(header, size_bytes).size

    def count_data(self, source: Bytes) -> int:
        """How many bytes the clusters hold that are in use; raises InvalidRequest where one is not in the file."""
        header = _read_header(source.read(0, min(source.size, 64 * 1024)), source.size)
        cluster = 1 << header.cluster_bits
        # A table that stands for many places is read once, and counts for each.
        counted: dict[int, int] = {0: 0}
        total = 0
        for entry in _numbers(source.read(header.l1_offset, 8 * header.l1_needed)):
            offset = entry & _OFFSET
            if offset not in counted:
                if offset % cluster or offset + cluster > source.size:
                    raise _refuse("a table is beyond its end", INCOMPLETE)
                counted[offset] = _count_clusters(header, _numbers(source.read(offset, cluster)), source.size)
            total += counted[offset]
        return total << header.cluster_bits


READER = Qcow2()


def _refuse(reason: str, *hint: str) -> InvalidRequest:
    return refusal("qcow2", reason, *hint)


def _numbers(data: bytes) -> array[int]:
    numbers = array("Q", data)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _count_clusters(header: _Header, table: array[int], size: int) -> int:
    """How many clusters of an L2 table hold data."""
    bits = header.cluster_bits
    shift = 62 - (bits - 8)
    count = 0
    for entry in table if header.l2_entry_bytes == 8 else table[::2]:
        if entry & _COMPRESSED:
            offset = entry & ((1 << shift) - 1)
            sectors = ((entry >> shift) & ((1 << (bits - 8)) - 1)) + 1
            # The last one need not fill its last sector.
            end = offset - offset % 512 + (sectors - 1) * 512 + 1
        elif (offset := entry & _OFFSET) and not (entry & _ZERO and header.l2_entry_bytes == 8):
            end = offset + 1
        else:
            continue
        if end > size:
            raise _refuse("its data end before they should", INCOMPLETE)
        count += 1
    return count


def _read_header(header: bytes, size_bytes: int | None) -> _Header:
    if len(header) < _V2_LENGTH:
        raise _refuse("its header is cut off", INCOMPLETE)
    version, backing_offset, _, cluster_bits, size = struct.unpack_from(">IQIIQ", header, 4)
    if version not in (2, 3):
        raise _refuse(f"its version is {version}")
    if backing_offset:
        raise _refuse("it has a backing file, which would be read from this host")
    if not 9 <= cluster_bits <= 21:
        raise _refuse("its cluster size is out of range")
    crypt, l1_entries, l1_offset = struct.unpack_from(">IIQ", header, 32)
    if crypt:
        raise _refuse("it is encrypted, so that nothing could boot it", "Decrypt it first: qemu-img convert.")
    if not 0 < size < 1 << 63:
        raise _refuse(f"its virtual size of {size} bytes is out of range")
    length, l2_entry_bytes = _V2_LENGTH, 8
    if version == 3:
        length, l2_entry_bytes = _check_v3(header)
    _check_extensions(header, length, 1 << cluster_bits)
    found = _Header(cluster_bits, size, l1_entries, l1_offset, l2_entry_bytes)
    _check_tables(header, found, size_bytes)
    return found


def _check_v3(header: bytes) -> tuple[int, int]:
    """The length of the header, and of an entry in its L2 tables."""
    if len(header) < _V3_LENGTH:
        raise _refuse("its header is cut off", INCOMPLETE)
    (incompatible,) = struct.unpack_from(">Q", header, 72)
    if incompatible & _DATA_FILE:
        raise _refuse("its data is in an external file, which would be read from this host")
    if incompatible & _CORRUPT:
        raise _refuse("it is marked as corrupt", "Repair it: qemu-img check -r all.")
    if incompatible & ~_KNOWN_INCOMPATIBLE:
        raise _refuse(f"it has unknown incompatible features ({incompatible:#x})")
    refcount_order, length = struct.unpack_from(">II", header, 96)
    if refcount_order > 6:
        raise _refuse("the width of its reference counts is out of range")
    if not _V3_LENGTH <= length <= len(header) or length % 8:
        raise _refuse("the length of its header is out of range")
    compression = header[104] if length > _V3_LENGTH else 0
    if compression > _ZSTD or (compression != 0) != bool(incompatible & _COMPRESSION):
        raise _refuse("the way it is compressed is not known")
    return int(length), 16 if incompatible & _EXTENDED_L2 else 8


def _check_extensions(header: bytes, offset: int, cluster: int) -> None:
    """Look at each header extension; they end in the first cluster, or where the file does."""
    end = min(len(header), cluster)
    while offset + 8 <= end:
        kind, length = struct.unpack_from(">II", header, offset)
        if kind == _EXTENSION_END:
            return
        if kind in (_EXTENSION_DATA_FILE, _EXTENSION_BACKING_FORMAT):
            raise _refuse("it names another file")
        offset += 8 + (length + 7) // 8 * 8
        if offset > end:
            raise _refuse("an extension of its header runs over its end")


def _check_tables(header: bytes, found: _Header, size_bytes: int | None) -> None:
    """The sizes of its tables; and where the file's is known, that they are in the file."""
    cluster = 1 << found.cluster_bits
    refcount_offset, refcount_clusters, snapshots, snapshots_offset = struct.unpack_from(">QIIQ", header, 48)
    if not found.l1_needed <= found.l1_entries <= _MAX_L1_BYTES // 8:
        raise _refuse("the size of its L1 table is out of range")
    if refcount_clusters << found.cluster_bits > _MAX_REFCOUNT_TABLE_BYTES:
        raise _refuse("the size of its reference table is out of range")
    if snapshots > _MAX_SNAPSHOTS:
        raise _refuse("the number of its snapshots is out of range")
    tables = [(found.l1_offset, 8 * found.l1_entries), (refcount_offset, refcount_clusters << found.cluster_bits)]
    if snapshots:
        tables.append((snapshots_offset, 1))
    for offset, length in tables:
        if offset % cluster or offset >= 1 << 63:
            raise _refuse("a table does not begin where one can")
        if size_bytes is not None and offset + length > size_bytes:
            raise _refuse("a table is beyond its end", INCOMPLETE)
