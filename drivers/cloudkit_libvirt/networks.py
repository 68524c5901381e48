"""Networks: records, to which the first subnet adds a network in libvirt."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cloudkit.errors import Conflict, InUse
from cloudkit.types import Network, NetworkSpec
from cloudkit_libvirt.bodies import Body, NetworkBody, Phase, PortBody, SubnetBody, common_of, now_text
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.network_status import STATUS
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.routing_bodies import FloatingIpBody, RouterBody
from cloudkit_libvirt.subnets import BridgedSubnets
from cloudkit_libvirt.undo import undoing


class Networks(RecordCollection[NetworkBody, Network]):
    """Networks that are there."""

    body_type = NetworkBody

    def _values(self, view: View, records: Sequence[Record[NetworkBody]]) -> Iterator[Network]:
        subnets = view.all(SubnetBody)
        for record in records:
            yield self._network(record, tuple(item.id for item in subnets if item.body.network_id == record.id))

    def _network(self, record: Record[NetworkBody], subnet_ids: tuple[str, ...]) -> Network:
        body = record.body
        return Network(
            **self._fields(record),
            status=STATUS[body.phase],
            native_status=body.phase.value,
            subnet_ids=subnet_ids,
            external=body.external,
            shared=body.shared,
            mtu=body.packet_size,
            tags=body.tags,
            vlan_id=body.vlan_id,
        )


class BridgedNetworks(Networks):
    """Isolated layer-2 networks, each led out by NAT through the host."""

    def create(self, spec: NetworkSpec) -> Network:
        """Make one, without a subnet; raises Conflict for a VLAN that another one has."""
        body = NetworkBody(
            **common_of(spec, self._project_id),
            mtu=spec.mtu,
            tags=spec.tags,
            external=spec.external,
            shared=spec.shared,
            vlan_id=spec.vlan_id,
        )
        id = str(uuid.uuid4())
        with undoing(lambda: self._remove(id, body)):
            # Where nothing follows the record, it is whole at once.
            phase = Phase.READY if body.vlan_id is None else body.phase
            record = self._context.records.create(id, replace(body, phase=phase))
            if body.vlan_id is not None:
                if not self._context.records.claim(_claim(body), id):
                    raise Conflict(f"another network has the VLAN id {body.vlan_id}", driver="libvirt")
                record = self.finish(record, body)
        return self._network(record, ())

    def _remove(self, id: str, body: NetworkBody) -> None:
        if body.vlan_id is not None:
            self._context.records.release(_claim(body), id)
        self._context.records.remove(NetworkBody, id)

    def update(self, id: str, changes: Mapping[str, Any]) -> Network:
        """Set name, description, tags, or whether it is shared; raises InUse while other projects use it."""
        self._own(id)
        self._context.records.change(NetworkBody, id, lambda body: replace(body, **changes, updated_at=now_text()))
        if "shared" in changes:
            self._show_subnets(id)
            # A port that is made at the same time sees that it may not, or is seen.
            if self._is_lent(id):
                self._context.records.change(NetworkBody, id, lambda body: replace(body, shared=True))
                self._show_subnets(id)
                raise InUse("other projects have ports on the network", driver="libvirt", resource=id)
        return self.get(id)

    def _show_subnets(self, id: str) -> None:
        """Have the projects that see the network see its subnets too."""
        view = self._context.records.view()
        shared = view.get(NetworkBody, id).body.public
        for subnet in view.all(SubnetBody):
            if subnet.body.network_id == id:
                self._context.records.change(SubnetBody, subnet.id, lambda body: replace(body, shared=shared))

    def _is_lent(self, id: str) -> bool:
        """Whether other projects have ports on a network that is not theirs to see any longer."""
        view = self._context.records.view()
        network = view.get(NetworkBody, id).body
        ports = (port.body for port in view.all(PortBody) if port.body.network_id == id)
        return not network.public and any(port.project_id != network.project_id for port in ports)

    def delete(self, id: str) -> None:
        """Delete one with its subnets; raises InUse while it has ports."""

        def refuse_used(view: View) -> None:
            for port in view.all(PortBody):
                if port.body.network_id == id:
                    raise InUse(f"the port {port.id} is on the network", driver="libvirt", resource=id)
            for router in view.all(RouterBody):
                if any(address.network_id == id for address in router.body.addresses):
                    raise _is_needed(id, router.body)
            for floating_ip in view.all(FloatingIpBody):
                if floating_ip.body.external_network_id == id:
                    raise _is_needed(id, floating_ip.body)

        body = self._begin_delete(id, refuse_used).body
        subnets = BridgedSubnets(self._context, self._project_id)
        for subnet in self._context.records.view().all(SubnetBody):
            if subnet.body.network_id == id:
                subnets.delete(subnet.id)
        self._remove(id, body)


def _claim(body: NetworkBody) -> str:
    return f"vlan/{body.vlan_id}"


def _is_needed(id: str, user: Body) -> InUse:
    return InUse(f"the {user.kind.noun} {user.name!r} needs the network", driver="libvirt", resource=id)
