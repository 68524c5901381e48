from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudkit.errors import InvalidRequest
from cloudkit.image_format import HEADER_BYTES, ImageInfo, detect, inspect


def qcow2(
    *,
    version: int = 3,
    backing_offset: int = 0,
    cluster_bits: int = 16,
    size: int = 1 << 30,
    crypt: int = 0,
    incompatible: int = 0,
    header_length: int = 104,
    extensions: bytes = b"",
) -> bytes:
    fixed = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb",
        version,
        backing_offset,
        0,
        cluster_bits,
        size,
        crypt,
        1,
        3 << 16,
        1 << 16,
        1,
        0,
        0,
    )
    if version == 2:
        return fixed + extensions + bytes(512)
    return fixed + struct.pack(">QQQII", incompatible, 0, 0, 4, header_length) + extensions + bytes(512)


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)


@pytest.mark.parametrize("version", [2, 3])
def test_a_plain_qcow2_is_taken(version: int) -> None:
    assert inspect(qcow2(version=version), "qcow2") == ImageInfo("qcow2", 1 << 30)


@pytest.mark.parametrize("bits", [1, 8, 16, 25])
def test_harmless_features_are_taken(bits: int) -> None:
    assert inspect(qcow2(incompatible=bits), "qcow2").virtual_size_bytes == 1 << 30


def test_harmless_extensions_are_taken() -> None:
    feature_names = extension(0x6803F857, b"\0\0dirty bit")
    assert inspect(qcow2(extensions=feature_names + extension(0x23852875, b"x" * 24)), "qcow2")


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (qcow2(backing_offset=512), "backing file"),
        (qcow2(version=2, backing_offset=512), "backing file"),
        (qcow2(incompatible=4), "external file"),
        (qcow2(incompatible=5), "external file"),
        (qcow2(incompatible=2), "corrupt"),
        (qcow2(incompatible=1 << 5), "unknown incompatible"),
        (qcow2(incompatible=1 << 63), "unknown incompatible"),
        (qcow2(crypt=1), "encrypted"),
        (qcow2(version=4), "version is 4"),
        (qcow2(version=1), "version is 1"),
        (qcow2(cluster_bits=8), "cluster size"),
        (qcow2(cluster_bits=22), "cluster size"),
        (qcow2(size=0), "virtual size"),
        (qcow2(size=1 << 63), "virtual size"),
        (qcow2(header_length=96), "length of its header"),
        (qcow2(header_length=1 << 20), "length of its header"),
        (qcow2(extensions=extension(0x44415441, b"/etc/shadow")), "names another file"),
        (qcow2(extensions=extension(0xE2792ACA, b"raw")), "names another file"),
        (qcow2(extensions=extension(0x6803F857, b"abc") + extension(0x44415441, b"/etc/shadow")), "another file"),
        (qcow2()[:71], "cut off"),
        (qcow2()[:103], "cut off"),
    ],
)
def test_a_dangerous_or_broken_qcow2_is_refused(image: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as raised:
        inspect(image, "qcow2")
    assert raised.value.hint


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
    ],
)
def test_a_raw_image_must_be_raw(start: bytes, format: str) -> None:
    assert detect(start + bytes(512)) == format
    with pytest.raises(InvalidRequest, match=f"are those of {format}"):
        inspect(start + bytes(512), "raw")


def test_raw() -> None:
    assert inspect(b"\xeb\x63\x90" + bytes(509), "raw") == ImageInfo("raw", None)


def test_raw_said_to_be_qcow2() -> None:
    with pytest.raises(InvalidRequest, match="are those of raw"):
        inspect(bytes(512), "qcow2")


@pytest.mark.parametrize("claimed", ["vmdk", "iso", "", "QCOW2"])
def test_other_formats_are_refused_with_a_way_out(claimed: str) -> None:
    with pytest.raises(InvalidRequest, match="are not taken") as raised:
        inspect(bytes(512), claimed)
    assert "qemu-img convert" in raised.value.hint


@given(st.binary(max_size=600), st.sampled_from(["qcow2", "raw", "vmdk"]))
@example(b"", "qcow2")
@example(b"QFI\xfb", "qcow2")
def test_any_bytes_are_taken_or_refused(image: bytes, claimed: str) -> None:
    try:
        info = inspect(image, claimed)
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


@given(st.data())
def test_a_valid_header_with_some_bytes_changed(data: st.DataObject) -> None:
    image = bytearray(qcow2(extensions=extension(0x6803F857, b"abc"))[:HEADER_BYTES])
    for _ in range(data.draw(st.integers(1, 6))):
        image[data.draw(st.integers(0, 140))] = data.draw(st.integers(0, 255))
    try:
        inspect(bytes(image), "qcow2")
    except InvalidRequest as refusal:
        reason = refusal.message
    else:
        reason = "none was needed"
    assert reason
