"""Networks and subnets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from cloudkit._slaac import is_automatic, slaac_address
from cloudkit.errors import Conflict, InUse, InvalidRequest
from cloudkit.types import FixedIp, Kind, Network, NetworkSpec, NetworkStatus, Port, Subnet, SubnetSpec
from cloudkit_fake.cloud import request
from cloudkit_fake.collections import FakeCollection, not_found
from cloudkit_fake.derived import refresh_server
from cloudkit_fake.state import State

DEFAULT_MTU = 1500


class Networks(FakeCollection[Network]):
    """Layer-2 networks."""

    kind = Kind.NETWORK

    @request
    def create(self, spec: NetworkSpec) -> Network:
        """Make one, without subnets."""
        self._check_quota("networks")
        if spec.vlan_id is not None:
            for other in self._state.all(Kind.NETWORK):
                if other.vlan_id == spec.vlan_id:
                    raise Conflict(f"another network has the VLAN id {spec.vlan_id}", driver="fake")
        return self._state.put(
            Network(
                **self._common(spec),
                status=NetworkStatus.ACTIVE,
                native_status=NetworkStatus.ACTIVE.value,
                external=spec.external,
                shared=spec.shared,
                mtu=spec.mtu or DEFAULT_MTU,
                tags=spec.tags,
                vlan_id=spec.vlan_id,
            )
        )

    @request
    def delete(self, id: str) -> None:
        """Delete one with its subnets; raises InUse while it has ports."""
        self._own(id)
        for port in self._state.all(Kind.PORT):
            if port.network_id == id:
                raise InUse(f"the port {port.id} is on the network", driver="fake", resource=id)
        for floating_ip in self._state.all(Kind.FLOATING_IP):
            if floating_ip.external_network_id == id:
                raise InUse(f"the floating IP {floating_ip.ip} is from the network", driver="fake", resource=id)
        for router in self._state.all(Kind.ROUTER):
            if router.external_network_id == id:
                raise InUse(f"the router {router.name!r} leads out by the network", driver="fake", resource=id)
        for subnet in self._state.all(Kind.SUBNET):
            if subnet.network_id == id:
                self._state.remove(Kind.SUBNET, subnet.id)
        self._state.remove(Kind.NETWORK, id)

    @request
    def update(self, id: str, changes: Mapping[str, Any]) -> Network:
        """Set attributes; raises InUse for what other projects use, and would not see any longer."""
        network = self._own(id)
        if not changes.get("shared", True) and not network.external:
            for port in self._state.all(Kind.PORT):
                if port.network_id == id and port.project_id != network.project_id:
                    raise InUse("other projects have ports on the network", driver="fake", resource=id)
        return self._change(id, **changes)

    def sees(self, value: Any) -> bool:
        return bool(value.project_id == self._project_id or value.shared or value.external)


class Subnets(FakeCollection[Subnet]):
    """Ranges of addresses."""

    kind = Kind.SUBNET

    @request
    def create(self, spec: SubnetSpec) -> Subnet:
        """Make one; raises Conflict where it overlaps another one of its network."""
        network: Network | None = self._state.find(Kind.NETWORK, spec.network_id)
        if network is None or network.project_id != self._project_id:
            raise not_found(Kind.NETWORK, spec.network_id)
        cidr = _cidr(spec.cidr)
        for other in self._state.all(Kind.SUBNET):
            if other.network_id == spec.network_id and overlap(cidr, other.cidr):
                raise Conflict(
                    f"{cidr} overlaps {other.cidr} of the subnet {other.name!r}",
                    driver="fake",
                    hint="Choose another CIDR.",
                )
        self._check_quota("subnets")
        gateway = str(cidr.network_address + 1) if spec.gateway_ip == "auto" else spec.gateway_ip
        pools = spec.allocation_pools or default_pools(cidr, gateway)
        _check_pools(pools, cidr, gateway)
        subnet = self._state.put(
            Subnet(
                **self._common(spec),
                network_id=spec.network_id,
                cidr=str(cidr),
                ip_version=cidr.version,
                gateway_ip=gateway,
                dns=spec.dns,
                dhcp=spec.dhcp,
                allocation_pools=pools,
                ipv6_mode=spec.ipv6_mode,
                host_routes=spec.host_routes,
            )
        )
        self._state.update(Kind.NETWORK, network.id, subnet_ids=(*network.subnet_ids, subnet.id))
        if is_automatic(subnet):
            self._address_ports(subnet)
        return subnet

    def _address_ports(self, subnet: Subnet) -> None:
        """Guests that are on the network make themselves an address of a new subnet, as of one that was there."""
        for port in self._state.all(Kind.PORT):
            if port.network_id == subnet.network_id and not port.device_owner.startswith("network:"):
                fixed = FixedIp(ip=slaac_address(IPv6Network(subnet.cidr), port.mac), subnet_id=subnet.id)
                self._readdress(port, (*port.fixed_ips, fixed))

    def _readdress(self, port: Port, fixed_ips: tuple[FixedIp, ...]) -> None:
        self._state.update(Kind.PORT, port.id, fixed_ips=fixed_ips)
        refresh_server(self._state, port.device_id)

    @request
    def delete(self, id: str) -> None:
        """Delete one; raises InUse while ports have its addresses."""
        subnet = self._own(id)
        ports: list[Port] = [
            port for port in self._state.all(Kind.PORT) if any(fixed.subnet_id == id for fixed in port.fixed_ips)
        ]
        # What guests made themselves is no use of the subnet, as with Neutron; a router's address is.
        automatic = is_automatic(subnet) and not any(port.device_owner.startswith("network:") for port in ports)
        if self._state.taken.get(id) and not automatic:
            raise InUse(f"ports have addresses of the subnet {subnet.cidr}", driver="fake", resource=id)
        for port in ports:
            self._readdress(port, tuple(fixed for fixed in port.fixed_ips if fixed.subnet_id != id))
        network = self._state.get(Kind.NETWORK, subnet.network_id)
        left = tuple(each for each in network.subnet_ids if each != id)
        self._state.update(Kind.NETWORK, network.id, subnet_ids=left)
        self._state.remove(Kind.SUBNET, id)

    def sees(self, value: Any) -> bool:
        network: Network = self._state.get(Kind.NETWORK, value.network_id)
        return value.project_id == self._project_id or network.shared or network.external


def overlap(cidr: IPv4Network | IPv6Network, other: str) -> bool:
    """Whether two ranges have addresses in common."""
    return cidr.version == ip_network(other).version and cidr.overlaps(ip_network(other))


def default_pools(cidr: IPv4Network | IPv6Network, gateway: str | None) -> tuple[tuple[str, str], ...]:
    """All usable addresses but the gateway."""
    last_offset = cidr.num_addresses - (2 if cidr.version == 4 else 1)
    first, last = cidr.network_address + 1, cidr.network_address + last_offset
    if gateway is None or not int(first) <= int(ip_address(gateway)) <= int(last):
        return ((str(first), str(last)),) if int(first) <= int(last) else ()
    at = ip_address(gateway)
    parts = ((first, at - 1), (at + 1, last))
    return tuple((str(low), str(high)) for low, high in parts if int(low) <= int(high))


def free_addresses(state: State, subnet: Subnet) -> Iterator[str]:
    """The addresses of a subnet's pools that nobody has, in order."""
    taken = state.taken.get(subnet.id, set[str]())
    for low, high in subnet.allocation_pools:
        at = ip_address(low)
        for _ in range(int(ip_address(high)) - int(at) + 1):
            if (text := str(at)) not in taken:
                yield text
            at += 1


def _cidr(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise InvalidRequest(f"{text!r} is no subnet", fault=str(error), driver="fake") from None


def _check_pools(pools: tuple[tuple[str, str], ...], cidr: IPv4Network | IPv6Network, gateway: str | None) -> None:
    ranges: list[tuple[int, int]] = []
    for low_text, high_text in pools:
        low, high = _address(low_text, cidr), _address(high_text, cidr)
        if low > high:
            raise _bad_pool(low_text, high_text, "ends before it starts")
        if gateway is not None and low <= int(ip_address(gateway)) <= high:
            raise _bad_pool(low_text, high_text, f"holds the gateway {gateway}")
        if any(low <= other_high and other_low <= high for other_low, other_high in ranges):
            raise _bad_pool(low_text, high_text, "overlaps another one")
        ranges.append((low, high))


def _bad_pool(low: str, high: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"the allocation pool {low}-{high} {reason}", driver="fake")


def _address(text: str, cidr: IPv4Network | IPv6Network) -> int:
    address: IPv4Address | IPv6Address = ip_address(text)
    ends = (cidr.network_address, cidr.broadcast_address) if cidr.version == 4 else (cidr.network_address,)
    if address not in cidr or address in ends:
        raise InvalidRequest(f"{text} is no usable address of {cidr}", driver="fake")
    return int(address)
