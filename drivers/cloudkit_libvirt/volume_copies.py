"""What snapshots and backups have in common: each is a whole copy of a volume."""

from __future__ import annotations

import uuid
from typing import Any, TypeVar

from cloudkit.types import BackupSpec, Resource, SnapshotSpec, VolumeStatus
from cloudkit_libvirt import places
from cloudkit_libvirt.bodies import BackupBody, SnapshotBody, VolumeBody, common_of
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.places import Place, volume_place
from cloudkit_libvirt.plugs import live_plug
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.undo import undoing
from cloudkit_libvirt.volume_state import require_state

C = TypeVar("C", SnapshotBody, BackupBody)
V_co = TypeVar("V_co", bound=Resource, covariant=True)


class VolumeCopies(RecordCollection[C, V_co]):
    """Copies of volumes; none depends on its volume, nor a volume that is made from one on it."""

    def place(self, record: Record[C]) -> Place:
        """Where the bytes are."""
        raise NotImplementedError

    def storage_xml(self, id: str) -> str:
        """Libvirt's description of the bytes."""
        return self.place(self._own(id)).xml

    def delete(self, id: str) -> None:
        """Delete one."""
        self._remove(self._begin_delete(id, lambda view: self._refuse_used(view, id)))

    def _refuse_used(self, view: View, id: str) -> None:
        """Raise a Conflict where a copy cannot go."""

    def _take(self, spec: SnapshotSpec | BackupSpec) -> Record[C]:
        """Copy a volume; an attached one only with ``force``, as its guest may be in the middle of writing."""
        view = self._context.records.view()
        volume: Record[VolumeBody] = self._ready(view, VolumeBody, spec.volume_id)
        if spec.force:
            require_state(self._context, volume, view, VolumeStatus.AVAILABLE, VolumeStatus.IN_USE)
        else:
            hint = f"Detach it first, or take the {self.body_type.kind.noun} with force=True."
            require_state(self._context, volume, view, VolumeStatus.AVAILABLE, hint=hint)
        body = self.body_type(
            **common_of(spec, self._project_id),
            volume_id=volume.id,
            size_gib=volume.body.size_gib,
            metadata=spec.metadata,
            **self._kept(volume.body),
        )
        record = self._context.records.create(str(uuid.uuid4()), body)
        with undoing(lambda: self._remove(record)):
            # A delete or an attach of the volume at the same time sees this record, or is seen.
            view = self._context.records.view()
            volume = self._ready(view, VolumeBody, volume.id)
            plug = live_plug(self._context, view, volume)
            places.copy(
                self._context, volume_place(self._context, volume), self.place(record), plug.slot if plug else None
            )
            return self.finish(record, body)

    def _kept(self, volume: VolumeBody) -> dict[str, Any]:
        """What else the record keeps of the volume."""
        raise NotImplementedError

    def _remove(self, record: Record[C]) -> None:
        self.place(record).delete()
        self._context.records.remove(self.body_type, record.id)
