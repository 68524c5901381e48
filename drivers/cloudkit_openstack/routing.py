"""Routers and floating IPs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from cloudkit.types import FloatingIp, FloatingIpSpec, Kind, NetworkStatus, Router, RouterSpec
from cloudkit_openstack import marks
from cloudkit_openstack.collection import Narrowing, exactly, with_native
from cloudkit_openstack.neutron import NeutronCollection, name_query
from cloudkit_openstack.wire import Body, part, status_of


class Routers(NeutronCollection[Router]):
    """Routers."""

    kind = Kind.ROUTER
    path = "/routers"
    one, many = "router", "routers"
    narrowing: ClassVar[Narrowing] = {"name": name_query}

    def create(self, spec: RouterSpec) -> Router:
        """Make one, without interfaces."""
        self._context.require(Kind.NETWORK, spec.external_network_id)
        gateway = None if spec.external_network_id is None else {"network_id": spec.external_network_id}
        return self._one_value(self._make(spec, external_gateway_info=gateway))

    def add_interface(self, id: str, subnet_id: str) -> None:
        """Join a subnet, at its gateway address."""
        self._own(id)
        self._context.require(Kind.SUBNET, subnet_id)
        self._service.put(self._at(id, "add_router_interface"), {"subnet_id": subnet_id})

    def remove_interface(self, id: str, subnet_id: str) -> None:
        """Leave a subnet."""
        self._own(id)
        self._service.put(self._at(id, "remove_router_interface"), {"subnet_id": subnet_id})

    def set_gateway(self, id: str, external_network_id: str | None) -> Router:
        """Lead out by an external network, or nowhere."""
        self._own(id)
        self._context.require(Kind.NETWORK, external_network_id)
        gateway = {} if external_network_id is None else {"network_id": external_network_id}
        return self._one_value(self._change(id, {"external_gateway_info": gateway}))

    def _values(self, bodies: Sequence[Body]) -> Iterable[Router]:
        return map(self._value, bodies)

    def _value(self, body: Body) -> Router:
        gateway = part(body, "external_gateway_info")
        return Router(
            **self._common(body),
            status=status_of(NetworkStatus, body["status"]),
            native_status=body["status"],
            external_network_id=gateway.get("network_id"),
            external_ips=tuple(each["ip_address"] for each in gateway.get("external_fixed_ips") or ()),
        )


class FloatingIps(NeutronCollection[FloatingIp]):
    """Addresses of an external network; they have no name of their own."""

    kind = Kind.FLOATING_IP
    path = "/floatingips"
    one, many = "floatingip", "floatingips"
    narrowing: ClassVar[Narrowing] = {
        "name": exactly("floating_ip_address"),
        "ip": exactly("floating_ip_address"),
        "external_network_id": exactly("floating_network_id"),
        "port_id": lambda id: None if id is None else ("port_id", id),
    }

    def create(self, spec: FloatingIpSpec) -> FloatingIp:
        """Take one."""
        self._context.require(Kind.NETWORK, spec.external_network_id)
        self._context.require(Kind.PORT, spec.port_id)
        request = {
            "description": marks.to_text(spec.description, spec.mark),
            "floating_network_id": spec.external_network_id,
            "port_id": spec.port_id,
            "floating_ip_address": spec.ip,
        }
        wanted = {name: value for name, value in request.items() if value is not None}
        return self._moved(self._service.post(self.path, {self.one: with_native(wanted, spec.native)})[self.one])

    def delete(self, id: str) -> None:
        """Give one back."""
        ip = self.get(id).ip
        super().delete(id)
        self._context.plugs.moved(ip, None)

    def associate(self, id: str, port_id: str | None, fixed_ip: str | None) -> FloatingIp:
        """Translate to a port, or to nothing."""
        self._own(id)
        self._context.require(Kind.PORT, port_id)
        fields = {"port_id": port_id} | ({} if fixed_ip is None else {"fixed_ip_address": fixed_ip})
        return self._moved(self._change(id, fields))

    def _moved(self, body: Body) -> FloatingIp:
        floating_ip = self._one_value(body)
        self._context.plugs.moved(floating_ip.ip, floating_ip.port_id)
        return floating_ip

    def _values(self, bodies: Sequence[Body]) -> Iterable[FloatingIp]:
        return map(self._value, bodies)

    def _value(self, body: Body) -> FloatingIp:
        ip: str = body["floating_ip_address"]
        fields: dict[str, Any] = {**self._common(body), "name": ip}
        return FloatingIp(
            **fields,
            ip=ip,
            external_network_id=body["floating_network_id"],
            status=status_of(NetworkStatus, body["status"]),
            native_status=body["status"],
            port_id=body.get("port_id"),
            fixed_ip=body.get("fixed_ip_address"),
            router_id=body.get("router_id"),
        )
