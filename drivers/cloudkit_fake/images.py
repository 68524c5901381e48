"""Images: their bytes are kept, and looked at as Glance's format inspector does."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from cloudkit import image_format
from cloudkit.errors import InUse, InvalidRequest, InvalidState
from cloudkit.types import FrozenMap, Image, ImageSpec, ImageStatus, Kind, Server
from cloudkit_fake.cloud import request
from cloudkit_fake.image_sharing import SharedImages

CHUNK_BYTES = 1 << 20


class Images(SharedImages):
    """Disk images."""

    def create(self, spec: ImageSpec, data: BinaryIO, size_bytes: int | None) -> Image:
        """Read the bytes, then make the image; a reader that breaks leaves nothing."""
        # Not one request: the caller's reader may be slow, or ask this very cloud.
        content = b"".join(iter(lambda: data.read(CHUNK_BYTES), b""))
        if not content:
            raise InvalidRequest("the image is empty", driver="fake", resource=spec.name)
        if size_bytes is not None and len(content) != size_bytes:
            raise InvalidRequest(f"{size_bytes} bytes were announced, and {len(content)} came", driver="fake")
        return self._create(spec, content, _virtual_size(content, spec))

    @request
    def _create(self, spec: ImageSpec, content: bytes, virtual_size: int) -> Image:
        self._check_quota("images")
        return self._register(spec, content, spec.disk_format, virtual_size)

    def copy(self, spec: ImageSpec, server: Server, disk_bytes: int) -> Image:
        """An image of a server's root disk; the caller is in the middle of a request."""
        self._check_quota("images")
        source: Image | None = self._state.find(Kind.IMAGE, server.image_id) if server.image_id else None
        if source is None:
            return self._register(spec, empty_qcow2(disk_bytes), "qcow2", disk_bytes, server_id=server.id)
        content = self._cloud.blobs.read(source.id)
        if (firmware := source.metadata.get("hw_firmware_type")) is not None:
            spec = replace(spec, metadata=FrozenMap({"hw_firmware_type": firmware, **spec.metadata}))
        return self._register(spec, content, source.disk_format, disk_bytes, server_id=server.id)

    @request
    def delete(self, id: str) -> None:
        """Delete one."""
        image = self._own(id)
        if image.protected:
            raise InvalidState(
                f"the image {image.name!r} is protected",
                driver="fake",
                resource=id,
                hint="Update protected to False.",
            )
        for server in self._state.all(Kind.SERVER):
            if server.image_id == id:
                raise InUse(f"the disk of server {server.name!r} is built on the image", driver="fake", resource=id)
        self._state.remove(Kind.IMAGE, id)
        self._cloud.blobs.delete(id)

    @request
    def download(self, id: str) -> Iterator[bytes]:
        """The bytes as they were uploaded."""
        self.usable(id)
        content = self._cloud.blobs.read(id)
        return iter([content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES)])

    def usable(self, id: str) -> Image:
        """An image that the project sees and that has all its bytes; the caller is in the middle of a request."""
        image = self.seen(id)
        if image.status is not ImageStatus.ACTIVE:
            raise InvalidState(f"the image {image.name!r} is {image.status}", driver="fake", resource=id)
        return image

    def _register(
        self, spec: ImageSpec, content: bytes, disk_format: str, virtual_size: int, server_id: str | None = None
    ) -> Image:
        fields = self._common(spec)
        self._cloud.blobs.write(fields["id"], content)
        self._cloud.later(
            Kind.IMAGE,
            fields["id"],
            self._cloud.task_seconds,
            status=ImageStatus.ACTIVE,
            native_status=ImageStatus.ACTIVE.value,
        )
        return self._state.put(
            Image(
                **fields,
                status=ImageStatus.SAVING,
                native_status=ImageStatus.SAVING.value,
                disk_format=disk_format,
                container_format=spec.container_format,
                size_bytes=len(content),
                virtual_size_bytes=virtual_size,
                checksum=f"sha512:{hashlib.sha512(content).hexdigest()}",
                min_disk_gib=spec.min_disk_gib,
                min_ram_mib=spec.min_ram_mib,
                visibility=spec.visibility,
                protected=spec.protected,
                server_id=server_id,
                metadata=spec.metadata,
                tags=spec.tags,
            )
        )


def _virtual_size(content: bytes, spec: ImageSpec) -> int:
    """The size that a guest sees; raises InvalidRequest for what is not of its format."""
    if spec.container_format != "bare" or spec.disk_format not in image_format.SUPPORTED:
        # As Glance, which takes what it has no inspector for as it is.
        return len(content)
    size = image_format.inspect_file(io.BytesIO(content), spec.disk_format).virtual_size_bytes
    assert size is not None
    return size


def empty_qcow2(virtual_size: int) -> bytes:
    """A qcow2 image without any data (QEMU's docs/interop/qcow2.txt, version 2)."""
    bits = 14
    cluster = 1 << bits
    covered_by_l1_entry = cluster * (cluster // 8)
    entries = -(-virtual_size // covered_by_l1_entry)
    used = 3 + -(-entries * 8 // cluster)
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, bits, virtual_size, 0, entries, 3 * cluster, cluster, 1, 0, 0
    )
    refcount_table = struct.pack(">Q", 2 * cluster)
    refcounts = struct.pack(f">{used}H", *[1] * used)
    tables = (header, refcount_table, refcounts, bytes(entries * 8))
    return b"".join(table + bytes(-len(table) % cluster) for table in tables)
