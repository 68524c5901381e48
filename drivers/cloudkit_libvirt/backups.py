"""Backups of volumes, and writing them back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from cloudkit.errors import Busy, InvalidRequest, InvalidState
from cloudkit.types import Backup, BackupSpec, BackupStatus, VolumeStatus
from cloudkit_libvirt import places
from cloudkit_libvirt.bodies import BackupBody, Phase, Restore, VolumeBody, now_text
from cloudkit_libvirt.places import Place, backup_place, volume_name, volume_place
from cloudkit_libvirt.records import Record, View, not_found
from cloudkit_libvirt.undo import insisting, undoing
from cloudkit_libvirt.volume_copies import VolumeCopies
from cloudkit_libvirt.volume_sources import GIB
from cloudkit_libvirt.volume_state import require_state

_STATUS = {
    Phase.CREATING: BackupStatus.CREATING,
    Phase.READY: BackupStatus.AVAILABLE,
    Phase.DELETING: BackupStatus.DELETING,
}


class Backups(VolumeCopies[BackupBody, Backup]):
    """Copies of volumes that outlive them, in the pool for backups."""

    body_type = BackupBody

    def create(self, spec: BackupSpec) -> Backup:
        """Take one."""
        return self._value(self._take(spec), restored=False)

    def restore(self, id: str, volume_id: str) -> None:
        """Write one to a new file of a volume, which takes the place of the old one when it is whole.

        Until then the volume is restoring-backup. Where the client dies in between it stays so: a second restore
        takes its place, and a delete removes all.
        """
        backup = self._own(id)
        self._ready(self._context.records.view(), BackupBody, id)
        mine = Restore(backup_id=id, file=f".{uuid.uuid4().hex[:8]}")
        volume = self._take_over(volume_id, backup, mine)
        old = volume_place(self._context, volume)
        new = Place(old.pool, volume_name(volume.id, mine.file))
        with undoing(lambda: self._give_up(volume_id, mine, new)):
            self._ready(self._context.records.view(), BackupBody, id)
            _clear_away(volume_id, old)
            places.copy(self._context, self.place(backup), new)
            if volume.body.size_gib > backup.body.size_gib and not self._context.simulated:
                new.pool.resize(new.name, volume.body.size_gib * GIB)
            self._end(volume_id, mine, file=mine.file, bootable=backup.body.bootable, image_id=backup.body.image_id)
        insisting(lambda: old.pool.delete(old.name))

    def place(self, record: Record[BackupBody]) -> Place:
        """Where the bytes are."""
        return backup_place(self._context, record)

    # -- parts

    def _take_over(self, volume_id: str, backup: Record[BackupBody], mine: Restore) -> Record[VolumeBody]:
        """Note in the volume's record that it is being restored; raises NotFound, InvalidState, InvalidRequest."""

        def note(body: VolumeBody) -> VolumeBody:
            view = self._context.records.view()
            volume = view.get(VolumeBody, volume_id)
            if body.project_id != self._project_id:
                raise not_found(VolumeBody, volume_id)
            require_state(self._context, volume, view, VolumeStatus.AVAILABLE, VolumeStatus.RESTORING_BACKUP)
            if body.size_gib < backup.body.size_gib:
                raise InvalidRequest(
                    f"the backup {backup.body.name!r} has {backup.body.size_gib} GiB, more than the volume's "
                    f"{body.size_gib} GiB",
                    driver="libvirt",
                    resource=backup.id,
                )
            return replace(body, restore=mine, updated_at=now_text())

        return self._context.records.change(VolumeBody, volume_id, note)

    def _end(self, volume_id: str, mine: Restore, **fields: Any) -> None:
        """Note that a restore has ended; raises Busy where another one has taken its place."""

        def note(body: VolumeBody) -> VolumeBody:
            if body.restore != mine:
                raise Busy(
                    f"another client restores a backup to the volume {body.name!r}",
                    driver="libvirt",
                    resource=volume_id,
                )
            return replace(body, restore=None, updated_at=now_text(), **fields)

        self._context.records.change(VolumeBody, volume_id, note)

    def _give_up(self, volume_id: str, mine: Restore, new: Place) -> None:
        new.delete()
        self._end(volume_id, mine)

    def _kept(self, volume: VolumeBody) -> dict[str, Any]:
        return {
            "pool": self._context.pools.backup_pool,
            "bootable": volume.bootable,
            "image_id": volume.image_id,
        }

    def _refuse_used(self, view: View, id: str) -> None:
        if id in _restored(view):
            raise InvalidState(
                f"the backup {view.get(BackupBody, id).body.name!r} is being written to a volume",
                driver="libvirt",
                resource=id,
                hint="Wait for that; where whoever began it has died, restore it again or delete the volume.",
            )

    def _values(self, view: View, records: Sequence[Record[BackupBody]]) -> Iterator[Backup]:
        restored = _restored(view)
        for record in records:
            yield self._value(record, record.id in restored)

    def _value(self, record: Record[BackupBody], restored: bool) -> Backup:
        body = record.body
        restoring = restored and body.phase is Phase.READY
        return Backup(
            **self._fields(record),
            status=BackupStatus.RESTORING if restoring else _STATUS[body.phase],
            native_status="restoring" if restoring else body.phase.value,
            volume_id=body.volume_id,
            size_gib=body.size_gib,
            metadata=body.metadata,
        )


def _clear_away(volume_id: str, current: Place) -> None:
    """Delete what restores have left of which the client died."""
    for name in current.pool.names():
        if name.startswith(volume_name(volume_id)) and name != current.name:
            current.pool.delete(name)


def _restored(view: View) -> frozenset[str]:
    """The ids of the backups that are being written to volumes."""
    return frozenset(
        volume.body.restore.backup_id for volume in view.all(VolumeBody) if volume.body.restore is not None
    )
