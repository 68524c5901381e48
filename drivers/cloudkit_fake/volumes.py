"""Volumes and snapshots: Cinder's state machine, on the cloud's clock."""

from __future__ import annotations

from dataclasses import dataclass

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
    VolumeType,
)
from cloudkit_fake.cloud import request
from cloudkit_fake.collections import FakeCollection, Updatable, not_found, status_fields
from cloudkit_fake.derived import KEPT_FOR, refresh_server
from cloudkit_fake.images import Images
from cloudkit_fake.zone import ZONE, check_zone

V, S = VolumeStatus, SnapshotStatus
GIB = 1 << 30
SERIAL_LENGTH = 20
"""virtio-blk cuts serial numbers here."""
ROOT_DEVICE = "/dev/vda"
_LETTERS = "bcdefghijklmnopqrstuvwxyz"
DEFAULT_TYPE = "fake"


@dataclass(frozen=True, slots=True)
class _Origin:
    """What a new volume gets from what it is made from."""

    image_id: str | None = None
    bootable: bool = False
    volume_type: str | None = None


class Volumes(Updatable[Volume]):
    """Block devices."""

    kind = Kind.VOLUME

    @request
    def create(self, spec: VolumeSpec) -> Volume:
        """Make one: creating, then available."""
        origin = self._origin(spec)
        if spec.volume_type is not None and spec.volume_type not in self._cloud.volume_types:
            raise InvalidRequest(
                f"there is no volume type {spec.volume_type!r}",
                driver="fake",
                hint=f"Known: {', '.join(self._cloud.volume_types)}.",
            )
        check_zone(spec)
        self._check_quota("volumes")
        self._check_quota("volume_gib", spec.size_gib, "size_gib")
        fields = self._common(spec)
        self._cloud.later(Kind.VOLUME, fields["id"], self._cloud.task_seconds, **status_fields(V.AVAILABLE))
        return self._state.put(
            Volume(
                **fields,
                **status_fields(V.CREATING),
                size_gib=spec.size_gib,
                volume_type=spec.volume_type or origin.volume_type or DEFAULT_TYPE,
                bootable=origin.bootable,
                image_id=origin.image_id,
                snapshot_id=spec.snapshot_id,
                source_volume_id=spec.source_volume_id,
                availability_zone=ZONE,
                metadata=spec.metadata,
            )
        )

    @request
    def types(self) -> tuple[VolumeType, ...]:
        """Where volumes can be kept: nowhere, by several names."""
        return tuple(
            VolumeType(id=name, name=name, description=description, default=name == DEFAULT_TYPE)
            for name, description in self._cloud.volume_types.items()
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
        require_status(volume, V.AVAILABLE, V.ERROR, V.ERROR_DELETING, V.ERROR_EXTENDING, V.ERROR_RESTORING)
        self._change(id, **status_fields(V.DELETING))
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
        self._cloud.later(Kind.VOLUME, id, self._cloud.task_seconds, **status_fields(V.IN_USE))
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
        require_status(volume, V.IN_USE)
        if volume.attachments[0].device_hint == ROOT_DEVICE:
            raise InvalidState(
                f"the volume {volume.name!r} is the server's root disk",
                driver="fake",
                resource=id,
                hint="It is free when the server is deleted.",
            )
        _require_calm(self._state.get(Kind.SERVER, server_id))
        self._change(id, **status_fields(V.DETACHING))
        self._cloud.later(Kind.VOLUME, id, self._cloud.task_seconds, **status_fields(V.AVAILABLE), attachments=())

    @request
    def extend(self, id: str, size_gib: int) -> None:
        """extending, then what it was."""
        volume = self._own(id)
        if size_gib <= volume.size_gib:
            raise InvalidRequest(
                f"the volume has {volume.size_gib} GiB already; it can only grow", driver="fake", resource=id
            )
        require_status(volume, V.AVAILABLE, V.IN_USE)
        self._check_quota("volume_gib", size_gib - volume.size_gib, "size_gib")
        self._change(id, **status_fields(V.EXTENDING))
        self._cloud.later(
            Kind.VOLUME, id, self._cloud.task_seconds, **status_fields(volume.status), size_gib=size_gib
        )

    # ---------------------------------------------------------------- for servers; the caller is in a request

    def free(self, id: str) -> Volume:
        """A volume of the project that can be attached; raises InvalidState."""
        volume = self._own(id)
        require_status(volume, V.AVAILABLE)
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

    def reserve(self, server: Server) -> None:
        """Unplug the volumes of a server that leaves its host, and keep them for it, as Cinder does."""
        for id in server.volume_ids:
            (attachment,) = self._state.get(Kind.VOLUME, id).attachments
            self._state.cancel(id)
            self._state.secrets[id] = {KEPT_FOR: server.id, "device": attachment.device_hint}
            self._change(id, **status_fields(V.RESERVED), attachments=())

    def plug_back(self, server: Server) -> None:
        """Plug in again what was kept for it."""
        for id in server.volume_ids:
            self.plug_in(id, server.id, self._state.secrets.pop(id)["device"])

    def _origin(self, spec: VolumeSpec) -> _Origin:
        if spec.image_id is not None:
            self._check_image(spec.image_id, spec.size_gib)
            return _Origin(spec.image_id, bootable=True)
        if spec.snapshot_id is not None:
            snapshot: Snapshot | None = self._state.find(Kind.SNAPSHOT, spec.snapshot_id)
            if snapshot is None or snapshot.project_id != self._project_id:
                raise not_found(Kind.SNAPSHOT, spec.snapshot_id)
            if snapshot.status is not S.AVAILABLE:
                raise InvalidState(
                    f"the snapshot {snapshot.name!r} is {snapshot.status}", driver="fake", resource=snapshot.id
                )
            _check_larger(spec.size_gib, snapshot.size_gib, f"the snapshot {snapshot.name!r}")
            source: Volume = self._state.get(Kind.VOLUME, snapshot.volume_id)
        elif spec.source_volume_id is not None:
            source = self._own(spec.source_volume_id)
            require_status(source, V.AVAILABLE, V.IN_USE)
            _check_larger(spec.size_gib, source.size_gib, f"the volume {source.name!r}")
        else:
            return _Origin()
        return _Origin(source.image_id, source.bootable, source.volume_type)

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
        require_status(volume, V.AVAILABLE, V.IN_USE)
        self._check_quota("snapshots")
        fields = self._common(spec)
        self._cloud.later(Kind.SNAPSHOT, fields["id"], self._cloud.task_seconds, **status_fields(S.AVAILABLE))
        return self._state.put(
            Snapshot(
                **fields,
                **status_fields(S.CREATING),
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
            if snapshot.status not in (S.AVAILABLE, S.ERROR, S.ERROR_DELETING):
                raise InvalidState(f"the snapshot {snapshot.name!r} is {snapshot.status}", driver="fake", resource=id)
            self._change(id, **status_fields(S.DELETING))
            self._cloud.gone_later(Kind.SNAPSHOT, id, self._cloud.task_seconds)


def require_status(volume: Volume, *statuses: VolumeStatus) -> None:
    """Raise InvalidState unless a volume has one of the statuses."""
    if volume.status not in statuses:
        raise InvalidState(
            f"the volume {volume.name!r} is {volume.status}, and must be {' or '.join(statuses)}",
            driver="fake",
            resource=volume.id,
        )


_PLUGGABLE = (ServerStatus.ACTIVE, ServerStatus.PAUSED, ServerStatus.SHUTOFF, ServerStatus.VERIFY_RESIZE)
"""Where Nova attaches and detaches (nova.compute.api, attach_volume and detach_volume)."""


def _require_calm(server: Server) -> None:
    """Refuse to change the disks of a server that is locked, busy or in another status than Nova takes."""
    trouble = "locked" if server.locked else server.task
    if trouble is None and server.status not in _PLUGGABLE:
        trouble = server.status
    if trouble is not None:
        raise InvalidState(f"the server {server.name!r} is {trouble}", driver="fake", resource=server.id)


def _check_larger(size_gib: int, needed_gib: int, what: str) -> None:
    if size_gib < needed_gib:
        raise InvalidRequest(f"{what} needs a volume of at least {needed_gib} GiB", driver="fake")
