"""Volumes: a qcow2 file each, in the pool of its type."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cloudkit.errors import InUse
from cloudkit.types import Volume, VolumeSpec, VolumeStatus, VolumeType
from cloudkit_libvirt import places
from cloudkit_libvirt.bodies import SnapshotBody, VolumeBody, common_of, now_text
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.places import volume_place
from cloudkit_libvirt.plugs import attachment_of, live_plug
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.undo import undoing
from cloudkit_libvirt.volume_sources import GIB, find_source
from cloudkit_libvirt.volume_state import VolumeState, backed_up, refuse_state, state_of
from cloudkit_libvirt.zone import ZONE, check_zone


class Volumes(RecordCollection[VolumeBody, Volume]):
    """Block devices that outlive servers."""

    body_type = VolumeBody

    def types(self) -> tuple[VolumeType, ...]:
        """One a pool."""
        return self._context.pools.types()

    def create(self, spec: VolumeSpec) -> Volume:
        """Make one, empty or as a whole copy of something else."""
        check_zone(spec)
        source = find_source(self._context, self._context.records.view(), spec, self._ready)
        fields = dict(source.fields) if source else {}
        if spec.volume_type is not None:
            fields |= {"volume_type": spec.volume_type, "pool": self._context.pools.pool_of(spec.volume_type)}
        body = VolumeBody(
            **common_of(spec, self._project_id),
            **fields,
            size_gib=spec.size_gib,
            snapshot_id=spec.snapshot_id,
            source_volume_id=spec.source_volume_id,
            metadata=spec.metadata,
        )
        record = self._context.records.create(str(uuid.uuid4()), body)
        with undoing(lambda: self._remove(record)):
            self._fill(record, spec)
            record = self.finish(record, body)
        return self._volume(record, VolumeState(VolumeStatus.AVAILABLE, record.body.phase.value))

    def update(self, id: str, changes: Mapping[str, Any]) -> Volume:
        """Set name, description or metadata."""
        self._own(id)
        self._context.records.change(VolumeBody, id, lambda body: replace(body, **changes, updated_at=now_text()))
        return self.get(id)

    def delete(self, id: str) -> None:
        """Delete one; raises InUse while it is plugged in or has snapshots, InvalidState during a backup."""

        def refuse_used(view: View) -> None:
            volume = view.get(VolumeBody, id)
            name = volume.body.name
            if plug := live_plug(self._context, view, volume):
                if state_of(self._context, volume, view, frozenset()).status is VolumeStatus.RESERVED:
                    refuse_state(volume, VolumeStatus.RESERVED, "cannot be deleted")
                raise InUse(
                    f"the volume {name!r} is attached to the server {plug.server_id}",
                    driver="libvirt",
                    resource=id,
                    hint="Detach it first.",
                )
            # The files are independent, but a cloud whose snapshots outlive their volumes would be like no other.
            for snapshot in view.all(SnapshotBody):
                if snapshot.body.volume_id == id:
                    raise InUse(
                        f"the snapshot {snapshot.body.name!r} is one of the volume {name!r}",
                        driver="libvirt",
                        resource=id,
                    )
            if id in backed_up(view):
                refuse_state(volume, VolumeStatus.BACKING_UP, "cannot be deleted")

        self._remove(self._begin_delete(id, refuse_used))

    def storage_xml(self, id: str) -> str:
        """Libvirt's description of the bytes."""
        return volume_place(self._context, self._own(id)).xml

    def _fill(self, record: Record[VolumeBody], spec: VolumeSpec) -> None:
        target, size_bytes = volume_place(self._context, record), spec.size_gib * GIB
        # Anew: whoever deletes or attaches the source at the same time sees the record, or is seen.
        source = find_source(self._context, self._context.records.view(), spec, self._ready)
        if source is None:
            with target.pool.telling_when_full():
                target.pool.create_qcow2(target.name, size_bytes)
            return
        places.copy(self._context, source.place, target, source.slot)
        if size_bytes > source.size_bytes and not self._context.simulated:
            with target.pool.telling_when_full():
                target.pool.resize(target.name, size_bytes)

    def _remove(self, record: Record[VolumeBody]) -> None:
        # All files, of whatever restore.
        self._context.pools.named(record.body.pool).delete_all(places.volume_name(record.id))
        self._context.records.remove(VolumeBody, record.id)

    # -- reading

    def _values(self, view: View, records: Sequence[Record[VolumeBody]]) -> Iterator[Volume]:
        busy = backed_up(view)
        for record in records:
            yield self._volume(record, state_of(self._context, record, view, busy))

    def _volume(self, record: Record[VolumeBody], state: VolumeState) -> Volume:
        body = record.body
        return Volume(
            **self._fields(record),
            status=state.status,
            native_status=state.native,
            size_gib=body.size_gib,
            volume_type=body.volume_type,
            bootable=body.bootable,
            attachments=(attachment_of(record.id, state.plug),) if state.plug else (),
            image_id=body.image_id,
            snapshot_id=body.snapshot_id,
            source_volume_id=body.source_volume_id,
            availability_zone=ZONE,
            metadata=body.metadata,
        )
