"""Ports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from cloudkit._subports import by_vlan_id
from cloudkit.errors import Conflict, InUse
from cloudkit.types import FixedIp, FixedIpSpec, Kind, NetworkStatus, Port, PortSpec, Subport
from cloudkit_openstack.collection import Narrowing, exactly
from cloudkit_openstack.errors import DRIVER
from cloudkit_openstack.neutron import NeutronCollection, name_query
from cloudkit_openstack.wire import Body, status_of


class Ports(NeutronCollection[Port]):
    """Plugs on networks."""

    kind = Kind.PORT
    path = "/ports"
    one, many = "port", "ports"
    narrowing: ClassVar[Narrowing] = {
        "name": name_query,
        "network_id": exactly("network_id"),
        "device_id": exactly("device_id"),
        "device_owner": exactly("device_owner"),
        "mac": exactly("mac_address"),
    }

    def create(self, spec: PortSpec) -> Port:
        """Make one; raises Conflict for an address that is taken."""
        self._context.require(Kind.NETWORK, spec.network_id)
        for group_id in spec.security_group_ids or ():
            self._context.require(Kind.SECURITY_GROUP, group_id)
        self._refuse_gateways(spec)
        groups = None if spec.security_group_ids is None else list(spec.security_group_ids)
        body = self._make(
            spec,
            network_id=spec.network_id,
            fixed_ips=[_fixed_ip(wish) for wish in spec.fixed_ips] or None,
            mac_address=spec.mac,
            security_groups=groups,
        )
        return self._one_value(body)

    def delete(self, id: str) -> None:
        """Delete one; Neutron would take it out of a running server."""
        port = self._own(id) or self.get(id)
        if port.device_id:
            owner = "router" if port.device_owner.startswith("network:") else "server"
            raise InUse(f"the port is used by the {owner} {port.device_id}", driver=DRIVER, resource=port)
        self._remove(port)

    def _remove(self, port: Port) -> None:
        self._service.delete(self._at(port.id))

    def _refuse_gateways(self, spec: PortSpec) -> None:
        """Neutron gives a gateway's address to any port, until a router takes it."""
        wanted = {wish.ip for wish in spec.fixed_ips if wish.ip is not None}
        if not wanted:
            return
        query = [("network_id", spec.network_id), ("fields", "gateway_ip")]
        subnets: Sequence[Body] = self._service.get("/subnets", query)["subnets"]
        for subnet in subnets:
            if subnet["gateway_ip"] in wanted:
                raise Conflict(f"the address {subnet['gateway_ip']} is the gateway's", driver=DRIVER)

    def _values(self, bodies: Sequence[Body]) -> Iterable[Port]:
        return map(self._value, bodies)

    def _value(self, body: Body) -> Port:
        return Port(
            **self._common(body),
            network_id=body["network_id"],
            mac=body["mac_address"],
            fixed_ips=tuple(
                FixedIp(ip=each["ip_address"], subnet_id=each["subnet_id"]) for each in body.get("fixed_ips") or ()
            ),
            status=status_of(NetworkStatus, body["status"]),
            native_status=body["status"],
            device_id=body.get("device_id") or "",
            device_owner=body.get("device_owner") or "",
            security_group_ids=tuple(body.get("security_groups") or ()),
            subports=_subports(body),
        )


def _subports(body: Body) -> tuple[Subport, ...] | None:
    """What Neutron shows of a trunk at its parent port (extension ``trunk-details``)."""
    trunk = body.get("trunk_details")
    if trunk is None:
        return None
    return by_vlan_id(
        Subport(port_id=each["port_id"], vlan_id=each["segmentation_id"]) for each in trunk["sub_ports"]
    )


def _fixed_ip(wish: FixedIpSpec) -> Body:
    found = {"ip_address": wish.ip, "subnet_id": wish.subnet_id}
    return {name: value for name, value in found.items() if value is not None}
