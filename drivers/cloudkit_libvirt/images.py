"""Images: one volume with the bytes that were uploaded, and one with a fresh qcow2 that servers are built on."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

from cloudkit.errors import InUse, InvalidRequest, InvalidState
from cloudkit.types import Image, ImageSpec, ImageStatus, Visibility
from cloudkit_libvirt import image_intake
from cloudkit_libvirt.bodies import ImageBody, Phase, ServerBody, common_of, now_text
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.context import Context
from cloudkit_libvirt.image_sharing import SharedImages
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.undo import undoing

WORTH_ASKING_BYTES = 1 << 30
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


def base_name(image_id: str) -> str:
    """The volume that servers' disks are built on, where that is not the image's own."""
    return f"ck-{image_id}.base"


def disk_of(image: Record[ImageBody]) -> tuple[str, str]:
    """The volume that a server's disk is built on, and its format: never what somebody uploaded, but a copy."""
    if image.body.has_base:
        return base_name(image.id), "qcow2"
    return volume_name(image.id), image.body.disk_format


def body_of(spec: ImageSpec, project_id: str, server_id: str | None = None) -> ImageBody:
    """The record of an image that is about to be made."""
    return ImageBody(
        **common_of(spec, project_id),
        disk_format=spec.disk_format,
        container_format=spec.container_format,
        min_disk_gib=spec.min_disk_gib,
        min_ram_mib=spec.min_ram_mib,
        visibility=spec.visibility,
        protected=spec.protected,
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

        image = self._own(id).body
        if image.protected:
            raise InvalidState(
                f"the image {image.name!r} is protected",
                driver="libvirt",
                resource=id,
                hint="Update protected to False.",
            )
        self._begin_delete(id, refuse_used)
        self.discard(id)

    def discard(self, id: str) -> None:
        """Remove all of an image, from whatever state it is in."""
        self._context.pool.delete_all(f"ck-{id}.")
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
            protected=body.protected,
            server_id=body.server_id,
            metadata=body.metadata,
            tags=body.tags,
        )


class UploadedImages(SharedImages, Images):
    """Images where volumes hold bytes."""

    def create(self, spec: ImageSpec, data: BinaryIO, size_bytes: int | None) -> Image:
        """Take the bytes aside, check and convert them, then store both what was given and what servers get."""
        if spec.container_format != "bare":
            raise InvalidRequest(f"containers ({spec.container_format!r}) are not taken, only bare disks")
        limit = self._context.max_image_bytes
        with image_intake.accepted(data, spec.disk_format, size_bytes, limit) as image:
            self._check_room(image.size_bytes + image_intake.size_of(image.base))
            body = body_of(spec, self._project_id)
            record = self._context.records.create(str(uuid.uuid4()), body)
            with undoing(lambda: self.discard(record.id)):
                self._store(volume_name(record.id), image.original)
                self._store(base_name(record.id), image.base)
                done = replace(
                    body,
                    size_bytes=image.size_bytes,
                    virtual_size_bytes=image.virtual_size_bytes,
                    checksum=image.checksum,
                    has_base=True,
                )
                return self.value(self.finish(record, done))

    def download(self, id: str) -> Iterator[bytes]:
        """The bytes as they were uploaded."""
        view = self._context.records.view()
        self._ready(view, ImageBody, id)
        return self._context.pool.download(volume_name(id))

    def update(self, id: str, changes: Mapping[str, Any]) -> Image:
        """Set fields."""
        self._own(id)
        record = self._context.records.change(
            ImageBody, id, lambda body: replace(body, updated_at=now_text(), **changes)
        )
        return self.value(record)

    def _store(self, name: str, file: BinaryIO) -> None:
        self._context.pool.create_raw(name, image_intake.size_of(file))
        self._context.pool.upload(name, image_intake.pieces(file))

    def _check_room(self, size_bytes: int) -> None:
        """Refuse what will not fit, before hours are spent on it; what is small finds that out itself."""
        if size_bytes < WORTH_ASKING_BYTES:
            return
        free = self._context.pool.free_bytes()
        if free is not None and free < size_bytes:
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {size_bytes >> 20} MiB are needed")


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
