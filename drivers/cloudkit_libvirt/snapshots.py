"""Snapshots: whole copies of volumes."""

from __future__ import annotations

import uuid

from cloudkit.errors import InvalidState
from cloudkit.types import Snapshot, SnapshotSpec, SnapshotStatus
from cloudkit_libvirt.bodies import Phase, SnapshotBody, VolumeBody, common_of
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.guest_servers import copy_disk
from cloudkit_libvirt.plugs import live_plug
from cloudkit_libvirt.records import Record
from cloudkit_libvirt.undo import undoing

_STATUS = {
    Phase.CREATING: SnapshotStatus.CREATING,
    Phase.READY: SnapshotStatus.AVAILABLE,
    Phase.DELETING: SnapshotStatus.DELETING,
}


def snapshot_volume_name(snapshot_id: str) -> str:
    """The storage volume of a snapshot."""
    return f"ck-{snapshot_id}.snapshot"


class Snapshots(RecordCollection[SnapshotBody, Snapshot]):
    """A volume's content at one moment."""

    body_type = SnapshotBody

    def create(self, spec: SnapshotSpec) -> Snapshot:
        """Copy a volume; an attached one only with ``force``, as its guest may be in the middle of writing."""
        view = self._context.records.view()
        volume: Record[VolumeBody] = self._ready(view, VolumeBody, spec.volume_id)
        plug = live_plug(self._context, view, volume)
        if plug is not None and not spec.force:
            raise InvalidState(
                f"the volume {volume.body.name!r} is attached",
                driver="libvirt",
                resource=spec.volume_id,
                hint="Detach it first, or take the snapshot with force=True.",
            )
        body = SnapshotBody(
            **common_of(spec, self._project_id),
            volume_id=volume.id,
            size_gib=volume.body.size_gib,
            metadata=spec.metadata,
        )
        record = self._context.records.create(str(uuid.uuid4()), body)
        with undoing(lambda: self._remove(record.id)):
            # A delete of the volume at the same time sees this snapshot's record, or this sees the delete.
            self._ready(self._context.records.view(), VolumeBody, volume.id)
            copy_disk(
                self._context,
                plug.server_id if plug else None,
                (plug.device if plug else None) or "",
                f"ck-{volume.id}.volume",
                snapshot_volume_name(record.id),
            )
            return self.value(self.finish(record, body))

    def delete(self, id: str) -> None:
        """Delete one; volumes that were made from it stay."""
        self._begin_delete(id)
        self._remove(id)

    def _remove(self, id: str) -> None:
        self._context.pool.delete_all(snapshot_volume_name(id))
        self._context.records.remove(SnapshotBody, id)

    def value(self, record: Record[SnapshotBody]) -> Snapshot:
        """The value of a record."""
        body = record.body
        return Snapshot(
            **self._fields(record),
            status=_STATUS[body.phase],
            native_status=body.phase.value,
            volume_id=body.volume_id,
            size_gib=body.size_gib,
            metadata=body.metadata,
        )
