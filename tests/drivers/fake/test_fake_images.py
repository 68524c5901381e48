from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest

import cloudkit
from cloudkit import Cloud, Image, InvalidRequest, InvalidState
from cloudkit.types import ImageSpec, Mark
from cloudkit_fake.images import CHUNK_BYTES, empty_qcow2


def spec(disk_format: str) -> ImageSpec:
    return ImageSpec(name="i", mark=Mark(request="r"), disk_format=disk_format)


def test_the_bytes_come_back_with_their_checksum(cloud: Cloud, tmp_path: Path) -> None:
    content = bytes(range(256)) * (CHUNK_BYTES // 128)
    image = cloud.images.upload("raw", data=content, disk_format="raw")
    assert image.checksum == f"sha512:{hashlib.sha512(content).hexdigest()}"
    assert (image.status, image.size_bytes, image.virtual_size_bytes) == ("active", len(content), len(content))
    cloud.images.download(image, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


def test_the_virtual_size_is_read_from_the_header(cloud: Cloud) -> None:
    image = cloud.images.upload("qcow2", data=empty_qcow2(5 << 30))
    assert (image.disk_format, image.virtual_size_bytes) == ("qcow2", 5 << 30)


@pytest.mark.parametrize(
    ("disk_format", "content", "announced", "words"),
    [
        ("raw", b"", None, "empty"),
        ("raw", b"abc", 4, "4 bytes were announced, and 3 came"),
        ("qcow2", bytes(1024), None, "qcow2"),
    ],
)
def test_bytes_that_are_not_what_was_said_leave_nothing(
    driver: Any, disk_format: str, content: bytes, announced: int | None, words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        driver.image.images.create(spec(disk_format), io.BytesIO(content), announced)
    assert list(driver.image.images.list(cloudkit.driver.EVERYTHING)) == []


def test_a_reader_that_breaks_leaves_nothing(driver: Any) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        driver.image.images.create(spec("raw"), Broken(), None)
    assert list(driver.image.images.list(cloudkit.driver.EVERYTHING)) == []


def test_a_format_without_an_inspector_is_taken_as_it_is(driver: Any) -> None:
    assert driver.image.images.create(spec("ploop"), io.BytesIO(b"abc"), 3).virtual_size_bytes == 3


def test_a_protected_image_stays(cloud: Cloud, image: Image) -> None:
    cloud.images.update(image, protected=True)
    with pytest.raises(InvalidState, match="protected"):
        cloud.images.delete(image)
    cloud.images.update(image, protected=False)
    cloud.images.delete(image)
    assert list(cloud.images.list()) == []


def test_a_servers_image_boots_by_the_firmware_of_its_source(cloud: Cloud) -> None:
    source = cloud.images.upload("uefi", data=bytes(512), metadata={"hw_firmware_type": "uefi", "os_distro": "x"})
    server = cloud.servers.create("server", image=source, flavor="m1.tiny", networks="none")
    image = cloud.servers.create_image(server, "copy", metadata={"mine": "1"})
    assert image.metadata == {"hw_firmware_type": "uefi", "mine": "1"}


def test_a_container_is_taken_as_it_is(driver: Any) -> None:
    packed = ImageSpec(name="i", mark=Mark(request="r"), disk_format="qcow2", container_format="compressed")
    assert driver.image.images.create(packed, io.BytesIO(b"\x1f\x8b\x08"), 3).virtual_size_bytes == 3


def test_a_public_image_is_seen_by_all_and_changed_by_its_owner(cloud: Cloud) -> None:
    image = cloud.images.upload("public", data=bytes(512), visibility="public")
    other = cloud.for_project("other")
    assert list(other.images.list()) == [image]
    with pytest.raises(cloudkit.NotFound):
        other.images.delete(image)
    cloud.images.update(image, visibility="private")
    assert list(other.images.list()) == []
