"""Images: bytes in, the same bytes out, and nothing half-made in between."""

from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path
from typing import Any

import pytest

from cloudkit import Cloud, CloudError, InUse, InvalidRequest, InvalidState, Kind, NotFound
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab

CONTENT = bytes(range(256)) * 4096 + b"an odd end"
"""A raw image of more than one piece."""

QCOW2 = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, 1 << 20, 0, 1, 0x30000, 0x10000, 1, 0, 0)
WITH_BACKING_FILE = (
    struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 72, 11, 16, 1 << 20, 0, 1, 0x30000, 0x10000, 1, 0, 0)
    + b"/etc/passwd"
)


class Broken(io.BytesIO):
    """A file that gives some bytes and then breaks."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 300_000:
            raise OSError("the disk is gone")
        return super().read(size)


@needs("images.create")
class TestUpload(Conformance):
    def test_bytes_become_an_active_image(self, lab: Lab, cloud: Cloud) -> None:
        image = cloud.images.upload(lab.name("image"), data=CONTENT)
        assert image.status == "active"
        assert image.size_bytes == len(CONTENT)
        assert (image.disk_format, image.container_format) == ("raw", "bare")
        assert (image.visibility, image.protected, image.server_id) == ("private", False, None)
        assert cloud.images.get(image) == image

    def test_its_checksum_is_that_of_the_bytes(self, lab: Lab, cloud: Cloud) -> None:
        algorithm, _, digest = (cloud.images.upload(lab.name("image"), data=CONTENT).checksum or "").partition(":")
        assert digest == hashlib.new(algorithm, CONTENT).hexdigest()

    def test_a_file_is_uploaded(self, lab: Lab, cloud: Cloud, tmp_path: Path) -> None:
        (tmp_path / "disk.img").write_bytes(CONTENT)
        for path in (tmp_path / "disk.img", str(tmp_path / "disk.img")):
            assert cloud.images.upload(lab.name("image"), path=path).size_bytes == len(CONTENT)

    def test_a_stream_of_unknown_length_is_uploaded(self, lab: Lab, cloud: Cloud) -> None:
        class Stream(io.BytesIO):
            def tell(self) -> int:
                raise OSError("a pipe")

        assert cloud.images.upload(lab.name("image"), data=Stream(CONTENT)).size_bytes == len(CONTENT)

    def test_the_rest_of_an_open_file_is_uploaded(self, lab: Lab, cloud: Cloud) -> None:
        file = io.BytesIO(b"head" + CONTENT)
        file.seek(4)
        assert cloud.images.upload(lab.name("image"), data=file).size_bytes == len(CONTENT)

    def test_its_format_is_told_from_its_bytes(self, lab: Lab, cloud: Cloud) -> None:
        assert cloud.images.upload(lab.name("image"), data=QCOW2 + bytes(1 << 19)).disk_format == "qcow2"

    def test_progress_is_told(self, lab: Lab, cloud: Cloud) -> None:
        seen: list[tuple[int, int | None]] = []
        cloud.images.upload(
            lab.name("image"), data=CONTENT, on_bytes=lambda count, total: seen.append((count, total))
        )
        assert seen[-1] == (len(CONTENT), len(CONTENT))
        assert seen == sorted(seen)

    def test_what_it_needs_is_kept(self, lab: Lab, cloud: Cloud) -> None:
        image = cloud.images.upload(lab.name("image"), data=CONTENT, min_disk_gib=2, min_ram_mib=64)
        assert (image.min_disk_gib, image.min_ram_mib) == (2, 64)

    @needs("images.create:metadata")
    def test_its_metadata_are_kept(self, lab: Lab, cloud: Cloud) -> None:
        image = cloud.images.upload(
            lab.name("image"), data=CONTENT, metadata={"os_distro": "debian", "a Size:0.1_b-c": "größer"}
        )
        assert image.metadata == {"os_distro": "debian", "a Size:0.1_b-c": "größer"}
        assert cloud.images.get(image).metadata == image.metadata

    @needs("images.create:tags")
    def test_its_tags_are_kept(self, lab: Lab, cloud: Cloud) -> None:
        image = cloud.images.upload(lab.name("image"), data=CONTENT, tags=["blue", "big"])
        assert sorted(image.tags) == ["big", "blue"]
        assert [each.id for each in cloud.images.list(tags=["blue"], name=image.name)] == [image.id]

    @needs("images.create:protected", "images.update")
    def test_a_protected_one_is_not_deleted(self, lab: Lab, cloud: Cloud) -> None:
        image = cloud.images.upload(lab.name("image"), data=CONTENT, protected=True)
        assert image.protected
        with pytest.raises(InvalidState):
            cloud.images.delete(image)
        assert not cloud.images.update(image, protected=False).protected
        cloud.images.delete(image)
        assert cloud.images.find(image.name) is None

    def test_a_public_one_is_used_by_other_projects(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        image = cloud.images.upload(lab.name("image"), data=CONTENT, visibility="public")
        assert image.visibility == "public"
        assert other.images.get(image.name).id == image.id
        server = lab.server(other, image=image.name)
        assert server.image_id == image.id
        other.servers.delete(server)

    def test_other_projects_cannot_delete_a_public_one(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        image = cloud.images.upload(lab.name("image"), data=CONTENT, visibility="public")
        with pytest.raises(CloudError):
            other.images.delete(image)
        assert cloud.images.get(image).status == "active"

    def test_other_projects_cannot_boot_a_private_one(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        image = cloud.images.upload(lab.name("image"), data=CONTENT)
        for ref in (image.id, image.name):
            with pytest.raises(NotFound):
                lab.server(other, image=ref)

    def test_the_end_of_an_image_does_no_harm_to_a_server_made_from_it(self, lab: Lab, cloud: Cloud) -> None:
        image = cloud.images.upload(lab.name("image"), data=CONTENT)
        server = lab.server(cloud, image=image)
        try:
            cloud.images.delete(image)
        except InUse:
            # A disk that is built on it needs it; a back-end that copies does not.
            assert cloud.images.get(image).status == "active"
        cloud.servers.stop(server, hard=True)
        assert cloud.servers.start(server).status == "ACTIVE"
        cloud.servers.delete(server)
        cloud.images.delete(image, missing_ok=True)
        assert cloud.images.find(image.name) is None


@needs("images.create")
class TestBadImages(Conformance):
    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"path": "/nonexistent/disk.img"},
            {"path": "/"},
            {"path": 7},
            {"path": "disk.img", "data": b"x"},
            {"data": b""},
            {"data": "text"},
            {"data": io.StringIO("text")},
            {"data": b"x" * 512, "disk_format": "qcow2"},
            {"data": b"x" * 512, "disk_format": "floppy"},
            {"data": b"x" * 512, "container_format": "box"},
            {"data": QCOW2 + bytes(4096), "disk_format": "raw"},
            {"data": WITH_BACKING_FILE + bytes(4096)},
            {"data": b"x" * 512, "min_disk_gib": -1},
            {"data": b"x" * 512, "min_ram_mib": "64"},
            {"data": b"x" * 512, "visibility": "secret"},
            {"data": b"x" * 512, "protected": "yes"},
            {"data": b"x" * 512, "metadata": {"hw_firmware_type": "floppy"}},
        ],
        ids=[
            "neither",
            "missing file",
            "folder",
            "path that is none",
            "both",
            "empty",
            "text",
            "text file",
            "raw as qcow2",
            "unknown format",
            "unknown container",
            "qcow2 as raw",
            "backing file",
            "negative disk",
            "memory in words",
            "unknown visibility",
            "protected in words",
            "unknown firmware",
        ],
    )
    def test_a_bad_one_is_refused_and_nothing_is_made(self, lab: Lab, arguments: dict[str, Any]) -> None:
        before = lab.inventory(Kind.IMAGE)
        with pytest.raises(InvalidRequest) as raised:
            lab.cloud.images.upload(lab.name("image"), **arguments)
        assert raised.value.operation == "images.upload"
        assert lab.inventory(Kind.IMAGE) == before

    def test_a_file_that_breaks_leaves_nothing(self, lab: Lab) -> None:
        before = lab.inventory(Kind.IMAGE)
        with pytest.raises(OSError, match="the disk is gone"):
            lab.cloud.images.upload(lab.name("image"), data=Broken(CONTENT))
        assert lab.inventory(Kind.IMAGE) == before


@needs("images.create", "images.download")
class TestDownload(Conformance):
    def test_the_same_bytes_come_back(self, lab: Lab, cloud: Cloud, tmp_path: Path) -> None:
        image = cloud.images.upload(lab.name("image"), data=CONTENT)
        assert cloud.images.download(image, tmp_path / "copy.img") == image
        assert (tmp_path / "copy.img").read_bytes() == CONTENT
        assert [file.name for file in tmp_path.iterdir()] == ["copy.img"]

    def test_the_same_qcow2_comes_back(self, lab: Lab, cloud: Cloud, tmp_path: Path) -> None:
        content = QCOW2 + bytes(1 << 19)
        cloud.images.download(cloud.images.upload(lab.name("image"), data=content), tmp_path / "copy.qcow2")
        assert (tmp_path / "copy.qcow2").read_bytes() == content

    def test_a_file_that_is_there_is_replaced(self, lab: Lab, cloud: Cloud, tmp_path: Path) -> None:
        (tmp_path / "copy.img").write_bytes(b"old")
        cloud.images.download(cloud.images.upload(lab.name("image"), data=CONTENT), tmp_path / "copy.img")
        assert (tmp_path / "copy.img").read_bytes() == CONTENT

    def test_progress_is_told(self, lab: Lab, cloud: Cloud, tmp_path: Path) -> None:
        seen: list[tuple[int, int | None]] = []
        image = cloud.images.upload(lab.name("image"), data=CONTENT)
        cloud.images.download(image, tmp_path / "copy.img", on_bytes=lambda count, total: seen.append((count, total)))
        assert seen[-1] == (len(CONTENT), len(CONTENT))
        assert seen == sorted(seen)

    def test_where_nothing_can_be_written_is_told(self, lab: Lab, cloud: Cloud, tmp_path: Path) -> None:
        image = cloud.images.upload(lab.name("image"), data=CONTENT)
        with pytest.raises(InvalidRequest):
            cloud.images.download(image, tmp_path / "missing" / "copy.img")
        assert list(tmp_path.iterdir()) == []

    def test_what_is_not_there_leaves_no_file(self, lab: Lab, tmp_path: Path) -> None:
        with pytest.raises(NotFound):
            lab.cloud.images.download(lab.name("image"), tmp_path / "copy.img")
        assert list(tmp_path.iterdir()) == []

    def test_another_project_does_not_get_a_private_one(
        self, lab: Lab, cloud: Cloud, other: Cloud, tmp_path: Path
    ) -> None:
        image = cloud.images.upload(lab.name("image"), data=CONTENT)
        with pytest.raises(NotFound):
            other.images.download(image.id, tmp_path / "copy.img")
        assert list(tmp_path.iterdir()) == []


@needs("images.create", "images.update")
class TestImageUpdate(Conformance):
    def test_it_is_changed(self, lab: Lab, cloud: Cloud) -> None:
        image, name = cloud.images.upload(lab.name("image"), data=CONTENT), lab.name("image")
        changed = cloud.images.update(image, name=name, min_disk_gib=1, min_ram_mib=64, visibility="public")
        assert (changed.id, changed.name, changed.visibility) == (image.id, name, "public")
        assert (changed.min_disk_gib, changed.min_ram_mib) == (1, 64)
        assert cloud.images.get(name) == changed
        assert cloud.images.find(image.name) is None

    @needs("images.create:metadata", "images.create:tags")
    def test_metadata_and_tags_are_replaced_as_a_whole(self, lab: Lab, cloud: Cloud) -> None:
        image = cloud.images.upload(lab.name("image"), data=CONTENT, metadata={"a": "1", "b": "2"}, tags=["blue"])
        changed = cloud.images.update(image, metadata={"b": "3"}, tags=["green"])
        assert changed.metadata == {"b": "3"}
        assert changed.tags == ("green",)

    @pytest.mark.parametrize(
        "changes", [{}, {"disk_format": "raw"}, {"name": ""}, {"protected": "no"}, {"min_disk_gib": -1}], ids=str
    )
    def test_what_cannot_be_changed_is_refused(self, lab: Lab, cloud: Cloud, changes: dict[str, Any]) -> None:
        image = cloud.images.upload(lab.name("image"), data=CONTENT)
        with pytest.raises(InvalidRequest):
            cloud.images.update(image, **changes)
        assert cloud.images.get(image) == image


@needs("servers.create_image")
class TestServerImages(Conformance):
    def test_a_servers_image_is_active_and_tells_its_origin(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        image = cloud.servers.create_image(server, lab.name("image"))
        assert (image.status, image.server_id) == ("active", server.id)
        assert image.size_bytes
        assert cloud.images.get(image.name) == image
        assert cloud.servers.get(server).status == "ACTIVE"

    def test_a_stopped_server_gives_one_too(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.stop(lab.server(cloud), hard=True)
        assert cloud.servers.create_image(server, lab.name("image")).status == "active"
        assert cloud.servers.get(server).status == "SHUTOFF"

    def test_it_outlives_its_server_and_boots(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        image = cloud.servers.create_image(server, lab.name("image"))
        cloud.servers.delete(server)
        assert lab.server(cloud, image=image).image_id == image.id

    def test_metadata_and_tags_are_kept(self, lab: Lab, cloud: Cloud) -> None:
        image = cloud.servers.create_image(lab.server(cloud), lab.name("image"), metadata={"a": "1"}, tags=["blue"])
        # The back-end may add what it knows of the disk.
        assert image.metadata["a"] == "1"
        assert image.tags == ("blue",)

    @needs("images.download")
    def test_its_size_is_that_of_its_file(self, lab: Lab, cloud: Cloud, tmp_path: Path) -> None:
        image = cloud.servers.create_image(lab.server(cloud), lab.name("image"))
        seen: list[tuple[int, int | None]] = []
        cloud.images.download(image, tmp_path / "disk", on_bytes=lambda count, total: seen.append((count, total)))
        assert (tmp_path / "disk").stat().st_size == image.size_bytes
        assert seen[-1] == (image.size_bytes, image.size_bytes)

    def test_its_scope_deletes_it(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        with lab.cloud.scope("conformance") as mine:
            image = mine.servers.create_image(server.id, lab.name("image"))
        with pytest.raises(NotFound):
            cloud.images.get(image)
        assert cloud.servers.get(server).status == "ACTIVE"

    def test_what_is_not_there_gives_none(self, lab: Lab) -> None:
        before = lab.inventory(Kind.IMAGE)
        with pytest.raises(NotFound):
            lab.cloud.servers.create_image("00000000-0000-4000-8000-000000000000", lab.name("image"))
        assert lab.inventory(Kind.IMAGE) == before

    @needs("servers.ssh")
    def test_a_login_works_in_a_server_made_from_it(self, lab: Lab, cloud: Cloud) -> None:
        image = cloud.servers.create_image(lab.booted(), lab.name("image"))
        copy = lab.server(cloud, image=image, networks=[lab.network], key_pair=lab.key_pair.name)
        with lab.shell(copy) as shell:
            assert shell.run("echo alive", check=True).stdout == "alive\n"
