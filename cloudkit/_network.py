"""Networks, subnets and ports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, Unpack

from cloudkit import _checks as checks
from cloudkit._collection import Collection, Creation, Ref
from cloudkit._context import Verb
from cloudkit.driver import Subports
from cloudkit.errors import InvalidRequest
from cloudkit.types import (
    FixedIpSpec,
    Kind,
    Network,
    NetworkSpec,
    NetworkStatus,
    Port,
    PortSpec,
    Subnet,
    SubnetSpec,
)

AUTO = "auto"
MAX_MTU = 65535
MAX_VLAN_ID = 4094
_BROKEN = frozenset({NetworkStatus.ERROR})


class Networks(Collection[Network]):
    """Layer-2 networks. Deleting one deletes its subnets; its ports must be gone."""

    kind = Kind.NETWORK
    _service = "network"
    _create_capability = _delete_capability = "networks.create"
    _broken = _BROKEN

    def create(
        self,
        name: str,
        *,
        cidr: str | None = None,
        dns: Iterable[str] = (),
        gateway_ip: str | None = AUTO,
        dhcp: bool = True,
        allocation_pools: Iterable[tuple[str, str]] = (),
        ipv6_mode: str | None = None,
        host_routes: Iterable[tuple[str, str]] = (),
        external: bool = False,
        shared: bool = False,
        mtu: int | None = None,
        tags: Iterable[str] = (),
        vlan_id: int | None = None,
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> Network:
        """Make one; with ``cidr``, a subnet of the same name on it too.

        Args:
            cidr, dns, gateway_ip, dhcp, allocation_pools, ipv6_mode, host_routes: the subnet's; see
                ``subnets.create``.
            external: it leads out of the cloud and gives floating IPs (an administrator's right on OpenStack).
            shared: other projects may use it.
            mtu: the largest packet, in bytes.
            vlan_id: the 802.1Q id, 1 to 4094, by which its packets are told from others' on the wire: a VLAN of the
                cloud's physical network (an administrator's right on OpenStack).

        Raises:
            Conflict: another network has the VLAN id.
        """
        with self._creating(name):
            common = self._common(name, description, native)
            options = (dns, gateway_ip, dhcp, allocation_pools, ipv6_mode, host_routes)
            subnet = None
            if cidr is not None:
                # Refused before the network is made.
                self._context.require("subnets.create")
                subnet = SubnetSpec(**self._common(name, "", None), network_id="", **subnet_fields(cidr, *options))
                self._others(Kind.SUBNET)._require_options(subnet)
            elif options != ((), AUTO, True, (), None, ()):
                raise InvalidRequest(
                    "dns, gateway_ip, dhcp, allocation_pools, ipv6_mode and host_routes are the subnet's, "
                    "and no cidr is given",
                    hint="Pass cidr=, as 172.16.1.0/24.",
                )
            spec = NetworkSpec(
                **common,
                external=checks.flag(external, "external"),
                shared=checks.flag(shared, "shared"),
                mtu=None if mtu is None else checks.integer(mtu, "mtu", 68, MAX_MTU),
                tags=checks.tags(tags),
                vlan_id=None if vlan_id is None else checks.integer(vlan_id, "vlan_id", 1, MAX_VLAN_ID),
            )
            return self._create(spec, finish=None if subnet is None else self._with_subnet(subnet), **how)

    def _with_subnet(self, spec: SubnetSpec) -> Callable[[Network], Network]:
        def finish(network: Network) -> Network:
            subnet = self._others(Kind.SUBNET)._create(replace(spec, network_id=network.id))
            return replace(network, subnet_ids=(*network.subnet_ids, subnet.id))

        return finish

    def update(self, ref: Ref, **changes: Any) -> Network:
        """Change ``name``, ``description``, ``shared`` or ``tags`` (as a whole)."""
        allowed: dict[str, Callable[[Any], Any]] = {
            "name": checks.name,
            "description": lambda value: checks.text(value, "description"),
            "shared": lambda value: checks.flag(value, "shared"),
            "tags": checks.tags,
        }
        return self._update(ref, changes, allowed)


class Subnets(Collection[Subnet]):
    """Ranges of addresses on networks."""

    kind = Kind.SUBNET
    _service = "network"
    _create_capability = _delete_capability = "subnets.create"

    def create(
        self,
        name: str,
        *,
        network: Ref,
        cidr: str,
        gateway_ip: str | None = AUTO,
        dns: Iterable[str] = (),
        dhcp: bool = True,
        allocation_pools: Iterable[tuple[str, str]] = (),
        ipv6_mode: str | None = None,
        host_routes: Iterable[tuple[str, str]] = (),
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> Subnet:
        """Make one.

        Args:
            gateway_ip: an address of the subnet, None for no gateway, or "auto" for the first address.
            dns: addresses of name servers, told to guests by DHCP, or by router advertisements.
            allocation_pools: pairs of first and last address to choose from; empty: all but the gateway.
            ipv6_mode: how guests get addresses of an IPv6 subnet (Neutron's ``ipv6_address_mode`` and
                ``ipv6_ra_mode``, both): "slaac", the default, by which an address follows from the prefix, a /64, and
                the port's MAC; "dhcpv6-stateless", the same, with the rest told by DHCPv6; or "dhcpv6-stateful".
                With ``dhcp=False`` nobody tells them.
            host_routes: pairs of a destination, as 10.9.0.0/16, and the address that leads there.

        Raises:
            Conflict: it overlaps another subnet of the network.
        """
        with self._creating(name):
            spec = SubnetSpec(
                **self._common(name, description, native),
                network_id=self._others(Kind.NETWORK).ref_id(network),
                **subnet_fields(cidr, dns, gateway_ip, dhcp, allocation_pools, ipv6_mode, host_routes),
            )
            return self._create(spec, **how)


class Ports(Collection[Port]):
    """Plugs on networks, each with a MAC and fixed addresses. Deleting a trunk sets its subports free."""

    kind = Kind.PORT
    _service = "network"
    _create_capability = _delete_capability = "ports.create"
    _broken = _BROKEN

    def create(
        self,
        name: str,
        *,
        network: Ref,
        fixed_ips: Iterable[str | FixedIpSpec] = (),
        mac: str | None = None,
        security_groups: Iterable[Ref] | None = None,
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> Port:
        """Make one, to be given to ``servers.create(networks=[port])``.

        Args:
            fixed_ips: addresses, or :class:`~cloudkit.FixedIpSpec` for any one of a subnet; empty: a free one.
            security_groups: None for the project's ``default``; empty for none.

        Raises:
            Conflict: an address or the MAC is taken, or no address is free.
        """
        with self._creating(name):
            groups = None if security_groups is None else checks.items(security_groups, "security_groups")
            group_kind = self._others(Kind.SECURITY_GROUP)
            spec = PortSpec(
                **self._common(name, description, native),
                network_id=self._others(Kind.NETWORK).ref_id(network),
                fixed_ips=tuple(map(self._fixed_ip, checks.items(fixed_ips, "fixed_ips"))),
                mac=checks.mac(mac),
                security_group_ids=None if groups is None else tuple(group_kind.ref_id(ref) for ref in groups),
            )
            return self._create(spec, **how)

    def add_subport(self, ref: Ref, subport: Ref, *, vlan_id: int) -> Port:
        """Have another port, of any network, be reached through this one: this one is a trunk then (802.1Q).

        A guest whose interface is the trunk is in the other network too, by the VLAN ``vlan_id`` of that interface.
        There it must send with the other port's MAC, and from its address.

        A port becomes a trunk before a server has it; later on subports come and go as one likes.

        Args:
            vlan_id: 1 to 4094, and another one for each subport; it has nothing to do with a network's.

        Raises:
            InUse: a server, a router or a trunk has the other port, or it is a trunk itself.
            Conflict: another subport has the VLAN id.
            InvalidState: a server has the port, and it is no trunk.
        """
        with Verb(self._context, "ports.add_subport", ref):
            part: Subports = self._offered("ports.subports")
            number = checks.integer(vlan_id, "vlan_id", 1, MAX_VLAN_ID)
            port_id = self._get(subport).id

            def add(id: str) -> None:
                if id == port_id:
                    raise InvalidRequest("a port is not reached through itself", resource=id)
                self._context.call(part.add_subport, id, port_id, number)

            id, _ = self._act(ref, add)
            return self._fetch(id)

    def remove_subport(self, ref: Ref, subport: Ref) -> Port:
        """Set a subport free; this port stays a trunk. Raises InvalidState for what is none of its subports."""
        with Verb(self._context, "ports.remove_subport", ref):
            part: Subports = self._offered("ports.subports")
            port_id = self._get(subport).id
            id, _ = self._act(ref, lambda id: self._context.call(part.remove_subport, id, port_id))
            return self._fetch(id)

    def _fixed_ip(self, item: object) -> FixedIpSpec:
        if not isinstance(item, FixedIpSpec):
            return FixedIpSpec(ip=checks.address(item, "fixed_ips"))
        ip = None if item.ip is None else checks.address(item.ip, "fixed_ips")
        if ip is None and item.subnet_id is None:
            raise InvalidRequest("fixed_ips: an address or a subnet is expected")
        return FixedIpSpec(
            ip=ip, subnet_id=None if item.subnet_id is None else self._others(Kind.SUBNET).ref_id(item.subnet_id)
        )


def subnet_fields(
    cidr: object, dns: object, gateway_ip: object, dhcp: object, pools: object, ipv6_mode: object, host_routes: object
) -> dict[str, Any]:
    """The checked fields of a SubnetSpec."""
    network = checks.network_of(cidr)
    gateway = gateway_ip
    if gateway_ip is not None and gateway_ip != AUTO:
        gateway = checks.address(gateway_ip, "gateway_ip", network.version)
        if ip_address(gateway) not in network:
            raise InvalidRequest(f"gateway_ip: {gateway} is not within {network}")
    with_dhcp = checks.flag(dhcp, "dhcp")
    return {
        "cidr": str(network),
        "ip_version": network.version,
        "gateway_ip": gateway,
        "dns": tuple(checks.address(server, "dns", network.version) for server in checks.items(dns, "dns")),
        "dhcp": with_dhcp,
        "allocation_pools": checks.pools(pools, network),
        "ipv6_mode": checks.ipv6_mode(ipv6_mode, network, with_dhcp),
        "host_routes": checks.host_routes(host_routes, network),
    }
