"""Volumes and snapshots: Cinder's; plugging in is Nova's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from cloudkit.errors import InUse, InvalidState, NotFound
from cloudkit.types import (
    EMPTY_MAP,
    Attachment,
    Kind,
    Snapshot,
    SnapshotSpec,
    SnapshotStatus,
    Volume,
    VolumeSpec,
    VolumeStatus,
    VolumeType,
)
from cloudkit_openstack import marks
from cloudkit_openstack.collection import Narrowing, RestCollection, V, with_native
from cloudkit_openstack.errors import DRIVER
from cloudkit_openstack.servers import Servers
from cloudkit_openstack.service import Service, segment
from cloudkit_openstack.wire import Body, created_at, part, status_of, time_of

VERSION = "3.42"
"""The first to extend an attached volume. Up to 3.65 a snapshot of one needs ``force``, which we want."""
ATTACHING = "2.60"
"""Nova's first that attaches a volume to several servers."""

SERIAL_LENGTH = 20
"""virtio-blk cuts serial numbers here."""

_PLAIN = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_LITERALS = ("None", "True", "False")


def name_query(name: str) -> tuple[str, Any] | None:
    """Cinder reads what looks like a Python literal as one: only names that cannot be meant otherwise are sent."""
    return ("name", name) if _PLAIN.fullmatch(name) and name not in _LITERALS else None


class CinderCollection(RestCollection[V]):
    """Things of the block storage service."""

    version = VERSION

    @property
    def _service(self) -> Service:
        return self._context.volume

    def _project_query(self, all_projects: bool) -> list[tuple[str, Any]]:
        return [("all_tenants", 1)] if all_projects else []

    def _common(self, body: Body) -> dict[str, Any]:
        metadata: Mapping[str, str] = body.get("metadata") or EMPTY_MAP
        return {
            "id": body["id"],
            "name": body.get("name") or "",
            "cloud_id": self._project.cloud_id,
            "created_at": created_at(body),
            "updated_at": time_of(body.get("updated_at")),
            "description": body.get("description") or "",
            "mark": marks.of_metadata(metadata),
            "native_status": body["status"],
            "metadata": marks.users_metadata(metadata),
        }


class Volumes(CinderCollection[Volume]):
    """Block devices."""

    kind = Kind.VOLUME
    path, list_path = "/volumes", "/volumes/detail"
    one, many = "volume", "volumes"
    narrowing: ClassVar[Narrowing] = {
        "name": name_query,
        "status": lambda status: None if status is VolumeStatus.UNKNOWN else ("status", status),
    }

    def create(self, spec: VolumeSpec) -> Volume:
        """Make one: creating, then available."""
        self._context.require(Kind.IMAGE, spec.image_id)
        self._context.require(Kind.SNAPSHOT, spec.snapshot_id)
        self._context.require(Kind.VOLUME, spec.source_volume_id)
        optional = {
            "volume_type": spec.volume_type,
            "imageRef": spec.image_id,
            "snapshot_id": spec.snapshot_id,
            "source_volid": spec.source_volume_id,
            "availability_zone": spec.availability_zone,
        }
        request: Body = {
            "name": spec.name,
            "description": spec.description,
            "size": spec.size_gib,
            "metadata": {**spec.metadata, **marks.to_metadata(spec.mark)},
            **{name: value for name, value in optional.items() if value is not None},
        }
        body: Body = self._service.post(self.path, {"volume": with_native(request, spec.native)}, VERSION)["volume"]
        # Cinder tells the image only when its bytes are in place.
        return self._one_value(body)

    def delete(self, id: str) -> None:
        """Delete one; Cinder's refusal does not tell which of its reasons it is."""
        self._own(id)
        try:
            self._service.delete(self._at(id))
        except (InvalidState, InUse) as error:
            volume = self.get(id)
            if volume.status is VolumeStatus.DELETING:
                return
            kind: type[InvalidState | InUse] = InvalidState
            if volume.attachments or volume.status in (VolumeStatus.AVAILABLE, VolumeStatus.ERROR):
                # Attached, or it has snapshots.
                kind = InUse
            raise kind(error.message, driver=DRIVER, resource=volume, request_id=error.request_id) from error

    def update(self, id: str, changes: Mapping[str, Any]) -> Volume:
        """Change name and description in one request, metadata in another."""
        self._own(id)
        plain = {name: changes[name] for name in ("name", "description") if name in changes}
        if plain:
            self._service.put(self._at(id), {"volume": plain}, VERSION)
        if "metadata" in changes:
            ours = marks.our_metadata(self.body(id).get("metadata") or {})
            self._service.put(self._at(id, "metadata"), {"metadata": {**changes["metadata"], **ours}}, VERSION)
        return self.get(id)

    def extend(self, id: str, size_gib: int) -> None:
        """extending, then what it was."""
        self._own(id)
        self._service.post(self._at(id, "action"), {"os-extend": {"new_size": size_gib}}, VERSION)

    def types(self) -> tuple[VolumeType, ...]:
        """All that the project may use; Cinder names the default in an answer of its own."""
        try:
            default = self._service.get("/types/default", version=VERSION)["volume_type"]["id"]
        except NotFound:
            default = None
        return tuple(
            VolumeType(
                id=body["id"],
                name=body["name"],
                description=body.get("description") or "",
                default=body["id"] == default,
            )
            for page in self._service.pages("/types", "volume_types", version=VERSION)
            for body in page
        )

    # ---------------------------------------------------------------- plugging in

    def attach(self, id: str, server_id: str) -> Attachment:
        """Plug it in."""
        self._own(id)
        self._servers.refuse_offloaded(server_id)
        request = {"volumeAttachment": {"volumeId": id}}
        body: Body = self._context.compute.post(_attachments(server_id), request, ATTACHING)["volumeAttachment"]
        return Attachment(
            id=body.get("id") or id,
            volume_id=id,
            server_id=server_id,
            device_hint=body.get("device") or "",
            serial=id[:SERIAL_LENGTH],
        )

    def detach(self, id: str, server_id: str) -> None:
        """Unplug it."""
        self._own(id)
        self._servers.refuse_offloaded(server_id)
        try:
            self._context.compute.delete(_attachments(server_id, id), ATTACHING)
        except NotFound as error:
            # Of what, Nova's answer leaves open.
            volume = self.get(id)
            self._servers.get(server_id)
            raise InvalidState(
                f"the volume {volume.name!r} is not attached to this server", driver=DRIVER, resource=volume
            ) from error

    @property
    def _servers(self) -> Servers:
        servers = self._context.collections[Kind.SERVER]
        assert isinstance(servers, Servers)
        return servers

    # ---------------------------------------------------------------- values

    def _values(self, bodies: Sequence[Body]) -> Iterable[Volume]:
        return map(self._value, bodies)

    def _value(self, body: Body) -> Volume:
        return Volume(
            **self._common(body),
            project_id=body.get("os-vol-tenant-attr:tenant_id") or self._project.id,
            status=status_of(VolumeStatus, body["status"]),
            size_gib=body["size"],
            volume_type=body.get("volume_type"),
            bootable=body.get("bootable") in ("true", True),
            attachments=tuple(_attachment(each) for each in body.get("attachments") or ()),
            image_id=part(body, "volume_image_metadata").get("image_id"),
            snapshot_id=body.get("snapshot_id"),
            source_volume_id=body.get("source_volid"),
            availability_zone=body.get("availability_zone"),
        )


class Snapshots(CinderCollection[Snapshot]):
    """What volumes held."""

    kind = Kind.SNAPSHOT
    path, list_path = "/snapshots", "/snapshots/detail"
    one, many = "snapshot", "snapshots"
    narrowing: ClassVar[Narrowing] = {
        "name": name_query,
        "status": lambda status: None if status is SnapshotStatus.UNKNOWN else ("status", status),
        "volume_id": lambda id: ("volume_id", id),
    }

    def create(self, spec: SnapshotSpec) -> Snapshot:
        """Take one: creating, then available."""
        self._context.require(Kind.VOLUME, spec.volume_id)
        request: Body = {
            "name": spec.name,
            "description": spec.description,
            "volume_id": spec.volume_id,
            "force": spec.force,
            "metadata": {**spec.metadata, **marks.to_metadata(spec.mark)},
        }
        return self._one_value(
            self._service.post(self.path, {"snapshot": with_native(request, spec.native)}, VERSION)["snapshot"]
        )

    def _values(self, bodies: Sequence[Body]) -> Iterable[Snapshot]:
        return map(self._value, bodies)

    def _value(self, body: Body) -> Snapshot:
        return Snapshot(
            **self._common(body),
            project_id=body.get("os-extended-snapshot-attributes:project_id") or self._project.id,
            status=status_of(SnapshotStatus, body["status"]),
            volume_id=body["volume_id"],
            size_gib=body["size"],
        )


def _attachments(server_id: str, *more: str) -> str:
    return "/".join(("/servers", segment(server_id), "os-volume_attachments", *map(segment, more)))


def _attachment(body: Body) -> Attachment:
    volume_id: str = body["volume_id"]
    return Attachment(
        id=body.get("attachment_id") or body.get("id") or volume_id,
        volume_id=volume_id,
        server_id=body["server_id"],
        device_hint=body.get("device") or "",
        serial=volume_id[:SERIAL_LENGTH],
        attached_at=time_of(body.get("attached_at")),
    )
