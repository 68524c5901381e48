"""Servers: a domain each, with the verbs that every hypervisor of libvirt has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

import libvirt

from cloudkit.errors import InvalidState
from cloudkit.types import Address, Fault, Server, ServerSpec, ServerStatus
from cloudkit_libvirt import seed
from cloudkit_libvirt.bodies import Phase, PortBody, ServerBody, VolumeBody
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.context import Context
from cloudkit_libvirt.domain_xml import libvirt_name
from cloudkit_libvirt.plugs import live_plug
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.server_build import Builder, seed_name
from cloudkit_libvirt.status import DomainState, status_of
from cloudkit_libvirt.undo import undoing

_KVM_HINT = (
    "Under KVM a guest that is halted before it printed anything mostly means that this host's KVM cannot really "
    "run guests: set the option virt_type=qemu."
)


class Servers(RecordCollection[ServerBody, Server]):
    """Virtual machines."""

    body_type = ServerBody

    def __init__(self, context: Context, project_id: str) -> None:
        """See RecordCollection."""
        super().__init__(context, project_id)
        self._builder = Builder(context, project_id, self._ready)

    def create(self, spec: ServerSpec) -> Server:
        """Make and start one; it is ACTIVE when this returns, and boots."""
        plan = self._builder.plan(spec)
        body = self._builder.body(plan)
        record = self._context.records.create(plan.id, body)
        with undoing(lambda: self._remove(plan.id, body)):
            record = self.finish(record, self._builder.build(plan, body))
        return self.get(record.id)

    def delete(self, id: str) -> None:
        """Delete one with all that was made for it."""
        self._remove(id, self._begin_delete(id).body)

    def start(self, id: str) -> None:
        """Power on."""
        domain = self._domain(id, "start", ServerStatus.SHUTOFF)
        self._boot(id, domain)

    def stop(self, id: str, hard: bool) -> None:
        """Press the power button, or cut the power."""
        domain = self._domain(id, "stop", ServerStatus.ACTIVE)
        if hard:
            domain.destroy()
        elif self._context.simulated:
            domain.shutdown()
        else:
            domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)

    def reboot(self, id: str, hard: bool) -> None:
        """Have the guest power off and start it again, or pull the reset line.

        libvirt itself turns a power-off that follows its reboot request into a reset, so that a guest that only
        knows the power button reboots too.
        """
        if not hard:
            self._domain(id, "reboot", ServerStatus.ACTIVE).reboot(libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)
            return
        domain = self._domain(id, "reboot")
        if not domain.isActive():
            self._boot(id, domain)
            return
        domain.reset()
        # A halted guest stays halted over a reset.
        if self._context.domains.state(domain).state == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()

    def pause(self, id: str) -> None:
        """Halt the processors; the memory stays."""
        self._domain(id, "pause", ServerStatus.ACTIVE).suspend()

    def unpause(self, id: str) -> None:
        """Let them run again."""
        self._domain(id, "unpause", ServerStatus.PAUSED).resume()

    def suspend(self, id: str) -> None:
        """Save the memory on the host's disk and power off."""
        self._domain(id, "suspend", ServerStatus.ACTIVE).managedSave()

    def resume(self, id: str) -> None:
        """Go on from the saved memory."""
        self._domain(id, "resume", ServerStatus.SUSPENDED).create()

    # -- parts

    def _boot(self, id: str, domain: libvirt.virDomain) -> None:
        if domain.hasManagedSaveImage():
            # Else libvirt would go on from the saved memory.
            domain.managedSaveRemove()
        self._wipe_secret(id)
        domain.create()

    def _wipe_secret(self, id: str) -> None:
        """Overwrite the private host key on the seed, which the guest has had its first boot to take over."""
        extent = self._own(id).body.secret_extent
        if extent is None:
            return
        if not self._context.simulated:
            self._context.pool.upload(seed_name(id), [seed.wiped(extent[1])], offset=extent[0])
        self._context.records.change(ServerBody, id, lambda body: replace(body, secret_extent=None))

    def _remove(self, id: str, body: ServerBody) -> None:
        self._builder.teardown(id, body)
        self._context.records.remove(ServerBody, id)

    def _domain(self, id: str, verb: str, status: ServerStatus | None = None) -> libvirt.virDomain:
        """The domain of a server that is whole, and has the status if one is named; raises InvalidState."""
        record = self._own(id)
        domain = self._context.domains.find(id)
        if domain is None or record.body.phase is not Phase.READY:
            raise InvalidState(
                f"the server {record.body.name!r} is half-made or half-deleted", driver="libvirt", resource=id
            )
        actual, _, _ = status_of(self._context.domains.state(domain))
        if status is not None and actual is not status:
            _refuse(record, verb, actual, status)
        return domain

    # -- reading

    def _values(self, view: View, records: Sequence[Record[ServerBody]]) -> Iterator[Server]:
        if not records:
            return
        states = self._context.domains.states()
        ports = {port.id: port.body for port in view.all(PortBody)}
        volumes: dict[str, list[str]] = {}
        for volume in view.all(VolumeBody):
            if plug := live_plug(self._context, view, volume):
                volumes.setdefault(plug.server_id, []).append(volume.id)
        for record in records:
            yield self._server(record, states.get(libvirt_name(record.id)), ports, tuple(volumes.get(record.id, ())))

    def _server(
        self,
        record: Record[ServerBody],
        domain: DomainState | None,
        ports: Mapping[str, PortBody],
        volume_ids: tuple[str, ...],
    ) -> Server:
        body = record.body
        status, native, fault = self._status(record, domain)
        return Server(
            **self._fields(record),
            status=status,
            native_status=native,
            image_id=body.image_id,
            flavor_id=body.flavor_id,
            key_pair=body.key_pair,
            addresses=tuple(
                Address(ip=ip, mac=ports[id].mac, network_id=ports[id].network_id, port_id=id)
                for id in body.port_ids
                if id in ports and ports[id].device_id == record.id and (ip := ports[id].taken_ip)
            ),
            volume_ids=volume_ids,
            metadata=body.metadata,
            tags=body.tags,
            fault=Fault(message=fault) if fault else None,
            host_key=body.host_key,
            task="deleting" if body.phase is Phase.DELETING else None,
        )

    def _status(self, record: Record[ServerBody], domain: DomainState | None) -> tuple[ServerStatus, str, str | None]:
        phase = record.body.phase
        if phase is Phase.CREATING:
            return ServerStatus.BUILD, phase.value, None
        if domain is not None:
            return self._explained(domain)
        if phase is Phase.DELETING:
            return ServerStatus.ERROR, phase.value, "Its delete did not end; delete it again."
        # The domain may have gone between the two listings, with its record.
        return ServerStatus.ERROR, "no domain", "Its libvirt domain is missing."

    def _explained(self, domain: DomainState) -> tuple[ServerStatus, str, str | None]:
        status, native, fault = status_of(domain)
        if status is ServerStatus.ERROR and self._context.domain_type == "kvm":
            fault = f"{fault} {_KVM_HINT}"
        return status, native, fault


def _refuse(record: Record[ServerBody], verb: str, actual: ServerStatus, wanted: ServerStatus) -> NoReturn:
    raise InvalidState(
        f"the server {record.body.name!r} is {actual.value}; {verb} needs {wanted.value}",
        driver="libvirt",
        resource=record.id,
    )
