"""Volumes and snapshots: Cinder's state machine, on the cloud's clock."""

from __future__ import annotations

from typing import Any

from cloudkit.errors import InUse, InvalidRequest, InvalidState
from cloudkit.types import (
    Attachment,
    Kind,
    Server,
    ServerStatus,
    Snapshot,
    SnapshotSpec,
    SnapshotStatus,
    Volume,
    VolumeSpec,
    VolumeStatus,
)
from cloudkit_fake.cloud import request
from cloudkit_fake.collections import FakeCollection, Updatable, not_found
from cloudkit_fake.derived import refresh_server
from cloudkit_fake.images import Images

V, S = VolumeStatus, SnapshotStatus
GIB = 1 << 30
SERIAL_LENGTH = 20
"""virtio-blk cuts serial numbers here."""
ROOT_DEVICE = "/dev/vda"
_LETTERS = "bcdefghijklmnopqrstuvwxyz"


class Volumes(Updatable[Volume]):
    """Block devices."""

    kind = Kind.VOLUME

    @request
    def create(self, spec: VolumeSpec) -> Volume:
        """Make one: creating, then available."""
        bootable = spec.image_id is not None
        if spec.image_id is not None:
            self._check_image(spec.image_id, spec.size_gib)
        if spec.snapshot_id is not None:
            snapshot: Snapshot | None = self._state.find(Kind.SNAPSHOT, spec.snapshot_id)
            if snapshot is None or snapshot.project_id != self._project_id:
                raise not_found(Kind.SNAPSHOT, spec.snapshot_id)
            if snapshot.status is not S.AVAILABLE:
                raise InvalidState(
                    f"the snapshot {snapshot.name!r} is {snapshot.status}", driver="fake", resource=snapshot.id
                )
            _check_larger(spec.size_gib, snapshot.size_gib, f"the snapshot {snapshot.name!r}")
            bootable = self._state.get(Kind.VOLUME, snapshot.volume_id).bootable
        if spec.volume_type not in (None, "fake"):
            raise InvalidRequest(f"there is no volume type {spec.volume_type!r}", driver="fake", hint="Known: fake.")
        self._check_quota("volumes")
        self._check_quota("volume_gib", spec.size_gib, "size_gib")
        fields = self._common(spec)
        self._cloud.later(Kind.VOLUME, fields["id"], self._cloud.task_seconds, **_is(V.AVAILABLE))
        return self._state.put(
            Volume(
                **fields,
                status=V.CREATING,
                native_status=V.CREATING.value,
                size_gib=spec.size_gib,
                volume_type=spec.volume_type or "fake",
                bootable=bootable,
                image_id=spec.image_id,
                snapshot_id=spec.snapshot_id,
                availability_zone=spec.availability_zone or "nova",
                metadata=spec.metadata,
            )
        )

    @request
    def delete(self, id: str) -> None:
        """Delete one that nothing uses."""
        volume = self._own(id)
        if volume.attachments:
            raise InUse(
                f"the volume {volume.name!r} is attached to the server {volume.attachments[0].server_id}",
                driver="fake",
                resource=id,
                hint="Detach it first.",
            )
        for snapshot in self._state.all(Kind.SNAPSHOT):
            if snapshot.volume_id == id:
                raise InUse(f"the snapshot {snapshot.name!r} is one of the volume", driver="fake", resource=id)
        if volume.status is V.DELETING:
            return
        _require(volume, V.AVAILABLE, V.ERROR, V.ERROR_DELETING, V.ERROR_EXTENDING)
        self._change(id, status=V.DELETING, native_status=V.DELETING.value)
        self._cloud.gone_later(Kind.VOLUME, id, self._cloud.task_seconds)

    @request
    def attach(self, id: str, server_id: str) -> Attachment:
        """attaching, then in-use."""
        volume = self.free(id)
        server: Server | None = self._state.find(Kind.SERVER, server_id)
        if server is None or server.project_id != self._project_id:
            raise not_found(Kind.SERVER, server_id)
        _require_calm(server)
        used = {
            attachment.device_hint
            for other in self._state.all(Kind.VOLUME)
            for attachment in other.attachments
            if attachment.server_id == server_id
        }
        device = next((f"/dev/vd{letter}" for letter in _LETTERS if f"/dev/vd{letter}" not in used), None)
        if device is None:
            raise InvalidState("the server has no free disk slot", driver="fake", resource=server_id)
        attachment = self.plug_in(volume.id, server_id, device, V.ATTACHING)
        self._cloud.later(Kind.VOLUME, id, self._cloud.task_seconds, **_is(V.IN_USE))
        refresh_server(self._state, server_id)
        return attachment

    @request
    def detach(self, id: str, server_id: str) -> None:
        """detaching, then available."""
        volume = self._own(id)
        if all(attachment.server_id != server_id for attachment in volume.attachments):
            raise InvalidState(
                f"the volume {volume.name!r} is not attached to this server", driver="fake", resource=id
            )
        _require(volume, V.IN_USE)
        if volume.attachments[0].device_hint == ROOT_DEVICE:
            raise InvalidState(
                f"the volume {volume.name!r} is the server's root disk",
                driver="fake",
                resource=id,
                hint="It is free when the server is deleted.",
            )
        _require_calm(self._state.get(Kind.SERVER, server_id))
        self._change(id, status=V.DETACHING, native_status=V.DETACHING.value)
        self._cloud.later(Kind.VOLUME, id, self._cloud.task_seconds, **_is(V.AVAILABLE), attachments=())

    @request
    def extend(self, id: str, size_gib: int) -> None:
        """extending, then what it was."""
        volume = self._own(id)
        if size_gib <= volume.size_gib:
            raise InvalidRequest(
                f"the volume has {volume.size_gib} GiB already; it can only grow", driver="fake", resource=id
            )
        _require(volume, V.AVAILABLE, V.IN_USE)
        self._check_quota("volume_gib", size_gib - volume.size_gib, "size_gib")
        self._change(id, status=V.EXTENDING, native_status=V.EXTENDING.value)
        self._cloud.later(Kind.VOLUME, id, self._cloud.task_seconds, **_is(volume.status), size_gib=size_gib)

    # ---------------------------------------------------------------- for servers; the caller is in a request

    def free(self, id: str) -> Volume:
        """A volume of the project that can be attached; raises InvalidState."""
        volume = self._own(id)
        _require(volume, V.AVAILABLE)
        return volume

    def plug_in(self, id: str, server_id: str, device: str, status: VolumeStatus = V.IN_USE) -> Attachment:
        """Attach a volume that was checked."""
        attachment = Attachment(
            id=id,
            volume_id=id,
            server_id=server_id,
            device_hint=device,
            serial=id[:SERIAL_LENGTH],
            attached_at=self._now(),
        )
        self._change(id, status=status, native_status=status.value, attachments=(attachment,))
        return attachment

    def _check_image(self, image_id: str, size_gib: int) -> None:
        image = Images(self._cloud, self._project_id).usable(image_id)
        needed = max(-(-(image.virtual_size_bytes or 0) // GIB), image.min_disk_gib)
        _check_larger(size_gib, needed, f"the image {image.name!r}")


class Snapshots(FakeCollection[Snapshot]):
    """What volumes held."""

    kind = Kind.SNAPSHOT

    @request
    def create(self, spec: SnapshotSpec) -> Snapshot:
        """Take one; of an attached volume only with ``force``."""
        volume: Volume | None = self._state.find(Kind.VOLUME, spec.volume_id)
        if volume is None or volume.project_id != self._project_id:
            raise not_found(Kind.VOLUME, spec.volume_id)
        if volume.attachments and not spec.force:
            raise InvalidState(
                f"the volume {volume.name!r} is attached",
                driver="fake",
                resource=volume.id,
                hint="Detach it first, or take the snapshot with force=True.",
            )
        _require(volume, V.AVAILABLE, V.IN_USE)
        self._check_quota("snapshots")
        fields = self._common(spec)
        self._cloud.later(Kind.SNAPSHOT, fields["id"], self._cloud.task_seconds, **_is(S.AVAILABLE))
        return self._state.put(
            Snapshot(
                **fields,
                status=S.CREATING,
                native_status=S.CREATING.value,
                volume_id=volume.id,
                size_gib=volume.size_gib,
                metadata=spec.metadata,
            )
        )

    @request
    def delete(self, id: str) -> None:
        """Delete one; volumes that were made from it stay."""
        snapshot = self._own(id)
        if snapshot.status is not S.DELETING:
            self._change(id, status=S.DELETING, native_status=S.DELETING.value)
            self._cloud.gone_later(Kind.SNAPSHOT, id, self._cloud.task_seconds)


def _is(status: VolumeStatus | SnapshotStatus) -> dict[str, Any]:
    return {"status": status, "native_status": status.value}


def _require(volume: Volume, *statuses: VolumeStatus) -> None:
    if volume.status not in statuses:
        raise InvalidState(
            f"the volume {volume.name!r} is {volume.status}, and must be {' or '.join(statuses)}",
            driver="fake",
            resource=volume.id,
        )


def _require_calm(server: Server) -> None:
    """Refuse to change the disks of a server that is locked, busy or neither running nor stopped."""
    trouble = "locked" if server.locked else server.task
    if trouble is None and server.status not in (ServerStatus.ACTIVE, ServerStatus.SHUTOFF, ServerStatus.PAUSED):
        trouble = server.status
    if trouble is not None:
        raise InvalidState(f"the server {server.name!r} is {trouble}", driver="fake", resource=server.id)


def _check_larger(size_gib: int, needed_gib: int, what: str) -> None:
    if size_gib < needed_gib:
        raise InvalidRequest(f"{what} needs a volume of at least {needed_gib} GiB", driver="fake")
