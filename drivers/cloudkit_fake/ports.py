"""Ports: MACs and addresses, each taken by one port only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_address, ip_network

from cloudkit._slaac import is_automatic, slaac_address
from cloudkit._subports import SUBPORT_OWNER, by_vlan_id, check_is_subport, check_mtu, check_subport
from cloudkit.errors import AlreadyExists, Conflict, InUse, InvalidRequest
from cloudkit.types import (
    FixedIp,
    FixedIpSpec,
    Kind,
    Mark,
    Network,
    NetworkStatus,
    Nic,
    Port,
    PortSpec,
    Spec,
    Subnet,
    Subport,
)
from cloudkit_fake.cloud import request
from cloudkit_fake.collections import FakeCollection, not_found
from cloudkit_fake.derived import COMPUTE_OWNER, free_floating_ips, set_free
from cloudkit_fake.networks import free_addresses
from cloudkit_fake.security_groups import check_groups, default_group_id

ROUTER_OWNER = "network:router_interface"
Reserved = set[tuple[str, str]]
"""(subnet id, address) of what this request takes: no two of its interfaces get the same one."""


@dataclass(frozen=True, slots=True)
class Plug:
    """A port to be made for a server, or one that exists."""

    port_id: str | None
    network_id: str
    mac: str
    fixed_ips: tuple[FixedIp, ...]
    group_ids: tuple[str, ...]


class Ports(FakeCollection[Port]):
    """Plugs on networks."""

    kind = Kind.PORT

    @request
    def create(self, spec: PortSpec) -> Port:
        """Make one; raises Conflict for an address that is taken."""
        network = self._network(spec.network_id)
        mac = spec.mac or _random_mac()
        fixed_ips = self._choose(network, spec.fixed_ips, Reserved(), mac)
        if spec.mac is not None and any(port.mac == spec.mac for port in self._state.all(Kind.PORT)):
            raise AlreadyExists(f"the MAC {spec.mac} belongs to another port", driver="fake")
        groups = spec.security_group_ids
        if groups is None:
            groups = (default_group_id(self._cloud, self._project_id),)
        check_groups(self._state, self._project_id, groups)
        self._check_quota("ports")
        return self._make(spec, network.id, mac, fixed_ips, groups)

    @request
    def delete(self, id: str) -> None:
        """Delete one; raises InUse while a server or a router has it."""
        port = self._own(id)
        if port.device_owner == ROUTER_OWNER:
            raise InUse(f"the port is an interface of the router {port.device_id}", driver="fake", resource=id)
        if port.device_owner == SUBPORT_OWNER:
            raise InUse(f"the port is a subport of the trunk {port.device_id}", driver="fake", resource=id)
        if port.device_id:
            raise InUse(f"the port is used by the server {port.device_id}", driver="fake", resource=id)
        free_floating_ips(self._state, id)
        for subport in port.subports or ():
            set_free(self._state, subport.port_id)
        self._state.remove(Kind.PORT, id)

    @request
    def add_subport(self, id: str, port_id: str, vlan_id: int) -> None:
        """Have a port be reached through another one."""
        trunk, port = self._own(id), self._own(port_id)
        check_subport("fake", trunk, port, vlan_id)
        check_mtu("fake", *(self._state.get(Kind.NETWORK, each.network_id).mtu for each in (trunk, port)))
        subports = (*(trunk.subports or ()), Subport(port_id=port_id, vlan_id=vlan_id))
        self._change(id, subports=by_vlan_id(subports))
        active = NetworkStatus.ACTIVE
        self._change(port_id, device_id=id, device_owner=SUBPORT_OWNER, status=active, native_status=active.value)

    @request
    def remove_subport(self, id: str, port_id: str) -> None:
        """Set a subport free."""
        trunk = self._own(id)
        check_is_subport("fake", trunk, port_id)
        self._change(id, subports=tuple(each for each in trunk.subports or () if each.port_id != port_id))
        set_free(self._state, port_id)

    # ---------------------------------------------------------------- for servers; the caller is in a request

    def plan(self, nics: tuple[Nic, ...], group_ids: tuple[str, ...]) -> list[Plug]:
        """Check the interfaces that are asked for, and choose their addresses; changes nothing."""
        check_groups(self._state, self._project_id, group_ids)
        if not nics:
            return []
        plugs: list[Plug] = []
        reserved = Reserved()
        for nic in nics:
            plugs.append(self._plan_one(nic, group_ids, reserved, {plug.port_id for plug in plugs}))
        self._check_quota("ports", sum(plug.port_id is None for plug in plugs))
        return plugs

    def _plan_one(self, nic: Nic, group_ids: tuple[str, ...], reserved: Reserved, planned: set[str | None]) -> Plug:
        if nic.port_id is not None:
            port = self._own(nic.port_id)
            if port.device_id or port.id in planned:
                raise InUse(f"the port {port.name or port.id!r} is in use", driver="fake", resource=port.id)
            return Plug(port.id, port.network_id, port.mac, port.fixed_ips, port.security_group_ids)
        if nic.network_id is None:
            raise InvalidRequest("an interface needs a network or a port", driver="fake")
        network = self._network(nic.network_id)
        if not network.subnet_ids:
            raise InvalidRequest(
                f"the network {network.name!r} has no subnet, so a server cannot be plugged into it",
                driver="fake",
                resource=network.id,
                hint="Create a subnet on it first.",
            )
        mac = _random_mac()
        fixed_ips = self._choose(network, (FixedIpSpec(ip=nic.fixed_ip),) if nic.fixed_ip else (), reserved, mac)
        return Plug(None, network.id, mac, fixed_ips, group_ids)

    def plug_in(self, plug: Plug, server_id: str, mark: Mark) -> str:
        """Give a server what was planned; returns the port's id."""
        active = NetworkStatus.ACTIVE
        if plug.port_id is not None:
            self._state.update(
                Kind.PORT,
                plug.port_id,
                device_id=server_id,
                device_owner=COMPUTE_OWNER,
                status=active,
                native_status=active.value,
            )
            return plug.port_id
        groups = plug.group_ids or (default_group_id(self._cloud, self._project_id),)
        nameless = Spec(name="", mark=mark)
        port = self._make(nameless, plug.network_id, plug.mac, plug.fixed_ips, groups, server_id, COMPUTE_OWNER)
        self._state.secrets[port.id] = {"owned": True}
        return port.id

    def make_interface(self, router_id: str, subnet: Subnet, spec: Spec) -> Port:
        """A router's plug, at the subnet's gateway address."""
        assert subnet.gateway_ip is not None
        fixed = FixedIp(ip=subnet.gateway_ip, subnet_id=subnet.id)
        return self._make(spec, subnet.network_id, _random_mac(), (fixed,), (), router_id, ROUTER_OWNER)

    # ---------------------------------------------------------------- parts

    def _network(self, id: str) -> Network:
        network: Network | None = self._state.find(Kind.NETWORK, id)
        if network is None or not (network.project_id == self._project_id or network.shared or network.external):
            raise not_found(Kind.NETWORK, id)
        return network

    def _choose(
        self, network: Network, wishes: tuple[FixedIpSpec, ...], reserved: Reserved, mac: str
    ) -> tuple[FixedIp, ...]:
        """Addresses on a network: those asked for, or one of each IP version, and all that the guest will make."""
        subnets: list[Subnet] = [self._state.get(Kind.SUBNET, id) for id in network.subnet_ids]
        automatic = [subnet for subnet in subnets if is_automatic(subnet)]
        own = {subnet.id for subnet in automatic}
        chosen = [self._fulfil(subnets, wish, reserved) for wish in wishes if wish.ip or wish.subnet_id not in own]
        for version in (4, 6) if not wishes else ():
            of_version = [subnet for subnet in subnets if subnet.ip_version == version and subnet.id not in own]
            if of_version:
                chosen.append(self._any_of(of_version, reserved))
        made = (FixedIp(ip=slaac_address(IPv6Network(each.cidr), mac), subnet_id=each.id) for each in automatic)
        return (*chosen, *made)

    def _fulfil(self, subnets: list[Subnet], wish: FixedIpSpec, reserved: Reserved) -> FixedIp:
        if wish.subnet_id is not None:
            subnets = [subnet for subnet in subnets if subnet.id == wish.subnet_id]
            if not subnets:
                raise InvalidRequest("the subnet belongs to another network", driver="fake", resource=wish.subnet_id)
        if wish.ip is None:
            return self._any_of(subnets, reserved)
        address = ip_address(wish.ip)
        for subnet in subnets:
            cidr = ip_network(subnet.cidr)
            if address in cidr and is_automatic(subnet):
                raise InvalidRequest(
                    f"{wish.ip} cannot be given: guests make their addresses of {cidr} themselves", driver="fake"
                )
            if address in cidr and address not in (cidr.network_address, cidr.broadcast_address):
                taken = wish.ip == subnet.gateway_ip or wish.ip in self._state.taken.get(subnet.id, ())
                if taken or (subnet.id, wish.ip) in reserved:
                    raise Conflict(f"the address {wish.ip} is taken", driver="fake")
                reserved.add((subnet.id, wish.ip))
                return FixedIp(ip=wish.ip, subnet_id=subnet.id)
        raise InvalidRequest(f"{wish.ip} is no usable address of a subnet of the network", driver="fake")

    def _any_of(self, subnets: list[Subnet], reserved: Reserved) -> FixedIp:
        for subnet in subnets:
            for ip in free_addresses(self._state, subnet):
                if (subnet.id, ip) not in reserved:
                    reserved.add((subnet.id, ip))
                    return FixedIp(ip=ip, subnet_id=subnet.id)
        cidrs = ", ".join(subnet.cidr for subnet in subnets)
        raise Conflict(
            f"the subnet {cidrs} has no free address left",
            driver="fake",
            hint="Delete ports or servers, or use another network.",
        )

    def _make(
        self,
        spec: Spec,
        network_id: str,
        mac: str,
        fixed_ips: tuple[FixedIp, ...],
        group_ids: tuple[str, ...],
        device_id: str = "",
        device_owner: str = "",
    ) -> Port:
        status = NetworkStatus.ACTIVE if device_id else NetworkStatus.DOWN
        return self._state.put(
            Port(
                **self._common(spec),
                network_id=network_id,
                mac=mac,
                fixed_ips=fixed_ips,
                status=status,
                native_status=status.value,
                device_id=device_id,
                device_owner=device_owner,
                security_group_ids=group_ids,
            )
        )


def _random_mac() -> str:
    """Below Neutron's default prefix."""
    return "fa:16:3e:" + os.urandom(3).hex(":")
