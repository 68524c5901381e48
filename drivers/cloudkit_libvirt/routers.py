"""Routers: which networks reach each other, and the outside; the host itself routes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from cloudkit.errors import Conflict, InUse, InvalidRequest, NotFound
from cloudkit.types import NetworkStatus, Router, RouterSpec
from cloudkit_libvirt import external_addresses
from cloudkit_libvirt.addresses import overlap
from cloudkit_libvirt.bodies import Forward, Phase, PortBody, SubnetBody, common_of, now_text
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.network_status import STATUS
from cloudkit_libvirt.ports import Ports
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.routing_bodies import ROUTER_OWNER, ExternalAddress, FloatingIpBody, RouterBody, Way
from cloudkit_libvirt.undo import undoing


class Routers(RecordCollection[RouterBody, Router]):
    """Routers."""

    body_type = RouterBody

    def create(self, spec: RouterSpec) -> Router:
        """Make one, without interfaces."""
        if spec.external_network_id is not None:
            self._look_up_external(spec.external_network_id)
        id = str(uuid.uuid4())
        record = self._context.records.create(id, RouterBody(**common_of(spec, self._project_id)))
        with undoing(lambda: self._remove(id)):
            if spec.external_network_id is not None:
                record = self._lead_out(record, spec.external_network_id)
            return self.value(self.finish(record, record.body))

    def delete(self, id: str) -> None:
        """Delete one; raises InUse while it has interfaces."""

        def refuse_used(view: View) -> None:
            if interfaces(view, id):
                raise InUse("the router has interfaces", driver="libvirt", resource=id)

        self._begin_delete(id, refuse_used)
        self._remove(id)
        self._context.reconcile()

    def add_interface(self, id: str, subnet_id: str) -> None:
        """Join a subnet, at its gateway address."""
        view = self._context.records.view()
        router: Record[RouterBody] = self._ready(view, RouterBody, id)
        subnet: Record[SubnetBody] = self._ready(view, SubnetBody, subnet_id)
        if subnet.body.gateway_ip is None:
            raise InvalidRequest(
                f"the subnet {subnet.body.name!r} has no gateway", driver="libvirt", resource=subnet_id
            )
        if subnet.body.forward is not Forward.OPEN:
            raise Conflict(
                f"the subnet {subnet.body.name!r} is led out by libvirt itself, or is external",
                driver="libvirt",
                resource=subnet_id,
                hint="Make the network anew, with this host's network under cloudkit's care.",
            )
        for other in joined(view, id):
            if overlap(subnet.body.cidr, other.body.cidr):
                raise Conflict(
                    f"{subnet.body.cidr} overlaps {other.body.cidr}, which the router has joined", driver="libvirt"
                )
        Ports(self._context, self._project_id).make_interface(router, subnet)
        self._context.reconcile()

    def remove_interface(self, id: str, subnet_id: str) -> None:
        """Leave a subnet."""
        self._own(id)
        view = self._context.records.view()
        for port in interfaces(view, id):
            if subnet_id in port.body.subnet_ids:
                self._refuse_needed(view, id, subnet_id)
                Ports(self._context, self._project_id).remove(port.id)
                self._context.reconcile()
                return
        raise NotFound(f"the router has not joined the subnet {subnet_id!r}", driver="libvirt", resource=subnet_id)

    def set_gateway(self, id: str, external_network_id: str | None) -> Router:
        """Lead out by an external network, or nowhere."""
        record = self._own(id)
        if record.body.external_network_id == external_network_id:
            return self.value(self._give_back(id, record.body.passing))
        if _ways(self._context.records.view(), id):
            raise InUse("floating IPs need the gateway", driver="libvirt", resource=id)
        if external_network_id is not None:
            self._look_up_external(external_network_id)
        record = self._lead_out(record, external_network_id)
        self._context.reconcile()
        return self.value(record)

    # -- parts

    def _look_up_external(self, network_id: str) -> None:
        external_addresses.external_subnets(self._context.records.view(), network_id)

    def _lead_out(self, record: Record[RouterBody], network_id: str | None) -> Record[RouterBody]:
        """Change the gateway: its new address is recorded, claimed, and used; then the old one is given back."""
        records, id = self._context.records, record.id
        noted: list[ExternalAddress] = []

        def note(ip: str) -> None:
            nonlocal record
            address = ExternalAddress(network_id=network_id or "", ip=ip)
            body = replace(record.body, passing=(*record.body.passing, address))
            record = records.replace(record, body)
            noted.append(address)

        with undoing(lambda: self._give_back(id, noted)):
            ip = None if network_id is None else external_addresses.take(records, network_id, id, note)
            old = record.body
            body = replace(old, external_network_id=network_id, external_ip=ip, updated_at=now_text())
            passing = tuple(address for address in old.addresses if address not in body.gateway)
            record = records.replace(record, replace(body, passing=passing))
        return self._give_back(id, record.body.passing)

    def _give_back(self, id: str, addresses: Sequence[ExternalAddress]) -> Record[RouterBody]:
        """Let others have addresses that the router does not lead out by."""
        records = self._context.records
        for address in addresses:
            external_addresses.give_back(records, address.network_id, id, address.ip)

        def forget(body: RouterBody) -> RouterBody:
            return replace(body, passing=tuple(address for address in body.passing if address not in addresses))

        return records.change(RouterBody, id, forget)

    def _remove(self, id: str) -> None:
        record = self._context.records.view().find(RouterBody, id)
        for address in record.body.addresses if record is not None else ():
            external_addresses.give_back(self._context.records, address.network_id, id, address.ip)
        self._context.records.remove(RouterBody, id)

    @staticmethod
    def _refuse_needed(view: View, id: str, subnet_id: str) -> None:
        for ip, way in _ways(view, id):
            port = view.find(PortBody, way.port_id)
            if port is not None and port.body.subnet_id == subnet_id:
                raise InUse(f"the floating IP {ip} needs the way", driver="libvirt", resource=id)

    def value(self, record: Record[RouterBody]) -> Router:
        """The value of a record."""
        body = record.body
        return Router(
            **self._fields(record),
            status=STATUS[body.phase] if body.phase is not Phase.CREATING else NetworkStatus.ALLOCATING,
            native_status=body.phase.value,
            external_network_id=body.external_network_id,
            external_ips=(body.external_ip,) if body.external_ip else (),
        )


def interfaces(view: View, router_id: str) -> list[Record[PortBody]]:
    """The ports of a router."""
    ports = view.all(PortBody)
    return [port for port in ports if port.body.device_owner == ROUTER_OWNER and port.body.device_id == router_id]


def joined(view: View, router_id: str) -> list[Record[SubnetBody]]:
    """The subnets that a router has joined."""
    ids = (id for port in interfaces(view, router_id) for id in port.body.subnet_ids)
    found = (view.find(SubnetBody, id) for id in ids)
    return [subnet for subnet in found if subnet is not None]


def _ways(view: View, router_id: str) -> list[tuple[str, Way]]:
    """The floating IPs that need a router, with where they lead."""
    bodies = (record.body for record in view.all(FloatingIpBody))
    return [(body.ip, body.way) for body in bodies if body.way is not None and body.way.router_id == router_id]
