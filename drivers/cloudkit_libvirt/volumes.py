"""Volumes: a qcow2 file each, plugged into running servers and stopped ones."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import libvirt

from cloudkit.errors import InUse, InvalidRequest, InvalidState
from cloudkit.types import Attachment, ServerStatus, Volume, VolumeSpec, VolumeStatus
from cloudkit_libvirt import domain_xml
from cloudkit_libvirt.bodies import (
    Phase,
    Plug,
    PlugPhase,
    ServerBody,
    SnapshotBody,
    VolumeBody,
    common_of,
    now_text,
)
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.plugs import attachment_of, find_disk, live_plug
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.snapshots import snapshot_volume_name
from cloudkit_libvirt.status import status_of
from cloudkit_libvirt.undo import undoing
from cloudkit_libvirt.xml_tree import to_text

GIB = 1 << 30
_STATUS = {
    Phase.CREATING: VolumeStatus.CREATING,
    Phase.READY: VolumeStatus.AVAILABLE,
    Phase.DELETING: VolumeStatus.DELETING,
}
_PLUGGED = {
    PlugPhase.ATTACHING: VolumeStatus.ATTACHING,
    PlugPhase.ATTACHED: VolumeStatus.IN_USE,
    PlugPhase.DETACHING: VolumeStatus.DETACHING,
}
_CAN_BE_PLUGGED = (ServerStatus.ACTIVE, ServerStatus.SHUTOFF, ServerStatus.PAUSED)
"""In any other status libvirt would change the domain's definition alone, and the guest goes on without it."""
# vda is the root disk.
_DEVICES = tuple(f"vd{chr(letter)}" for letter in range(ord("b"), ord("z") + 1))


def volume_name(volume_id: str) -> str:
    """The storage volume of a volume."""
    return f"ck-{volume_id}.volume"


class Volumes(RecordCollection[VolumeBody, Volume]):
    """Block devices that outlive servers."""

    body_type = VolumeBody

    def create(self, spec: VolumeSpec) -> Volume:
        """Make one, empty or as a whole copy of a snapshot."""
        size_gib = spec.size_gib
        if spec.snapshot_id is not None:
            snapshot: Record[SnapshotBody] = self._ready(self._context.records.view(), SnapshotBody, spec.snapshot_id)
            if size_gib < snapshot.body.size_gib:
                raise InvalidRequest(
                    f"the snapshot has {snapshot.body.size_gib} GiB, more than the volume's {size_gib} GiB",
                    driver="libvirt",
                )
        body = VolumeBody(
            **common_of(spec, self._project_id),
            size_gib=size_gib,
            snapshot_id=spec.snapshot_id,
            metadata=spec.metadata,
        )
        record = self._context.records.create(str(uuid.uuid4()), body)
        with undoing(lambda: self._remove(record.id)):
            self._fill(record)
            record = self.finish(record, body)
        return self._volume(record, None)

    def delete(self, id: str) -> None:
        """Delete one; raises InUse while it is plugged in or has snapshots."""

        def refuse_used(view: View) -> None:
            volume = view.get(VolumeBody, id)
            name = volume.body.name
            if plug := live_plug(self._context, view, volume):
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

        self._begin_delete(id, refuse_used)
        self._remove(id)

    def _fill(self, record: Record[VolumeBody]) -> None:
        pool, name, capacity = self._context.pool, volume_name(record.id), record.body.size_gib * GIB
        if record.body.snapshot_id is None:
            pool.create_qcow2(name, capacity)
            return
        snapshot = self._context.records.view().get(SnapshotBody, record.body.snapshot_id)
        pool.copy(snapshot_volume_name(snapshot.id), name)
        if record.body.size_gib > snapshot.body.size_gib and not self._context.simulated:
            pool.resize(name, capacity)

    def _remove(self, id: str) -> None:
        self._context.pool.delete_all(volume_name(id))
        self._context.records.remove(VolumeBody, id)

    # -- reading

    def _values(self, view: View, records: Sequence[Record[VolumeBody]]) -> Iterator[Volume]:
        for record in records:
            yield self._volume(record, live_plug(self._context, view, record))

    def _volume(self, record: Record[VolumeBody], plug: Plug | None) -> Volume:
        body = record.body
        status = _STATUS[body.phase]
        if plug is not None and status is VolumeStatus.AVAILABLE:
            status = _PLUGGED[plug.phase]
        return Volume(
            **self._fields(record),
            status=status,
            native_status=plug.phase.value if plug else body.phase.value,
            size_gib=body.size_gib,
            attachments=(attachment_of(record.id, plug),) if plug else (),
            snapshot_id=body.snapshot_id,
            metadata=body.metadata,
        )


class PluggableVolumes(Volumes):
    """Volumes where disks can be plugged and grown."""

    def attach(self, id: str, server_id: str) -> Attachment:
        """Plug it in; the guest sees it in a moment."""
        self._own(id)
        domain = self._pluggable_domain(server_id)
        plug = Plug(phase=PlugPhase.ATTACHING, server_id=server_id, device=None, since=now_text())

        def take(body: VolumeBody) -> VolumeBody:
            view = self._context.records.view()
            if body.phase is not Phase.READY or live_plug(self._context, view, view.get(VolumeBody, id)) is not None:
                raise InvalidState(
                    f"the volume {body.name!r} is not available",
                    driver="libvirt",
                    resource=id,
                    hint="Detach it first." if body.plug else None,
                )
            return replace(body, plug=plug, updated_at=now_text())

        self._context.records.change(VolumeBody, id, take)
        with undoing(lambda: self._let_go(id, server_id)):
            # A delete of the server at the same time sees this volume's record, or this sees the delete.
            self._ready(self._context.records.view(), ServerBody, server_id)
            attached = replace(plug, phase=PlugPhase.ATTACHED, device=self._plug_in(id, domain))
        self._set_plug(id, lambda _plug: attached)
        return attachment_of(id, attached)

    def detach(self, id: str, server_id: str) -> None:
        """Unplug it; a guest that does not let go keeps it in the status detaching."""
        record = self._own(id)
        plug = live_plug(self._context, self._context.records.view(), record)
        if plug is None or plug.server_id != server_id:
            raise InvalidState(
                f"the volume {record.body.name!r} is not attached to this server", driver="libvirt", resource=id
            )
        if self._context.domains.find(server_id) is not None:
            self._pluggable_domain(server_id, (*_CAN_BE_PLUGGED, ServerStatus.ERROR))
        self._let_go(id, server_id)

    def extend(self, id: str, size_gib: int) -> None:
        """Grow it, also under a running guest."""
        record = self._own(id)
        if size_gib <= record.body.size_gib:
            raise InvalidRequest(
                f"the volume has {record.body.size_gib} GiB already; it can only grow", driver="libvirt", resource=id
            )
        if record.body.phase is not Phase.READY:
            raise InvalidState("the volume is half-made or half-deleted", driver="libvirt", resource=id)
        plug = live_plug(self._context, self._context.records.view(), record)
        domain = self._pluggable_domain(plug.server_id) if plug else None
        if plug and plug.device and domain is not None and domain.isActive():
            domain.blockResize(plug.device, size_gib * GIB, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
        else:
            self._context.pool.resize(volume_name(id), size_gib * GIB)
        self._context.records.change(
            VolumeBody, id, lambda body: replace(body, size_gib=size_gib, updated_at=now_text())
        )

    # -- parts

    def _set_plug(self, id: str, alter: Callable[[Plug], Plug | None]) -> Record[VolumeBody]:
        def change(body: VolumeBody) -> VolumeBody:
            if body.plug is None:
                return body
            return replace(body, plug=alter(body.plug), updated_at=now_text())

        return self._context.records.change(VolumeBody, id, change)

    def _pluggable_domain(
        self, server_id: str, statuses: tuple[ServerStatus, ...] = _CAN_BE_PLUGGED
    ) -> libvirt.virDomain:
        """The domain of a server whose disks can be changed; raises InvalidState."""
        server: Record[ServerBody] = self._ready(self._context.records.view(), ServerBody, server_id)
        domain = self._context.domains.find(server_id)
        if domain is None:
            raise InvalidState(f"the server {server.body.name!r} has no domain", driver="libvirt", resource=server_id)
        status, _, _ = status_of(self._context.domains.state(domain))
        if status not in statuses:
            raise InvalidState(
                f"the server {server.body.name!r} is {status}, and must be {' or '.join(statuses)}",
                driver="libvirt",
                resource=server_id,
            )
        return domain

    def _plug_in(self, id: str, domain: libvirt.virDomain) -> str:
        path = self._context.pool.path(volume_name(id))
        with self._context.plug_lock:
            tree = self._context.domains.tree(domain)
            used = {target.get("dev") for target in tree.findall("devices/disk/target")}
            device = next((name for name in _DEVICES if name not in used), None)
            if device is None:
                raise InvalidState("the server has no free disk slot", driver="libvirt", resource=domain.name())
            domain.attachDeviceFlags(to_text(domain_xml.volume_disk(id, path, device)), _where(domain))
        return device

    def _let_go(self, id: str, server_id: str) -> None:
        """Pull it out of the server as far as it is in, and note where it is then."""
        record = self._set_plug(id, lambda plug: replace(plug, phase=PlugPhase.DETACHING))
        domain = self._context.domains.find(server_id)
        if domain is not None:
            self._pull_out(id, domain)
        if live_plug(self._context, self._context.records.view(), record) is None:
            self._set_plug(id, lambda _plug: None)

    def _pull_out(self, id: str, domain: libvirt.virDomain) -> None:
        """Take the disk out of what is defined, and ask the guest to let go of it where it runs."""
        flags = [libvirt.VIR_DOMAIN_AFFECT_CONFIG]
        if domain.isActive():
            flags.insert(0, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        failure: libvirt.libvirtError | None = None
        for flag in flags:
            inactive = libvirt.VIR_DOMAIN_XML_INACTIVE if flag == libvirt.VIR_DOMAIN_AFFECT_CONFIG else 0
            disk = find_disk(self._context.domains.tree(domain, inactive), id)
            if disk is None:
                continue
            try:
                domain.detachDeviceFlags(to_text(disk), flag)
            except libvirt.libvirtError as error:
                # The definition must lose the disk even when the guest is busy with it.
                failure = failure or error
        if failure is not None and "in the process of unplug" not in str(failure):
            raise failure


def _where(domain: libvirt.virDomain) -> int:
    config = libvirt.VIR_DOMAIN_AFFECT_CONFIG
    return int(config | libvirt.VIR_DOMAIN_AFFECT_LIVE if domain.isActive() else config)
