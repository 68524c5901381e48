"""Routers and floating IPs."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

from cloudkit.errors import AlreadyExists, Conflict, InUse, InvalidRequest, NotFound
from cloudkit.types import (
    FloatingIp,
    FloatingIpSpec,
    Kind,
    Network,
    NetworkStatus,
    Port,
    Router,
    RouterSpec,
    Spec,
    Subnet,
)
from cloudkit_fake.cloud import request
from cloudkit_fake.collections import FakeCollection, not_found
from cloudkit_fake.derived import refresh_server
from cloudkit_fake.networks import free_addresses, overlap
from cloudkit_fake.ports import ROUTER_OWNER, Ports
from cloudkit_fake.state import State

ACTIVE, DOWN = NetworkStatus.ACTIVE, NetworkStatus.DOWN


class Routers(FakeCollection[Router]):
    """Routers."""

    kind = Kind.ROUTER

    @request
    def create(self, spec: RouterSpec) -> Router:
        """Make one, without interfaces."""
        self._check_quota("routers")
        ips = self._take_gateway(spec.external_network_id)
        router = Router(
            **self._common(spec),
            status=ACTIVE,
            native_status=ACTIVE.value,
            external_network_id=spec.external_network_id,
            external_ips=ips,
        )
        return self._state.put(router)

    @request
    def delete(self, id: str) -> None:
        """Delete one; raises InUse while it has interfaces."""
        router = self._own(id)
        if self._state.plugged.get(id):
            raise InUse(f"the router {router.name!r} has interfaces", driver="fake", resource=id)
        self._give_back_gateway(router)
        self._state.remove(Kind.ROUTER, id)

    @request
    def add_interface(self, id: str, subnet_id: str) -> None:
        """Join a subnet, at its gateway address."""
        router, subnet = self._own(id), self._subnet(subnet_id)
        if subnet.gateway_ip is None:
            raise InvalidRequest(f"the subnet {subnet.name!r} has no gateway", driver="fake", resource=subnet_id)
        if subnet.gateway_ip in self._state.taken.get(subnet_id, ()):
            raise Conflict(f"the gateway address {subnet.gateway_ip} is taken", driver="fake", resource=subnet_id)
        for other in joined(self._state, id):
            if overlap(ip_network(subnet.cidr), other.cidr):
                raise Conflict(f"{subnet.cidr} overlaps {other.cidr}, which the router has joined", driver="fake")
        assert router.mark is not None, "every create request has a mark"
        Ports(self._cloud, self._project_id).make_interface(id, subnet, Spec(name="", mark=router.mark))

    @request
    def remove_interface(self, id: str, subnet_id: str) -> None:
        """Leave a subnet."""
        self._own(id)
        for floating_ip in self._state.all(Kind.FLOATING_IP):
            if floating_ip.router_id == id and subnet_id in _subnets_of(self._state, floating_ip.port_id):
                raise InUse(f"the floating IP {floating_ip.ip} needs the way", driver="fake", resource=id)
        for port_id in self._state.plugged.get(id, ()):
            port: Port = self._state.get(Kind.PORT, port_id)
            if any(fixed.subnet_id == subnet_id for fixed in port.fixed_ips):
                self._state.remove(Kind.PORT, port_id)
                return
        raise NotFound(f"the router has not joined the subnet {subnet_id!r}", driver="fake", resource=subnet_id)

    @request
    def set_gateway(self, id: str, external_network_id: str | None) -> Router:
        """Lead out by an external network, or nowhere."""
        router = self._own(id)
        if router.external_network_id == external_network_id:
            return router
        if any(floating_ip.router_id == id for floating_ip in self._state.all(Kind.FLOATING_IP)):
            raise InUse("floating IPs need the gateway", driver="fake", resource=id)
        ips = self._take_gateway(external_network_id)
        self._give_back_gateway(router)
        return self._change(id, external_network_id=external_network_id, external_ips=ips)

    def _take_gateway(self, network_id: str | None) -> tuple[str, ...]:
        if network_id is None:
            return ()
        subnets = external_subnets(self._state, network_id)
        return (take_free(self._state, subnets),) if subnets else ()

    def _give_back_gateway(self, router: Router) -> None:
        if router.external_network_id is not None:
            for subnet in external_subnets(self._state, router.external_network_id):
                self._state.taken.setdefault(subnet.id, set[str]()).difference_update(router.external_ips)

    def _subnet(self, id: str) -> Subnet:
        subnet: Subnet | None = self._state.find(Kind.SUBNET, id)
        if subnet is None or subnet.project_id != self._project_id:
            raise not_found(Kind.SUBNET, id)
        return subnet


class FloatingIps(FakeCollection[FloatingIp]):
    """Addresses of an external network."""

    kind = Kind.FLOATING_IP

    @request
    def create(self, spec: FloatingIpSpec) -> FloatingIp:
        """Take one."""
        subnets = external_subnets(self._state, spec.external_network_id)
        if not subnets:
            raise Conflict("the external network has no subnet to take an address from", driver="fake")
        self._check_quota("floating_ips")
        way = None if spec.port_id is None else self._way(spec.port_id, None, spec.external_network_id, None)
        ip = take_free(self._state, subnets) if spec.ip is None else _take(self._state, subnets, spec.ip)
        fields: dict[str, Any] = {**self._common(spec), "name": ip}
        floating_ip = self._state.put(
            FloatingIp(
                **fields,
                ip=ip,
                external_network_id=spec.external_network_id,
                status=DOWN,
                native_status=DOWN.value,
            )
        )
        return floating_ip if way is None else self._translate(floating_ip.id, *way)

    @request
    def delete(self, id: str) -> None:
        """Give one back."""
        floating_ip = self._own(id)
        for subnet in external_subnets(self._state, floating_ip.external_network_id):
            self._state.taken.setdefault(subnet.id, set[str]()).discard(floating_ip.ip)
        self._state.remove(Kind.FLOATING_IP, id)
        self._refresh(floating_ip.port_id)

    @request
    def associate(self, id: str, port_id: str | None, fixed_ip: str | None) -> FloatingIp:
        """Translate to a port, or to nothing."""
        floating_ip = self._own(id)
        if port_id is None:
            before = floating_ip.port_id
            floating_ip = self._change(
                id, port_id=None, fixed_ip=None, router_id=None, status=DOWN, native_status=DOWN.value
            )
            self._refresh(before)
            return floating_ip
        way = self._way(port_id, fixed_ip, floating_ip.external_network_id, id)
        before = floating_ip.port_id
        floating_ip = self._translate(id, *way)
        if before != port_id:
            self._refresh(before)
        return floating_ip

    def _translate(self, id: str, port: Port, fixed_ip: str, router_id: str) -> FloatingIp:
        floating_ip = self._change(
            id, port_id=port.id, fixed_ip=fixed_ip, router_id=router_id, status=ACTIVE, native_status=ACTIVE.value
        )
        self._refresh(port.id)
        return floating_ip

    def _refresh(self, port_id: str | None) -> None:
        port = None if port_id is None else self._state.find(Kind.PORT, port_id)
        if port is not None and port.device_id:
            refresh_server(self._state, port.device_id)

    def _way(
        self, port_id: str, fixed_ip: str | None, external_network_id: str, own_id: str | None
    ) -> tuple[Port, str, str]:
        """The port, its address and the router that leads from it to the external network."""
        port: Port | None = self._state.find(Kind.PORT, port_id)
        if port is None or port.project_id != self._project_id:
            raise not_found(Kind.PORT, port_id)
        candidates = [fixed for fixed in port.fixed_ips if fixed_ip in (None, fixed.ip) and ":" not in fixed.ip]
        if not candidates:
            raise InvalidRequest(f"the port has no IPv4 address {fixed_ip or 'at all'}", driver="fake")
        for other in self._state.all(Kind.FLOATING_IP):
            if other.port_id == port_id and other.fixed_ip == candidates[0].ip and other.id != own_id:
                raise Conflict(f"the floating IP {other.ip} is translated to {other.fixed_ip} already", driver="fake")
        for fixed in candidates:
            for router in self._state.all(Kind.ROUTER):
                leads_out = router.external_network_id == external_network_id
                if leads_out and any(subnet.id == fixed.subnet_id for subnet in joined(self._state, router.id)):
                    return port, fixed.ip, router.id
        raise Conflict(
            "no router leads from the port's subnet to the external network",
            driver="fake",
            resource=port_id,
            hint="Create a router with external= and the server's network first.",
        )


def joined(state: State, router_id: str) -> list[Subnet]:
    """The subnets that a router has joined."""
    ports: list[Port] = [state.get(Kind.PORT, id) for id in state.plugged.get(router_id, ())]
    return [
        state.get(Kind.SUBNET, fixed.subnet_id)
        for port in ports
        if port.device_owner == ROUTER_OWNER
        for fixed in port.fixed_ips
    ]


def external_subnets(state: State, network_id: str) -> list[Subnet]:
    """The IPv4 subnets of an external network; raises NotFound, InvalidRequest."""
    network: Network = state.get(Kind.NETWORK, network_id)
    if not network.external:
        raise InvalidRequest(f"the network {network.name!r} is not external", driver="fake", resource=network_id)
    subnets: list[Subnet] = [state.get(Kind.SUBNET, id) for id in network.subnet_ids]
    return [subnet for subnet in subnets if subnet.ip_version == 4]


def take_free(state: State, subnets: list[Subnet]) -> str:
    """Take any address of an external network."""
    for subnet in subnets:
        for ip in free_addresses(state, subnet):
            state.taken.setdefault(subnet.id, set[str]()).add(ip)
            return ip
    cidrs = ", ".join(subnet.cidr for subnet in subnets)
    raise Conflict(f"the external network has no free address left ({cidrs})", driver="fake")


def _take(state: State, subnets: list[Subnet], ip: str) -> str:
    address = ip_address(ip)
    for subnet in subnets:
        if ip in state.taken.get(subnet.id, ()):
            raise AlreadyExists(f"the address {ip} is taken", driver="fake", resource=ip)
        pools = [(IPv4Address(low), IPv4Address(high)) for low, high in subnet.allocation_pools]
        if isinstance(address, IPv4Address) and any(low <= address <= high for low, high in pools):
            state.taken.setdefault(subnet.id, set[str]()).add(ip)
            return ip
    raise InvalidRequest(f"{ip} is no address that the external network gives", driver="fake")


def _subnets_of(state: State, port_id: str | None) -> set[str]:
    port = None if port_id is None else state.find(Kind.PORT, port_id)
    return set() if port is None else {fixed.subnet_id for fixed in port.fixed_ips}
