"""Volumes that are plugged into servers, and grown while they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import libvirt

from cloudkit.errors import InvalidRequest, InvalidState
from cloudkit.types import Attachment, ServerStatus, VolumeStatus
from cloudkit_libvirt import domain_xml
from cloudkit_libvirt.bodies import Plug, PlugPhase, ServerBody, VolumeBody, now_text
from cloudkit_libvirt.domains import live_and_defined
from cloudkit_libvirt.places import volume_place
from cloudkit_libvirt.plugs import attachment_of, find_disk, live_plug
from cloudkit_libvirt.records import Record
from cloudkit_libvirt.server_base import fitting_domain, refuse_locked
from cloudkit_libvirt.undo import insisting, undoing
from cloudkit_libvirt.volume_sources import GIB
from cloudkit_libvirt.volume_state import require_state
from cloudkit_libvirt.volumes import Volumes
from cloudkit_libvirt.xml_tree import to_text

_CAN_BE_PLUGGED = (ServerStatus.ACTIVE, ServerStatus.PAUSED, ServerStatus.SHUTOFF, ServerStatus.VERIFY_RESIZE)
"""As in Nova. In any other status libvirt would change the domain's definition alone, and the guest go on without."""
_PLUGGED_IN = (VolumeStatus.IN_USE, VolumeStatus.ATTACHING, VolumeStatus.DETACHING, VolumeStatus.EXTENDING)
# vda is the root disk.
_DEVICES = tuple(f"vd{chr(letter)}" for letter in range(ord("b"), ord("z") + 1))


class PluggableVolumes(Volumes):
    """Volumes where disks can be plugged and grown."""

    def attach(self, id: str, server_id: str) -> Attachment:
        """Plug it in; the guest sees it in a moment."""
        self._own(id)
        self._pluggable_domain(server_id, "attach")
        plug = Plug(phase=PlugPhase.ATTACHING, server_id=server_id, device=None, since=now_text())

        def take(body: VolumeBody) -> VolumeBody:
            view = self._context.records.view()
            require_state(self._context, view.get(VolumeBody, id), view, VolumeStatus.AVAILABLE)
            return replace(body, plug=plug, updated_at=now_text())

        with undoing(lambda: self._take_back(id, plug)):
            self._context.records.change(VolumeBody, id, take)
            # A delete of the server at the same time sees this volume's record, or this sees the delete.
            self._ready(self._context.records.view(), ServerBody, server_id)
            device = insisting(lambda: self._plug_in(id, self._pluggable_domain(server_id, "attach")))
            attached = replace(plug, phase=PlugPhase.ATTACHED, device=device)
        insisting(lambda: self._set_plug(id, lambda _plug: attached))
        return attachment_of(id, attached)

    def detach(self, id: str, server_id: str) -> None:
        """Unplug it; a guest that does not let go keeps it in the status detaching."""
        record = self._own(id)
        view = self._context.records.view()
        plug = live_plug(self._context, view, record)
        if plug is None or plug.server_id != server_id:
            raise InvalidState(
                f"the volume {record.body.name!r} is not attached to this server", driver="libvirt", resource=id
            )
        # A disk that is half in or half out is pulled out again, as its client may have died.
        require_state(self._context, record, view, *_PLUGGED_IN)
        if plug.device == domain_xml.ROOT_DEVICE:
            raise InvalidState(
                f"the volume {record.body.name!r} is the server's root disk",
                driver="libvirt",
                resource=id,
                hint="It is free when the server is deleted.",
            )
        if self._context.domains.find(server_id) is not None:
            self._pluggable_domain(server_id, "detach")
        self._let_go(id, server_id)

    def extend(self, id: str, size_gib: int) -> None:
        """Grow it, also under a running guest.

        What it grows to is noted first: QEMU would shrink the disk again for the later one of two that grow it.
        """
        self._own(id)

        def begin(body: VolumeBody) -> VolumeBody:
            if size_gib <= body.size_gib:
                raise InvalidRequest(
                    f"the volume has {body.size_gib} GiB already; it can only grow", driver="libvirt", resource=id
                )
            if body.growing_gib != size_gib:
                view = self._context.records.view()
                volume = view.get(VolumeBody, id)
                require_state(self._context, volume, view, VolumeStatus.AVAILABLE, VolumeStatus.IN_USE)
            return replace(body, growing_gib=size_gib, updated_at=now_text())

        record = self._context.records.change(VolumeBody, id, begin)
        with undoing(lambda: self._end_growth(id, size_gib, record.body.size_gib)):
            grown_gib = self._grow(record, size_gib * GIB)
        self._end_growth(id, size_gib, grown_gib)

    # -- parts

    def _set_plug(self, id: str, alter: Callable[[Plug], Plug | None]) -> Record[VolumeBody]:
        def change(body: VolumeBody) -> VolumeBody:
            if body.plug is None:
                return body
            return replace(body, plug=alter(body.plug), updated_at=now_text())

        return self._context.records.change(VolumeBody, id, change)

    def _grow(self, record: Record[VolumeBody], size_bytes: int) -> int:
        """Make the disk at least as large; returns its size in GiB, as it may be larger after a death of a client."""
        plug = live_plug(self._context, self._context.records.view(), record)
        domain = self._context.domains.find(plug.server_id) if plug else None
        place = volume_place(self._context, record)
        with place.pool.telling_when_full():
            if plug and plug.device and domain is not None and domain.isActive():
                size_before: int = domain.blockInfo(plug.device)[0]
                if size_before < size_bytes:
                    domain.blockResize(plug.device, size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
            else:
                size_before = place.pool.capacity_bytes(place.name)
                if size_before < size_bytes:
                    place.pool.resize(place.name, size_bytes)
        return -(-max(size_before, size_bytes) // GIB)

    def _end_growth(self, id: str, growing_gib: int, size_gib: int) -> None:
        """Note the size of a volume that was to grow, unless another client has done so."""

        def end(body: VolumeBody) -> VolumeBody:
            if body.growing_gib != growing_gib:
                return body
            return replace(body, growing_gib=None, size_gib=size_gib, updated_at=now_text())

        self._context.records.change(VolumeBody, id, end)

    def _pluggable_domain(self, server_id: str, verb: str) -> libvirt.virDomain:
        """The domain of a server whose disks can be changed; raises InvalidState."""
        server: Record[ServerBody] = self._look_up(self._context.records.view(), ServerBody, server_id)
        refuse_locked(server_id, server.body)
        return fitting_domain(self._context, server, verb, *_CAN_BE_PLUGGED)

    def _plug_in(self, id: str, domain: libvirt.virDomain) -> str:
        path = volume_place(self._context, self._context.records.view().get(VolumeBody, id)).path
        with self._context.plug_lock:
            tree = self._context.domains.tree(domain)
            if (disk := find_disk(tree, id)) is not None and (target := disk.find("target")) is not None:
                # The answer to a first try was lost.
                return target.get("dev", "")
            used = {target.get("dev") for target in tree.findall("devices/disk/target")}
            device = next((name for name in _DEVICES if name not in used), None)
            if device is None:
                raise InvalidState("the server has no free disk slot", driver="libvirt", resource=domain.name())
            domain.attachDeviceFlags(to_text(domain_xml.volume_disk(id, path, device)), live_and_defined(domain))
        return device

    def _take_back(self, id: str, plug: Plug) -> None:
        """Let go of what one call of ``attach`` has plugged in, and of nothing else."""
        found = self._context.records.view().find(VolumeBody, id)
        if found is not None and found.body.plug is not None and found.body.plug.since == plug.since:
            self._let_go(id, plug.server_id)

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
