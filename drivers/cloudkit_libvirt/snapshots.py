"""Snapshots of volumes."""

from __future__ import annotations

from typing import Any

from cloudkit.types import Snapshot, SnapshotSpec, SnapshotStatus
from cloudkit_libvirt.bodies import Phase, SnapshotBody, VolumeBody
from cloudkit_libvirt.places import Place, snapshot_place
from cloudkit_libvirt.records import Record
from cloudkit_libvirt.volume_copies import VolumeCopies

_STATUS = {
    Phase.CREATING: SnapshotStatus.CREATING,
    Phase.READY: SnapshotStatus.AVAILABLE,
    Phase.DELETING: SnapshotStatus.DELETING,
}


class Snapshots(VolumeCopies[SnapshotBody, Snapshot]):
    """A volume's content at one moment, in the volume's pool."""

    body_type = SnapshotBody

    def create(self, spec: SnapshotSpec) -> Snapshot:
        """Take one."""
        return self.value(self._take(spec))

    def place(self, record: Record[SnapshotBody]) -> Place:
        """Where the bytes are."""
        return snapshot_place(self._context, record)

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

    def _kept(self, volume: VolumeBody) -> dict[str, Any]:
        return {"pool": volume.pool}
