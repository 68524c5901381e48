"""Which networks, routers and servers there are, and what is plugged into what; read by one list of each kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudkit import Cloud
    from cloudkit.types import FloatingIp, Network, Port, Router, Server


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkMap:
    """What there was; the external networks come first."""

    networks: tuple[Network, ...]
    routers: tuple[Router, ...]
    servers: tuple[Server, ...]
    floating_ips: tuple[FloatingIp, ...]
    ips: dict[tuple[str, str], tuple[str, ...]]
    """The addresses of a device on a network, by the ids of the network and of the device."""
    cidrs: dict[str, tuple[str, ...]]

    def servers_on(self, network: Network) -> Iterator[tuple[Server, tuple[str, ...]]]:
        """The servers on a network, with their addresses there."""
        return ((each, self.ips[network.id, each.id]) for each in self.servers if (network.id, each.id) in self.ips)

    def routers_on(self, network: Network) -> Iterator[tuple[Router, tuple[str, ...]]]:
        """The routers on a network, with their addresses there."""
        return ((each, self.ips[network.id, each.id]) for each in self.routers if (network.id, each.id) in self.ips)

    def networks_of(self, device: Router | Server) -> tuple[Network, ...]:
        """The networks that something is plugged into."""
        return tuple(network for network in self.networks if (network.id, device.id) in self.ips)

    def floating_ips_of(self, server: Server) -> tuple[FloatingIp, ...]:
        """Those that are translated to a server."""
        ports = {address.port_id for address in server.addresses}
        return tuple(each for each in self.floating_ips if each.port_id is not None and each.port_id in ports)

    def free_floating_ips(self, network: Network) -> tuple[FloatingIp, ...]:
        """Those of an external network that are translated to nothing."""
        return tuple(
            each for each in self.floating_ips if each.external_network_id == network.id and each.port_id is None
        )


def read_map(cloud: Cloud) -> NetworkMap:
    """Look at a cloud; of what it does not offer there is nothing."""
    cidrs: dict[str, tuple[str, ...]] = {}
    for subnet in cloud.subnets.list():
        cidrs[subnet.network_id] = (*cidrs.get(subnet.network_id, ()), subnet.cidr)
    networks = sorted(cloud.networks.list(), key=lambda network: (not network.external, network.name, network.id))
    routers = sorted(cloud.routers.list(), key=_name) if cloud.supports("routers") else []
    servers = sorted(cloud.servers.list(), key=_name)
    ports = list(cloud.ports.list()) if routers else []
    return NetworkMap(
        networks=tuple(networks),
        routers=tuple(routers),
        servers=tuple(servers),
        floating_ips=tuple(cloud.floating_ips.list()) if cloud.supports("floating_ips") else (),
        ips=_collected([*_of_routers(routers, ports), *_of_servers(servers)]),
        cidrs=cidrs,
    )


def _name(each: Router | Server) -> tuple[str, str]:
    return each.name, each.id


def _of_routers(routers: Iterable[Router], ports: Iterable[Port]) -> Iterator[tuple[str, str, str]]:
    for router in routers:
        # The port of the gateway is not shown to everybody; the router itself tells of it.
        if router.external_network_id is not None:
            yield from ((router.external_network_id, router.id, ip) for ip in router.external_ips)
        for port in ports:
            if port.device_id == router.id and port.network_id != router.external_network_id:
                yield from ((port.network_id, router.id, fixed.ip) for fixed in port.fixed_ips)


def _of_servers(servers: Iterable[Server]) -> Iterator[tuple[str, str, str]]:
    for server in servers:
        yield from ((each.network_id, server.id, each.ip) for each in server.addresses if not each.floating)


def _collected(found: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], tuple[str, ...]]:
    ips: dict[tuple[str, str], tuple[str, ...]] = {}
    for network_id, device_id, ip in found:
        ips[network_id, device_id] = (*ips.get((network_id, device_id), ()), ip)
    return ips
