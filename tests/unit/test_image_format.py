"""The readers of image formats take what is whole and refuse the corpus, whatever is done to the bytes."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudkit.conformance import made_images as made
from cloudkit.errors import InvalidRequest
from cloudkit.image_format import HEADER_BYTES, SUPPORTED, ImageInfo, detect, inspect, inspect_file

GOOD = {
    "qcow2-2": made.qcow2(2),
    "qcow2-3": made.qcow2(3),
    "qcow2-compressed": made.qcow2(compressed=True),
    "vmdk": made.vmdk(),
    "vmdk-stream": made.stream_vmdk(),
}


def extension_bits(bits: int) -> bytes:
    return made.patched(made.qcow2(), (72, struct.pack(">Q", bits)))


class Watched(io.BytesIO):
    """A file that notes how far it was read."""

    furthest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0, "the whole file is asked for"
        piece = super().read(size)
        self.furthest = max(self.furthest, self.tell())
        return piece


# ---------------------------------------------------------------- what is taken


@pytest.mark.parametrize("name", GOOD)
def test_a_whole_image_is_taken(name: str) -> None:
    image, format = GOOD[name], name.partition("-")[0]
    assert detect(image) == format
    assert inspect(image[:HEADER_BYTES], format) == ImageInfo(format, made.SIZE)
    cluster = made.CLUSTER if format == "qcow2" else made.GRAIN_SECTORS * made.SECTOR
    assert inspect_file(io.BytesIO(image), format) == ImageInfo(format, made.SIZE, cluster)


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
@pytest.mark.parametrize("name", GOOD)
def test_the_images_that_the_corpus_is_made_of_are_what_qemu_reads(name: str, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(GOOD[name])
    command = ["qemu-img", "convert", "-f", name.partition("-")[0], "-O", "raw", tmp_path / "image", tmp_path / "raw"]
    subprocess.run(command, check=True, timeout=60)
    assert (tmp_path / "raw").read_bytes() == made.CONTENT.ljust(made.SIZE, b"\0")


def test_an_image_in_the_middle_of_a_file_is_read_from_there() -> None:
    file = io.BytesIO(b"something before" + made.qcow2())
    file.seek(16)
    assert inspect_file(file, "qcow2").virtual_size_bytes == made.SIZE
    assert file.tell() == 16


@pytest.mark.parametrize("bits", [0, 1, 16])
def test_harmless_features_are_taken(bits: int) -> None:
    assert inspect(extension_bits(bits), "qcow2").virtual_size_bytes == made.SIZE


def test_zstd_is_taken() -> None:
    image = made.patched(made.qcow2(), (72, struct.pack(">Q", 8)), (100, struct.pack(">I", 112)), (104, b"\1"))
    assert inspect_file(io.BytesIO(image), "qcow2").virtual_size_bytes == made.SIZE


def test_entries_of_twice_the_size_are_read() -> None:
    # Extended L2 entries: offset, then the bitmap of the parts that are in use.
    table = struct.pack(">QQQQ", made.DATA_CLUSTER * made.CLUSTER, 1, 0, 0)
    image = made.patched(extension_bits(16), (made.L2_TABLE * made.CLUSTER, table))
    assert inspect_file(io.BytesIO(image), "qcow2").data_bytes == made.CLUSTER
    beyond = made.patched(image, (made.L2_TABLE * made.CLUSTER + 16, struct.pack(">Q", 1 << 30)))
    with pytest.raises(InvalidRequest, match="end before"):
        inspect_file(io.BytesIO(beyond), "qcow2")


def test_harmless_extensions_are_taken() -> None:
    names = made.extension(made.FEATURE_NAMES, b"\0\0dirty bit") + made.extension(0x23852875, b"x" * 24)
    assert inspect(made.qcow2(extensions=names), "qcow2")


def test_raw() -> None:
    assert inspect(b"\xeb\x63\x90" + bytes(509), "raw") == ImageInfo("raw", None)
    assert inspect(b"\xeb\x63\x90" + bytes(510), "raw", 513) == ImageInfo("raw", 1024)
    assert inspect_file(io.BytesIO(bytes(513)), "raw") == ImageInfo("raw", 1024, 513)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("bad", made.corpus(), ids=lambda bad: bad.name)
def test_the_corpus_is_refused(bad: made.BadImage) -> None:
    claimed = bad.claimed or detect(bad.content)
    if claimed not in SUPPORTED:
        claimed = "raw"
    with pytest.raises(InvalidRequest, match=bad.reason) as raised:
        inspect_file(io.BytesIO(bad.content), claimed)
    assert raised.value.hint


def test_a_start_alone_tells_what_names_other_files() -> None:
    tables = (
        "cut-off-data",
        "cut-off-compressed",
        "l2-",
        "data-beyond",
        "bomb",
        "cut-off-vmdk",
        "footer",
        "cut-off-s",
    )
    for bad in made.corpus():
        claimed = bad.claimed or detect(bad.content)
        if claimed in SUPPORTED and not bad.name.startswith(tables):
            with pytest.raises(InvalidRequest):
                inspect(bad.content[:HEADER_BYTES], claimed, len(bad.content))


def test_a_limit_of_ones_own() -> None:
    for name, image in GOOD.items():
        with pytest.raises(InvalidRequest, match="virtual size"):
            inspect_file(io.BytesIO(image), name.partition("-")[0], made.SIZE - 1)
    with pytest.raises(InvalidRequest, match="virtual size"):
        inspect_file(io.BytesIO(bytes(1025)), "raw", 1024)


@pytest.mark.parametrize(
    ("start", "format"),
    [
        (b"QFI\xfb", "qcow2"),
        (b"KDMV", "vmdk"),
        (b"COWD", "vmdk"),
        (b"# Disk DescriptorFile\n", "vmdk"),
        (b"conectix", "vpc"),
        (b"vhdxfile", "vhdx"),
        (b"QED\0", "qed"),
        (b"LUKS\xba\xbe", "luks"),
        (bytes(0x40) + b"\x7f\x10\xda\xbe", "vdi"),
        (b"WithoutFreeSpace", "parallels"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh9", "bzip2"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"PK\3\4", "zip"),
    ],
)
def test_a_raw_image_must_be_raw(start: bytes, format: str) -> None:
    assert detect(start + bytes(512)) == format
    with pytest.raises(InvalidRequest, match=f"are those of {format}"):
        inspect(start + bytes(512), "raw")


def test_a_packed_image_is_to_be_unpacked() -> None:
    with pytest.raises(InvalidRequest) as raised:
        inspect(b"\x1f\x8b\x08" + bytes(512), "raw")
    assert raised.value.hint == "Unpack it first: it is a gzip file."


@pytest.mark.parametrize("claimed", ["vdi", "iso", "", "QCOW2"])
def test_other_formats_are_refused_with_a_way_out(claimed: str) -> None:
    with pytest.raises(InvalidRequest, match="are not taken") as raised:
        inspect(bytes(512), claimed)
    assert "qemu-img convert" in raised.value.hint


# ---------------------------------------------------------------- whatever the bytes are


@given(st.binary(max_size=600), st.sampled_from(["qcow2", "raw", "vmdk"]))
@example(b"", "qcow2")
@example(b"QFI\xfb", "qcow2")
@example(b"KDMV", "vmdk")
def test_any_bytes_are_taken_or_refused(image: bytes, claimed: str) -> None:
    try:
        info = inspect_file(io.BytesIO(image), claimed)
    except InvalidRequest:
        return
    assert info.format == claimed == detect(image)


@given(st.binary(min_size=100, max_size=400), st.sampled_from([2, 3]))
def test_any_qcow2_header_is_taken_or_refused(rest: bytes, version: int) -> None:
    image = b"QFI\xfb" + struct.pack(">I", version) + rest
    try:
        info = inspect(image, "qcow2")
    except InvalidRequest:
        return
    # Whatever is taken names no other file.
    assert struct.unpack_from(">Q", image, 8) == (0,)
    assert version == 2 or not struct.unpack_from(">Q", image, 72)[0] & 4
    assert info.virtual_size_bytes


@given(st.sampled_from(sorted(GOOD)), st.data())
def test_a_valid_image_with_some_bytes_changed(name: str, data: st.DataObject) -> None:
    image = bytearray(GOOD[name])
    # Where something is said: the header, the descriptor, the tables; not among the zeros between them.
    places = [place for place, byte in enumerate(image[: 6 * made.CLUSTER]) if byte] + list(range(112))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.sampled_from(places))
        image[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    del image[data.draw(st.integers(0, len(image))) :]
    file, claimed = Watched(image), name.partition("-")[0]
    try:
        info = inspect_file(file, claimed)
    except InvalidRequest as refusal:
        assert refusal.hint
        return
    finally:
        assert file.tell() == 0
    assert info.data_bytes is not None
    assert info.virtual_size_bytes


@given(st.sampled_from(sorted(GOOD)), st.binary(max_size=64))
def test_no_more_than_a_start_is_looked_at(name: str, rest: bytes) -> None:
    start, format = GOOD[name].ljust(HEADER_BYTES, b"\0")[:HEADER_BYTES], name.partition("-")[0]
    assert inspect(start + rest, format) == inspect(start, format)
    file = Watched(start + bytes(1 << 20))
    with pytest.raises(InvalidRequest):
        inspect_file(file, "raw")
    assert file.furthest <= HEADER_BYTES
