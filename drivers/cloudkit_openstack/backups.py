"""Backups: Cinder's, where its service for them runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from cloudkit.errors import InvalidRequest, Unavailable, Unsupported
from cloudkit.types import Backup, BackupSpec, BackupStatus, Fault, Kind
from cloudkit_openstack import marks
from cloudkit_openstack.collection import Narrowing, with_native
from cloudkit_openstack.errors import DRIVER
from cloudkit_openstack.volumes import CinderCollection, name_query
from cloudkit_openstack.wire import Body, status_of

VERSION = "3.43"
"""The first whose backups have metadata."""


class Backups(CinderCollection[Backup]):
    """Copies of volumes that outlive them."""

    kind = Kind.BACKUP
    version = VERSION
    path, list_path = "/backups", "/backups/detail"
    one, many = "backup", "backups"
    narrowing: ClassVar[Narrowing] = {
        "name": name_query,
        "status": lambda status: None if status is BackupStatus.UNKNOWN else ("status", status),
        "volume_id": lambda id: ("volume_id", id),
    }

    def create(self, spec: BackupSpec) -> Backup:
        """Take one: creating, then available."""
        self._context.require(Kind.VOLUME, spec.volume_id)
        request: Body = {
            "name": spec.name,
            "description": spec.description,
            "volume_id": spec.volume_id,
            "force": spec.force,
            "metadata": {**spec.metadata, **marks.to_metadata(spec.mark)},
        }
        try:
            answer = self._service.post(self.path, {"backup": with_native(request, spec.native)}, VERSION)
        except Unavailable as error:
            if "cinder-backup" not in error.message:
                raise
            # Cinder's ServiceNotFound; that it does not run is told to administrators only.
            raise Unsupported(
                "the cloud takes no backups: its service cinder-backup does not run",
                driver=DRIVER,
                fault=error.message,
            ) from error
        # The answer has id and name only.
        return self.get(answer["backup"]["id"])

    def restore(self, id: str, volume_id: str) -> None:
        """Write one over a volume."""
        backup = self._own(id) or self.get(id)
        volume: Body = self._context.collections[Kind.VOLUME].body(volume_id)
        self._context.require(Kind.VOLUME, volume_id)
        if volume["size"] < backup.size_gib:
            raise InvalidRequest(
                f"the backup {backup.name!r} has {backup.size_gib} GiB, more than the volume's {volume['size']} GiB",
                driver=DRIVER,
                resource=backup,
            )
        self._service.post(self._at(id, "restore"), {"restore": {"volume_id": volume_id}}, VERSION)

    def _values(self, bodies: Sequence[Body]) -> Iterable[Backup]:
        return map(self._value, bodies)

    def _value(self, body: Body) -> Backup:
        status = status_of(BackupStatus, body["status"])
        reason: str | None = body.get("fail_reason")
        return Backup(
            **self._common(body),
            project_id=body.get("os-backup-project-attr:project_id") or self._project.id,
            status=status,
            volume_id=body["volume_id"],
            size_gib=body["size"],
            fault=Fault(message=reason)
            if reason and status in (BackupStatus.ERROR, BackupStatus.ERROR_DELETING)
            else None,
        )
