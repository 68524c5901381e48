"""What all verbs of servers stand on: whether they fit, power, host keys, the step that a server is in."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import libvirt

from cloudkit.errors import Busy, InvalidRequest, InvalidState
from cloudkit.types import Fault, Kind, Server, ServerStatus
from cloudkit_libvirt import seed
from cloudkit_libvirt.bodies import Phase, ServerBody, Step, VolumeBody, now_text
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.context import Context
from cloudkit_libvirt.domain_xml import libvirt_name
from cloudkit_libvirt.domains import gone_or_off
from cloudkit_libvirt.places import Place, volume_place
from cloudkit_libvirt.plugged import Plugged
from cloudkit_libvirt.plugs import live_plug
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.server_build import GIB, Builder, disk_name, seed_name
from cloudkit_libvirt.server_status import shown_status
from cloudkit_libvirt.status import DomainState
from cloudkit_libvirt.xml_tree import Element
from cloudkit_libvirt.zone import ZONE

SHUTDOWN_S = 60.0
"""How long a guest may take to power off before its power is cut, as Nova's shutdown_timeout."""
_PRESS_S = 2.0
"""A guest that boots misses the power button, so that it is pressed again."""

_KVM_HINT = (
    "Under KVM a guest that is halted before it printed anything mostly means that this host's KVM cannot really "
    "run guests: set the option virt_type=qemu. `cloudkit doctor` tells more: check kvm."
)


class ServerVerbs(RecordCollection[ServerBody, Server]):
    """Servers as records and domains."""

    body_type = ServerBody

    def __init__(self, context: Context, project_id: str) -> None:
        """See RecordCollection."""
        super().__init__(context, project_id)
        self._builder = Builder(context, project_id, self._ready)

    # -- whether a verb fits

    def _unlocked(self, id: str) -> Record[ServerBody]:
        """The record of a server that verbs may change; raises InvalidState."""
        record = self._own(id)
        refuse_locked(id, record.body)
        return record

    def _fitting(
        self, id: str, verb: str, *statuses: ServerStatus, unfinished: frozenset[Step] = frozenset()
    ) -> tuple[Record[ServerBody], libvirt.virDomain]:
        """Record and domain of a server that is whole and has one of the statuses; raises InvalidState.

        Args:
            unfinished: steps that the verb takes up where another client has died.
        """
        record = self._unlocked(id)
        return record, self._fitting_domain(record, verb, *statuses, unfinished=unfinished)

    def _fitting_domain(
        self,
        record: Record[ServerBody],
        verb: str,
        *statuses: ServerStatus,
        unfinished: frozenset[Step] = frozenset(),
    ) -> libvirt.virDomain:
        return fitting_domain(self._context, record, verb, *statuses, unfinished=unfinished)

    # -- steps

    def _begin(self, record: Record[ServerBody], step: Step, **fields: Any) -> Record[ServerBody]:
        """Note what is done to a server from now on; raises Busy where another client was faster."""

        def alter(body: ServerBody) -> ServerBody:
            if body != record.body:
                raise Busy(
                    f"another client has changed the server {body.name!r}", driver="libvirt", resource=record.id
                )
            return replace(body, step=step, updated_at=now_text(), **fields)

        # Waits for an own note of which the answer was lost.
        return self._context.records.change(ServerBody, record.id, alter)

    def _end(self, id: str, step: Step, after: Step | None, **fields: Any) -> None:
        """Note that a step has ended; raises Busy where another client has taken it up meanwhile."""

        def alter(body: ServerBody) -> ServerBody:
            if body.step is not step:
                raise Busy(
                    f"another client has taken up what was done to the server {body.name!r}",
                    driver="libvirt",
                    resource=id,
                )
            return replace(body, step=after, updated_at=now_text(), **fields)

        self._context.records.change(ServerBody, id, alter)

    # -- power

    def _boot(self, id: str, domain: libvirt.virDomain) -> None:
        """Power on."""
        was = self._context.domains.state(domain)
        if was.saved:
            # Else libvirt would go on from the saved memory.
            domain.managedSaveRemove()
        # A guest that was cut off may have taken the host key over, and not written it to its disk.
        elif (was.state, was.reason) == (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN):
            self._wipe_secret(id)
        domain.create()
        self._context.set_resumed(domain, True)

    def _press_power_button(self, domain: libvirt.virDomain) -> None:
        if self._context.simulated:
            domain.shutdown()
        else:
            domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)

    def _power_off(self, domain: libvirt.virDomain) -> None:
        """Have the guest power off, or cut the power where it does not within SHUTDOWN_S."""
        deadline = time.monotonic() + SHUTDOWN_S
        while self._is_running(domain) and time.monotonic() < deadline:
            with gone_or_off():
                self._press_power_button(domain)
            again = min(deadline, time.monotonic() + _PRESS_S)
            while self._is_running(domain) and (left := again - time.monotonic()) > 0:
                self._context.connection.changes.wait(Kind.SERVER, left)
        self._cut_power(domain)

    def _cut_power(self, domain: libvirt.virDomain) -> None:
        """Cut the power, as far as it is on, and forget saved memory."""
        # A libvirt that was started again a moment ago ends the guest, and says then that there was none.
        with gone_or_off():
            if domain.isActive():
                domain.destroy()
        if domain.hasManagedSaveImage():
            domain.managedSaveRemove()

    def _is_running(self, domain: libvirt.virDomain) -> bool:
        """Whether there is a guest that could hear the power button."""
        return self._context.domains.state(domain).state in (
            libvirt.VIR_DOMAIN_RUNNING,
            libvirt.VIR_DOMAIN_BLOCKED,
            libvirt.VIR_DOMAIN_SHUTDOWN,
        )

    # -- host keys

    def _new_host_key(self, body: ServerBody) -> seed.HostKey | None:
        """A key for a guest that boots from another disk, where cloudkit makes this server's keys."""
        return seed.HostKey.generate() if body.host_key is not None and body.key_extents else None

    def _seed_host_key(self, id: str, body: ServerBody, key: seed.HostKey | None) -> None:
        if key is not None:
            self._write_seed(id, body.key_extents, seed.key_files(key))

    def _wipe_secret(self, id: str) -> None:
        """Overwrite the private host key on the seed, which the guest has had its first boot to take over."""
        body = self._own(id).body
        if body.secret_extent is None:
            return
        extents = body.key_extents or (body.secret_extent,)
        self._write_seed(id, extents, seed.blank_files(length for _, length in extents))
        self._context.records.change(ServerBody, id, lambda body: replace(body, secret_extent=None))

    def _write_seed(self, id: str, extents: tuple[tuple[int, int], ...], files: tuple[bytes, ...]) -> None:
        for (offset, _), content in zip(extents, files, strict=True):
            if not self._context.simulated:
                self._context.pool.upload(seed_name(id), [content], offset=offset)

    # -- disks

    def _root(self, record: Record[ServerBody]) -> tuple[Place, int]:
        """Where the disk is that the guest writes to, and its size in bytes."""
        body = record.body
        if body.boot_volume_id is not None:
            volume = self._context.records.view().get(VolumeBody, body.boot_volume_id)
            return volume_place(self._context, volume), volume.body.size_gib * GIB
        return Place(self._context.pool, disk_name(record.id, body.layers - 1)), body.disk_bytes

    def _refuse_boot_volume(self, record: Record[ServerBody], verb: str, hint: str) -> None:
        """Raise InvalidRequest where the root disk is the user's own volume."""
        if record.body.boot_volume_id is not None:
            raise InvalidRequest(
                f"the server {record.body.name!r} boots from a volume, and is not {verb}",
                driver="libvirt",
                resource=record.id,
                hint=hint,
            )

    def _tree(self, domain: libvirt.virDomain) -> Element:
        """The domain as it is defined."""
        return self._context.domains.tree(domain, libvirt.VIR_DOMAIN_XML_INACTIVE)

    # -- reading

    def _values(self, view: View, records: Sequence[Record[ServerBody]]) -> Iterator[Server]:
        if not records:
            return
        states = self._context.domains.states_of([record.id for record in records])
        plugged = Plugged(view, self._context.cloud_id, records)
        volumes: dict[str, list[str]] = {}
        for volume in view.all(VolumeBody):
            if plug := live_plug(self._context, view, volume):
                volumes.setdefault(plug.server_id, []).append(volume.id)
        for record in records:
            state = states.get(libvirt_name(record.id))
            yield self._server(record, state, plugged, tuple(volumes.get(record.id, ())))

    def _server(
        self,
        record: Record[ServerBody],
        domain: DomainState | None,
        plugged: Plugged,
        volume_ids: tuple[str, ...],
    ) -> Server:
        body = record.body
        shown = shown_status(body, domain)
        fault = shown.fault
        if fault and domain is not None and self._context.domain_type == "kvm":
            fault = f"{fault} {_KVM_HINT}"
        return Server(
            **self._fields(record),
            status=shown.status,
            native_status=shown.native,
            image_id=body.image_id,
            flavor_id=body.flavor_id,
            key_pair=body.key_pair,
            addresses=plugged.addresses(record),
            security_groups=plugged.group_names(record),
            volume_ids=volume_ids,
            metadata=body.metadata,
            tags=body.tags,
            availability_zone=ZONE,
            locked=body.locked,
            fault=Fault(message=fault) if fault else None,
            host_key=body.host_key,
            task=shown.task,
        )


def fitting_domain(
    context: Context,
    record: Record[ServerBody],
    verb: str,
    *statuses: ServerStatus,
    unfinished: frozenset[Step] = frozenset(),
) -> libvirt.virDomain:
    """The domain of a server that is whole and has one of the statuses; raises InvalidState."""
    domain = context.domains.find(record.id)
    name = record.body.name
    if domain is None or record.body.phase is not Phase.READY:
        raise InvalidState(f"the server {name!r} is half-made or half-deleted", driver="libvirt", resource=record.id)
    if record.body.step in unfinished:
        return domain
    shown = shown_status(record.body, context.domains.state(domain))
    if shown.task is not None or shown.status not in statuses:
        doing = f" ({shown.task})" if shown.task else ""
        raise InvalidState(
            f"the server {name!r} is {shown.status}{doing}; {verb} needs {' or '.join(statuses)}",
            driver="libvirt",
            resource=record.id,
        )
    return domain


def refuse_locked(id: str, body: ServerBody) -> None:
    """Raise InvalidState for a locked server."""
    if body.locked:
        raise InvalidState(
            f"the server {body.name!r} is locked",
            driver="libvirt",
            resource=id,
            hint="Unlock it first.",
        )
