"""Backups: Cinder's state machine, for the backup and for the volume that it is of or goes to."""

from __future__ import annotations

from typing import Any

from cloudkit.errors import InvalidRequest, InvalidState
from cloudkit.types import Backup, BackupSpec, BackupStatus, Kind, Volume, VolumeStatus
from cloudkit_fake.cloud import request
from cloudkit_fake.collections import FakeCollection, not_found, status_fields
from cloudkit_fake.volumes import require_status

B, V = BackupStatus, VolumeStatus


class Backups(FakeCollection[Backup]):
    """Copies of volumes that outlive them."""

    kind = Kind.BACKUP

    @request
    def create(self, spec: BackupSpec) -> Backup:
        """Take one: creating and the volume backing-up, then available and the volume as it was."""
        volume = self._volume(spec.volume_id)
        require_status(volume, V.AVAILABLE, V.IN_USE)
        if volume.status is V.IN_USE and not spec.force:
            raise InvalidState(
                f"the volume {volume.name!r} is attached",
                driver="fake",
                resource=volume.id,
                hint="Detach it first, or take the backup with force=True.",
            )
        self._check_quota("backups")
        self._check_quota("backup_gib", volume.size_gib, "size_gib")
        fields = self._common(spec)
        self._busy(volume, V.BACKING_UP, volume.status)
        self._cloud.later(Kind.BACKUP, fields["id"], self._cloud.task_seconds, **status_fields(B.AVAILABLE))
        self._state.secrets[fields["id"]] = {"bootable": volume.bootable, "image_id": volume.image_id}
        return self._state.put(
            Backup(
                **fields,
                **status_fields(B.CREATING),
                volume_id=volume.id,
                size_gib=volume.size_gib,
                metadata=spec.metadata,
            )
        )

    @request
    def delete(self, id: str) -> None:
        """Delete one; its volume, and those that it was restored to, stay."""
        backup = self._own(id)
        if backup.status is B.DELETING:
            return
        _require(backup, B.AVAILABLE, B.ERROR, B.ERROR_DELETING)
        self._change(id, **status_fields(B.DELETING))
        self._cloud.gone_later(Kind.BACKUP, id, self._cloud.task_seconds)

    @request
    def restore(self, id: str, volume_id: str) -> None:
        """Write one over a volume: restoring and the volume restoring-backup, then both available."""
        backup, volume = self._own(id), self._volume(volume_id)
        _require(backup, B.AVAILABLE)
        require_status(volume, V.AVAILABLE)
        if volume.size_gib < backup.size_gib:
            raise InvalidRequest(
                f"the backup {backup.name!r} has {backup.size_gib} GiB, more than the volume's {volume.size_gib} GiB",
                driver="fake",
                resource=id,
            )
        self._busy(volume, V.RESTORING_BACKUP, V.AVAILABLE, **self._state.secrets[id])
        self._change(id, **status_fields(B.RESTORING))
        self._cloud.later(Kind.BACKUP, id, self._cloud.task_seconds, **status_fields(B.AVAILABLE))

    def _volume(self, id: str) -> Volume:
        volume: Volume | None = self._state.find(Kind.VOLUME, id)
        if volume is None or volume.project_id != self._project_id:
            raise not_found(Kind.VOLUME, id)
        return volume

    def _busy(self, volume: Volume, meanwhile: VolumeStatus, after: VolumeStatus, **fields: Any) -> None:
        """Let a volume have one status now, and another with ``fields`` when the task ends."""
        self._state.update(Kind.VOLUME, volume.id, updated_at=self._now(), **status_fields(meanwhile))
        self._cloud.later(Kind.VOLUME, volume.id, self._cloud.task_seconds, **status_fields(after), **fields)


def _require(backup: Backup, *statuses: BackupStatus) -> None:
    if backup.status not in statuses:
        raise InvalidState(
            f"the backup {backup.name!r} is {backup.status}, and must be {' or '.join(statuses)}",
            driver="fake",
            resource=backup.id,
        )
