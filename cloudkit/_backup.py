"""Backups of volumes."""

from __future__ import annotations

from cloudkit import _checks as checks
from cloudkit import driver
from cloudkit._collection import Ref
from cloudkit._context import Verb
from cloudkit._volume import VolumeCopies, Volumes
from cloudkit.errors import CloudError, InvalidRequest, WaitTimeout
from cloudkit.types import Backup, BackupSpec, BackupStatus, Kind, Volume


class Backups(VolumeCopies[Backup]):
    """Copies of volumes that outlive them."""

    kind = Kind.BACKUP
    _capability = "backups"
    _ready = frozenset({BackupStatus.AVAILABLE})
    _broken = frozenset({BackupStatus.ERROR, BackupStatus.ERROR_DELETING})
    _spec_type = BackupSpec

    def restore(
        self,
        ref: Ref,
        volume: Ref | None = None,
        *,
        name: str | None = None,
        volume_type: str | None = None,
        timeout_s: float | None = None,
    ) -> Volume:
        """Write a backup to a volume; returns the volume when it is available.

        Args:
            volume: the one whose content is replaced; None makes a new one, as large as the backup's.
            name: of the new volume; None for the backup's name.
            volume_type: of the new volume; None for the default.
            timeout_s: for each of making the volume and writing to it.

        Raises:
            InvalidState: the backup or the volume is not available, as the volume is attached.
            InvalidRequest: the volume is smaller than the one that the backup was taken of.
            ResourceFailed: the writing failed; a new volume was deleted again, another one holds a part.
        """
        with Verb(self._context, "backups.restore", ref):
            self._require_kind()
            limit_s = self._checked_timeout(timeout_s)
            if volume is not None:
                if name is not None or volume_type is not None:
                    raise InvalidRequest("name and volume_type are those of a new volume, and a volume is given")
                return self._restore(ref, self._others(Kind.VOLUME).ref_id(volume), limit_s)
            backup = self._get(ref)
            volumes = Volumes(self._context)
            target = volumes.create(
                backup.name if name is None else checks.name(name),
                size_gib=backup.size_gib,
                volume_type=volume_type,
                timeout_s=limit_s,
            )
            try:
                return self._restore(backup, target.id, limit_s)
            except WaitTimeout:
                raise
            except BaseException as error:
                try:
                    volumes.clear_away(target.id)
                except CloudError as failure:
                    error.add_note(f"deleting the new volume {target.id} again failed as well: {failure}")
                raise

    def _restore(self, ref: Ref, volume_id: str, timeout_s: float) -> Volume:
        part: driver.Backups = self._part
        id, _ = self._act(ref, lambda id: self._context.call(part.restore, id, volume_id))
        volume = Volumes(self._context).until_usable(volume_id, timeout_s)
        # Cinder frees the volume a moment before the backup.
        self.until_usable(id, timeout_s)
        return volume
