"""Images: one volume each, checked before any tool opens it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from cloudkit import image_format
from cloudkit.errors import InUse, InvalidRequest
from cloudkit.types import Image, ImageSpec, ImageStatus, Visibility
from cloudkit_libvirt.bodies import ImageBody, Phase, ServerBody, common_of, now_text
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.context import Context
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.undo import undoing

CHUNK_BYTES = 1 << 20
_STATUS = {
    Phase.CREATING: ImageStatus.SAVING,
    Phase.READY: ImageStatus.ACTIVE,
    Phase.DELETING: ImageStatus.PENDING_DELETE,
}
PRESET_NAME = "test"
PRESET_ID = "7e57ab1e-0000-4000-8000-000000000001"


def volume_name(image_id: str) -> str:
    """The volume of an image."""
    return f"ck-{image_id}.image"


def body_of(spec: ImageSpec, project_id: str, server_id: str | None = None) -> ImageBody:
    """The record of an image that is about to be made."""
    return ImageBody(
        **common_of(spec, project_id),
        disk_format=spec.disk_format,
        container_format=spec.container_format,
        min_disk_gib=spec.min_disk_gib,
        min_ram_mib=spec.min_ram_mib,
        visibility=spec.visibility,
        server_id=server_id,
        metadata=spec.metadata,
        tags=spec.tags,
    )


class Images(RecordCollection[ImageBody, Image]):
    """Images that are there."""

    body_type = ImageBody

    def delete(self, id: str) -> None:
        """Delete one; raises InUse while a server's disk is built on it."""

        def refuse_used(view: View) -> None:
            for server in view.all(ServerBody):
                if id in server.body.image_ids:
                    raise InUse(
                        f"the disk of server {server.body.name!r} is built on the image",
                        driver="libvirt",
                        resource=id,
                    )

        self._begin_delete(id, refuse_used)
        self.discard(id)

    def discard(self, id: str) -> None:
        """Remove all of an image, from whatever state it is in."""
        self._context.pool.delete_all(volume_name(id))
        self._context.records.remove(ImageBody, id)

    def value(self, record: Record[ImageBody]) -> Image:
        """The value of a record."""
        body = record.body
        return Image(
            **self._fields(record),
            status=_STATUS[body.phase],
            native_status=body.phase.value,
            disk_format=body.disk_format,
            container_format=body.container_format,
            size_bytes=body.size_bytes or None,
            virtual_size_bytes=body.virtual_size_bytes or None,
            checksum=body.checksum,
            min_disk_gib=body.min_disk_gib,
            min_ram_mib=body.min_ram_mib,
            visibility=body.visibility,
            server_id=body.server_id,
            metadata=body.metadata,
            tags=body.tags,
        )


class UploadedImages(Images):
    """Images where volumes hold bytes."""

    def create(self, spec: ImageSpec, data: BinaryIO, size_bytes: int | None) -> Image:
        """Check the header, then stream into the pool."""
        header = _read_header(data)
        if not header:
            raise InvalidRequest("the image is empty", driver="libvirt", resource=spec.name)
        info = image_format.inspect(header, spec.disk_format)
        if spec.container_format != "bare":
            raise InvalidRequest(f"containers ({spec.container_format!r}) are not taken, only bare disks")
        body = body_of(spec, self._project_id)
        record = self._context.records.create(str(uuid.uuid4()), body)
        with undoing(lambda: self.discard(record.id)):
            source = _Counted(header, data)
            name = volume_name(record.id)
            self._context.pool.create_raw(name, size_bytes or len(header))
            self._context.pool.upload(name, source)
            if size_bytes is not None and source.size != size_bytes:
                raise InvalidRequest(f"{size_bytes} bytes were announced, and {source.size} came")
            done = replace(
                body,
                size_bytes=source.size,
                virtual_size_bytes=info.virtual_size_bytes or -(-source.size // 512) * 512,
                checksum=f"sha512:{source.digest.hexdigest()}",
            )
            return self.value(self.finish(record, done))

    def download(self, id: str) -> Iterator[bytes]:
        """The bytes as they were uploaded."""
        view = self._context.records.view()
        self._ready(view, ImageBody, id)
        return self._context.pool.download(volume_name(id))


class _Counted:
    """Pieces of a stream, counted and hashed as they pass."""

    def __init__(self, header: bytes, rest: BinaryIO) -> None:
        self._header = header
        self._rest = rest
        self.size = 0
        self.digest = hashlib.sha512()

    def __iter__(self) -> Iterator[bytes]:
        piece = self._header
        while piece:
            self.size += len(piece)
            self.digest.update(piece)
            yield piece
            piece = self._rest.read(CHUNK_BYTES)


def _read_header(data: BinaryIO) -> bytes:
    """The start of a stream, which may give less at a time than it is asked for."""
    header = io.BytesIO()
    while header.tell() < image_format.HEADER_BYTES:
        piece = data.read(image_format.HEADER_BYTES - header.tell())
        if not piece:
            break
        header.write(piece)
    return header.getvalue()


def add_preset(context: Context) -> None:
    """The one image of libvirt's test driver, which takes no uploads."""
    body = ImageBody(
        phase=Phase.READY,
        project_id="default",
        name=PRESET_NAME,
        created_at=now_text(),
        disk_format="qcow2",
        size_bytes=1 << 20,
        virtual_size_bytes=64 << 20,
        visibility=Visibility.PUBLIC,
    )
    # Drivers of one process share the test driver's pool, but not their records.
    with contextlib.suppress(FileExistsError):
        context.pool.create_qcow2(volume_name(PRESET_ID), body.virtual_size_bytes)
    context.records.create(PRESET_ID, body)
