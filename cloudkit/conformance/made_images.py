"""Disk images made byte by byte, without tools: small valid ones, and the corpus that every back-end must refuse.

Each bad one is a valid one with one thing changed, so that nothing else can be the reason of its refusal.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib
from dataclasses import dataclass

CLUSTER_BITS = 12
CLUSTER = 1 << CLUSTER_BITS
SIZE = 1 << 20
CONTENT = bytes(range(256)) * (CLUSTER // 256)
"""What the first cluster of each valid image holds; all else is zeros."""

HEADER_CLUSTER, REFCOUNT_TABLE, REFCOUNT_BLOCK, L1_TABLE, L2_TABLE, DATA_CLUSTER = range(6)
NAME_AT = 2048
"""Where in the header's cluster a name is put."""
BACKING_FORMAT, DATA_FILE, FEATURE_NAMES = 0xE2792ACA, 0x44415441, 0x6803F857

SECTOR = 512
GRAIN_SECTORS = 128
DESCRIPTOR_SECTORS = 20


# ---------------------------------------------------------------- qcow2


def qcow2(version: int = 3, *, compressed: bool = False, extensions: bytes = b"") -> bytes:
    """A disk of 1 MiB with CONTENT in its first cluster."""
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", version, 0, 0, CLUSTER_BITS, SIZE, 0, 1,
        L1_TABLE * CLUSTER, REFCOUNT_TABLE * CLUSTER, 1, 0, 0,
    )  # fmt: skip
    if version == 3:
        header += struct.pack(">QQQII", 0, 0, 0, 4, 104)
    data, entry = CONTENT, DATA_CLUSTER * CLUSTER | 1 << 63
    if compressed:
        packer = zlib.compressobj(9, zlib.DEFLATED, -12)
        data = packer.compress(CONTENT) + packer.flush()
        sectors = -(-len(data) // SECTOR)
        data += bytes(sectors * SECTOR - len(data))
        entry = DATA_CLUSTER * CLUSTER | (sectors - 1) << (62 - (CLUSTER_BITS - 8)) | 1 << 62
    clusters = {
        HEADER_CLUSTER: header + extensions,
        REFCOUNT_TABLE: struct.pack(">Q", REFCOUNT_BLOCK * CLUSTER),
        REFCOUNT_BLOCK: struct.pack(">6H", *[1] * 6),
        L1_TABLE: struct.pack(">Q", L2_TABLE * CLUSTER | 1 << 63),
        L2_TABLE: struct.pack(">Q", entry),
    }
    return b"".join(clusters[number].ljust(CLUSTER, b"\0") for number in range(DATA_CLUSTER)) + data


def extension(kind: int, data: bytes) -> bytes:
    """A header extension of qcow2."""
    return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)


def patched(image: bytes, *patches: tuple[int, bytes]) -> bytes:
    """The image with some bytes replaced."""
    changed = bytearray(image)
    for offset, data in patches:
        changed[offset : offset + len(data)] = data
    return bytes(changed)


def _number(format: str, offset: int, value: int) -> tuple[int, bytes]:
    return offset, struct.pack(format, value)


def with_backing_file(path: str, version: int = 3) -> bytes:
    """A qcow2 whose zeros are another file's bytes."""
    name = path.encode()
    return patched(qcow2(version), _number(">Q", 8, NAME_AT), _number(">I", 16, len(name)), (NAME_AT, name))


def with_data_file(path: str) -> bytes:
    """A qcow2 whose clusters are in another file (CVE-2024-32498)."""
    return patched(qcow2(extensions=extension(DATA_FILE, path.encode())), _number(">Q", 72, 4))


def bomb(entries: int = 1 << 19) -> bytes:
    """A qcow2 of a few megabytes with one table for all places, which unpacks to a terabyte."""
    table = struct.pack(">Q", L2_TABLE * CLUSTER) * entries
    full = struct.pack(">Q", DATA_CLUSTER * CLUSTER) * (CLUSTER // 8)
    l1_at = 6 * CLUSTER
    image = patched(
        qcow2(),
        _number(">Q", 24, entries * (CLUSTER // 8) * CLUSTER),
        _number(">I", 36, entries),
        _number(">Q", 40, l1_at),
        (L2_TABLE * CLUSTER, full),
    )
    return image.ljust(l1_at, b"\0") + table


# ---------------------------------------------------------------- vmdk


def descriptor(
    kind: str = "monolithicSparse",
    extent: str = 'RW 2048 SPARSE "disk.vmdk"',
    more: str = "",
    parent: str = "ffffffff",
) -> bytes:
    """A vmdk's text about itself."""
    return (
        f"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID={parent}\n"
        f'createType="{kind}"\n{more}\n# Extent description\n{extent}\n\n# The Disk Data Base\n#DDB\n\n'
        'ddb.virtualHWVersion = "4"\nddb.geometry.cylinders = "2"\n'
        'ddb.geometry.heads = "16"\nddb.geometry.sectors = "63"\nddb.adapterType = "ide"\n'
    ).encode()


def vmdk(text: bytes | None = None) -> bytes:
    """A monolithicSparse disk of 1 MiB with CONTENT at its start."""
    directory, table, grain = 1 + DESCRIPTOR_SECTORS, 2 + DESCRIPTOR_SECTORS, GRAIN_SECTORS
    image = _vmdk_header(flags=1, directory=directory, overhead=grain)
    image += (descriptor() if text is None else text).ljust(DESCRIPTOR_SECTORS * SECTOR, b"\0")
    image += struct.pack("<I", table).ljust(SECTOR, b"\0") + struct.pack("<I", grain).ljust(4 * SECTOR, b"\0")
    return image.ljust(grain * SECTOR, b"\0") + CONTENT.ljust(GRAIN_SECTORS * SECTOR, b"\0")


def stream_vmdk() -> bytes:
    """The same as streamOptimized: compressed grains, tables behind them, and a footer that tells where."""
    at_end = (1 << 64) - 1
    image = _vmdk_header(flags=3 << 16 | 1, directory=at_end, overhead=GRAIN_SECTORS, compression=1)
    image += descriptor("streamOptimized").ljust(DESCRIPTOR_SECTORS * SECTOR, b"\0")
    image = image.ljust(GRAIN_SECTORS * SECTOR, b"\0")
    packed = zlib.compress(CONTENT.ljust(GRAIN_SECTORS * SECTOR, b"\0"))
    grain = len(image) // SECTOR
    image += _whole_sectors(struct.pack("<QI", 0, len(packed)) + packed)
    table = len(image) // SECTOR + 1
    image += _marker(4, 1) + struct.pack("<I", grain).ljust(4 * SECTOR, b"\0")
    directory = len(image) // SECTOR + 1
    image += _marker(1, 2) + struct.pack("<I", table).ljust(SECTOR, b"\0")
    image += _marker(1, 3) + _vmdk_header(
        flags=3 << 16 | 1, directory=directory, overhead=GRAIN_SECTORS, compression=1
    )
    return image + _marker(0, 0)


def _vmdk_header(flags: int, directory: int, overhead: int, compression: int = 0) -> bytes:
    version = 3 if compression else 1
    return struct.pack(
        "<4sIIQQQQIQQQB4sH", b"KDMV", version, flags, SIZE // SECTOR, GRAIN_SECTORS, 1, DESCRIPTOR_SECTORS, 512,
        0, directory, overhead, 0, b"\n \r\n", compression,
    ).ljust(SECTOR, b"\0")  # fmt: skip


def _marker(sectors: int, kind: int) -> bytes:
    return struct.pack("<QII", sectors, 0, kind).ljust(SECTOR, b"\0")


def _whole_sectors(data: bytes) -> bytes:
    return data + bytes(-len(data) % SECTOR)


# ---------------------------------------------------------------- the corpus


@dataclass(frozen=True, slots=True)
class BadImage:
    """An image to refuse; ``claimed`` None leaves its format to be told. ``reason`` is a part of the message."""

    name: str
    content: bytes
    reason: str
    claimed: str | None = None


def corpus(path: str = "/etc/passwd") -> tuple[BadImage, ...]:
    """All bad images; those that name a file name ``path``."""
    return (*_bad_claims(), *_bad_qcow2(path), *_bad_qcow2_tables(), *_bad_vmdk(path))


def _bad_claims() -> tuple[BadImage, ...]:
    return (
        BadImage("raw-that-is-qcow2", qcow2(), "first bytes are those of qcow2", "raw"),
        BadImage("raw-that-is-vmdk", vmdk(), "first bytes are those of vmdk", "raw"),
        BadImage("raw-that-is-vdi", bytes(0x40) + b"\x7f\x10\xda\xbe" + bytes(512), "those of vdi", "raw"),
        BadImage("qcow2-that-is-raw", bytes(4096), "first bytes are those of raw", "qcow2"),
        BadImage("vmdk-that-is-qcow2", qcow2(), "first bytes are those of qcow2", "vmdk"),
        BadImage("gzip", gzip.compress(qcow2()), "first bytes are those of gzip"),
        BadImage("xz", lzma.compress(qcow2()), "first bytes are those of xz"),
        BadImage("bzip2", bz2.compress(qcow2()), "first bytes are those of bzip2"),
    )


def _bad_qcow2(path: str) -> tuple[BadImage, ...]:
    named = path.encode()
    return (
        BadImage("backing-file", with_backing_file(path), "backing file"),
        BadImage("backing-file-version-2", with_backing_file(path, 2), "backing file"),
        BadImage("backing-json", with_backing_file(f'json:{{"file.filename":"{path}"}}'), "backing file"),
        BadImage("backing-format", qcow2(extensions=extension(BACKING_FORMAT, b"raw")), "names another file"),
        BadImage("data-file", with_data_file(path), "external file"),
        BadImage("data-file-name-only", qcow2(extensions=extension(DATA_FILE, named)), "names another file"),
        BadImage(
            "data-file-behind-another-extension",
            qcow2(extensions=extension(FEATURE_NAMES, b"abc") + extension(DATA_FILE, named)),
            "names another file",
        ),
        BadImage("unknown-feature", patched(qcow2(), _number(">Q", 72, 1 << 5)), "unknown incompatible"),
        BadImage("unknown-feature-63", patched(qcow2(), _number(">Q", 72, 1 << 63)), "unknown incompatible"),
        BadImage("corrupt", patched(qcow2(), _number(">Q", 72, 2)), "corrupt"),
        BadImage("encrypted-aes", patched(qcow2(), _number(">I", 32, 1)), "encrypted"),
        BadImage("encrypted-luks", patched(qcow2(), _number(">I", 32, 2)), "encrypted"),
        BadImage("version-4", patched(qcow2(), _number(">I", 4, 4)), "version is 4"),
        BadImage("tiny-clusters", patched(qcow2(), _number(">I", 20, 8)), "cluster size"),
        BadImage("huge-clusters", patched(qcow2(), _number(">I", 20, 22)), "cluster size"),
        BadImage("no-size", patched(qcow2(), _number(">Q", 24, 0)), "virtual size"),
        BadImage("petabyte", patched(qcow2(), _number(">Q", 24, 1 << 50)), "out of range"),
        BadImage("short-header", patched(qcow2(), _number(">I", 100, 96)), "length of its header"),
        BadImage("long-header", patched(qcow2(), _number(">I", 100, 1 << 20)), "length of its header"),
        BadImage("extension-runs-over", qcow2(extensions=struct.pack(">II", FEATURE_NAMES, 1 << 31)), "over its end"),
        BadImage(
            "unknown-compression",
            patched(qcow2(), _number(">Q", 72, 8), _number(">I", 100, 112), (104, b"\2")),
            "compressed is not known",
        ),
        BadImage("cut-off-header", qcow2()[:71], "cut off"),
        BadImage("cut-off-version-3-header", qcow2()[:103], "cut off"),
    )


def _bad_qcow2_tables() -> tuple[BadImage, ...]:
    beyond = 1 << 30
    return (
        BadImage("cut-off-tables", qcow2()[: L1_TABLE * CLUSTER], "beyond its end"),
        BadImage("cut-off-data", qcow2()[: DATA_CLUSTER * CLUSTER], "end before"),
        BadImage("cut-off-compressed-data", qcow2(compressed=True)[: DATA_CLUSTER * CLUSTER], "end before"),
        BadImage("l1-beyond-its-end", patched(qcow2(), _number(">Q", 40, beyond)), "beyond its end"),
        BadImage("l1-at-an-odd-place", patched(qcow2(), _number(">Q", 40, 513)), "where one can"),
        BadImage("l1-too-small", patched(qcow2(), _number(">I", 36, 0)), "L1 table"),
        BadImage("l1-too-large", patched(qcow2(), _number(">I", 36, (1 << 32) - 1)), "L1 table"),
        BadImage("l2-beyond-its-end", patched(qcow2(), _number(">Q", L1_TABLE * CLUSTER, beyond)), "beyond its end"),
        BadImage("data-beyond-its-end", patched(qcow2(), _number(">Q", L2_TABLE * CLUSTER, beyond)), "end before"),
        BadImage("refcounts-beyond-its-end", patched(qcow2(), _number(">Q", 48, beyond)), "beyond its end"),
        BadImage("refcounts-too-large", patched(qcow2(), _number(">I", 56, 1 << 31)), "reference table"),
        BadImage("snapshots-beyond-its-end", patched(qcow2(), (60, struct.pack(">IQ", 1, beyond))), "beyond its end"),
        BadImage("many-snapshots", patched(qcow2(), _number(">I", 60, 1 << 20)), "snapshots"),
        BadImage("bomb", bomb(), "would unpack to"),
    )


def _bad_vmdk(path: str) -> tuple[BadImage, ...]:
    flat = descriptor("monolithicFlat", f'RW 2048 FLAT "{path}" 0')
    return (
        BadImage("flat-extents", flat.ljust(SECTOR, b"\n"), "describes other files", "vmdk"),
        BadImage("old-vmdk", b"COWD" + bytes(1020), "describes other files", "vmdk"),
        BadImage("embedded-flat-extent", vmdk(flat), "its kind is 'monolithicFlat'"),
        # QEMU believes the descriptor of a disk that has no size, and opens the files that it names.
        BadImage("no-size-and-flat-extent", patched(vmdk(flat), _number("<Q", 12, 0)), "0 sectors"),
        BadImage("vmfs", vmdk(descriptor("vmfs", f'RW 2048 VMFS "{path}"')), "its kind is 'vmfs'"),
        BadImage("two-gigabyte-extents", vmdk(descriptor("twoGbMaxExtentSparse")), "its kind is"),
        BadImage("full-device", vmdk(descriptor("fullDevice", f'RW 2048 FLAT "{path}" 0')), "its kind is"),
        BadImage("no-kind", vmdk(b"# Disk DescriptorFile\nversion=1\n"), "not told"),
        BadImage("two-kinds", vmdk(descriptor(more='createType="monolithicFlat"')), "its kind is"),
        BadImage("extent-with-a-path", vmdk(descriptor(extent=f'RW 2048 SPARSE "{path}"')), "names other files"),
        BadImage("flat-extent-of-a-sparse", vmdk(descriptor(extent='RW 2048 FLAT "a" 0')), "names other files"),
        BadImage(
            "two-extents", vmdk(descriptor(extent='RW 2048 SPARSE "a"\nRW 2048 FLAT "b" 0')), "names other files"
        ),
        BadImage("parent", vmdk(descriptor(more=f'parentFileNameHint="{path}"', parent="12345678")), "a parent"),
        BadImage("parent-id", vmdk(descriptor(parent="12345678")), "a parent"),
        BadImage("no-descriptor", patched(vmdk(), _number("<Q", 28, 0)), "descriptor"),
        BadImage("descriptor-out-of-range", patched(vmdk(), _number("<Q", 28, 1 << 40)), "descriptor"),
        BadImage("huge-vmdk", patched(vmdk(), _number("<Q", 12, 1 << 42)), "too many"),
        BadImage("vmdk-version-4", patched(vmdk(), _number("<I", 4, 4)), "version is 4"),
        BadImage("vmdk-grain", patched(vmdk(), _number("<Q", 20, 3)), "grain size"),
        BadImage("vmdk-tables", patched(vmdk(), _number("<I", 44, 513)), "grain tables"),
        BadImage("vmdk-compression", patched(vmdk(), _number("<H", 77, 2)), "compressed is not known"),
        BadImage("vmdk-directory-beyond-its-end", patched(vmdk(), _number("<Q", 56, 1 << 30)), "beyond its end"),
        BadImage("cut-off-vmdk", vmdk()[: GRAIN_SECTORS * SECTOR], "end before"),
        BadImage("cut-off-vmdk-header", vmdk()[:100], "cut off"),
        BadImage("cut-off-stream", stream_vmdk()[: -2 * SECTOR], "footer"),
        BadImage("footer-of-another", _with_other_footer(), "contradicts"),
    )


def _with_other_footer() -> bytes:
    image = stream_vmdk()
    return patched(image, _number("<Q", len(image) - 2 * SECTOR + 12, 1 << 30))
