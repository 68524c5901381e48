"""Floating IPs: addresses of an external network that the host translates to ports."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from cloudkit.errors import Conflict, InvalidRequest, InvalidState
from cloudkit.types import FloatingIp, FloatingIpSpec, NetworkStatus
from cloudkit_libvirt import external_addresses
from cloudkit_libvirt.bodies import Phase, PortBody, ServerBody, common_of, now_text
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.external_addresses import without_way
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.routers import joined
from cloudkit_libvirt.routing_bodies import FloatingIpBody, RouterBody, Way
from cloudkit_libvirt.undo import undoing


class FloatingIps(RecordCollection[FloatingIpBody, FloatingIp]):
    """Addresses of an external network."""

    body_type = FloatingIpBody

    def create(self, spec: FloatingIpSpec) -> FloatingIp:
        """Take one."""
        records, id = self._context.records, str(uuid.uuid4())
        view = records.view()
        external_addresses.external_subnets(view, spec.external_network_id)
        way = None
        if spec.port_id is not None:
            way = self._way(view, spec.port_id, None, spec.external_network_id, id)
        network_id = spec.external_network_id
        record: Record[FloatingIpBody] | None = None

        def note(ip: str) -> None:
            nonlocal record
            if record is None:
                fields: dict[str, Any] = {**common_of(spec, self._project_id), "name": ip}
                record = records.create(id, FloatingIpBody(**fields, ip=ip, external_network_id=network_id))
            else:
                record = records.replace(record, replace(record.body, ip=ip, name=ip))

        with undoing(lambda: self._remove(id)):
            external_addresses.take(records, network_id, id, note, spec.ip)
            assert record is not None
            record = self.finish(record, replace(record.body, way=way))
            if way is not None:
                self._require_lasting(way.port_id)
                self._context.reconcile()
            return self.value(record)

    def delete(self, id: str) -> None:
        """Give one back."""
        body = self._begin_delete(id).body
        self._remove(id)
        if body.way is not None:
            self._context.reconcile()

    def associate(self, id: str, port_id: str | None, fixed_ip: str | None) -> FloatingIp:
        """Translate to a port, or to nothing."""
        external_network_id = self._own(id).body.external_network_id
        way = None
        if port_id is not None:
            way = self._way(self._context.records.view(), port_id, fixed_ip, external_network_id, id)
        records = self._context.records
        record = records.change(FloatingIpBody, id, lambda body: replace(body, way=way, updated_at=now_text()))
        if port_id is not None:
            with undoing(lambda: records.change(FloatingIpBody, id, lambda body: without_way(body, port_id))):
                self._require_lasting(port_id)
        self._context.reconcile()
        return self.value(record)

    # -- parts

    def _remove(self, id: str) -> None:
        record = self._context.records.view().find(FloatingIpBody, id)
        if record is not None:
            body = record.body
            external_addresses.give_back(self._context.records, body.external_network_id, id, body.ip)
        self._context.records.remove(FloatingIpBody, id)

    def _way(self, view: View, port_id: str, fixed_ip: str | None, external_network_id: str, own_id: str) -> Way:
        """The port, its address and the router that leads from it to the external network."""
        port: Record[PortBody] = self._look_up(view, PortBody, port_id)
        ip = port.body.taken_ip
        if ip is None or fixed_ip not in (None, ip):
            raise InvalidRequest(f"the port has no IPv4 address {fixed_ip or 'at all'}", driver="libvirt")
        for other in view.all(FloatingIpBody):
            if other.body.way is not None and other.body.way.port_id == port_id and other.id != own_id:
                raise Conflict(f"the floating IP {other.body.ip} is translated to {ip} already", driver="libvirt")
        for router in view.all(RouterBody):
            leads_out = router.body.external_network_id == external_network_id
            if leads_out and any(subnet.id == port.body.subnet_id for subnet in joined(view, router.id)):
                return Way(port_id=port_id, fixed_ip=ip, router_id=router.id)
        raise Conflict(
            "no router leads from the port's subnet to the external network",
            driver="libvirt",
            resource=port_id,
            hint="Create a router with external= and the server's network first.",
        )

    def _require_lasting(self, port_id: str) -> None:
        """A delete of the port, or of its server, at the same time sees what was written, or this sees the delete."""
        view = self._context.records.view()
        port: Record[PortBody] = self._ready(view, PortBody, port_id)
        server = view.find(ServerBody, port.body.device_id)
        if server is not None and server.body.phase is Phase.DELETING:
            raise InvalidState(
                f"the server {server.body.name!r} is being deleted", driver="libvirt", resource=port_id
            )

    def value(self, record: Record[FloatingIpBody]) -> FloatingIp:
        """The value of a record."""
        body = record.body
        status = NetworkStatus.ACTIVE if body.way is not None else NetworkStatus.DOWN
        return FloatingIp(
            **self._fields(record),
            ip=body.ip,
            external_network_id=body.external_network_id,
            status=status,
            native_status=status.value,
            port_id=body.way.port_id if body.way else None,
            fixed_ip=body.way.fixed_ip if body.way else None,
            router_id=body.way.router_id if body.way else None,
        )
