"""The network as a config drive tells it (Nova's network_data.json), for guests that ask no DHCP server."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import Any

from cloudkit_libvirt.bodies import NetworkBody, PortBody, SubnetBody
from cloudkit_libvirt.records import Record, View


def tap_name(port_id: str) -> str:
    """What Nova calls the interface of a port."""
    return f"tap{port_id[:11]}"


def network_data(view: View, ports: Sequence[Record[PortBody]]) -> dict[str, Any]:
    """Links, networks and name servers of a server with these ports."""
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: dict[str, dict[str, str]] = {}
    for index, record in enumerate(ports):
        id, port = record.id, record.body
        network = view.get(NetworkBody, port.network_id).body
        link = tap_name(id)
        links.append(
            {"id": link, "vif_id": id, "type": "phy", "ethernet_mac_address": port.mac, "mtu": network.mtu or 1500}
        )
        pairs = ((port.subnet_id, port.ip), (port.subnet6_id, port.ip6))
        for subnet_id, ip in pairs:
            subnet = view.find(SubnetBody, subnet_id) if subnet_id else None
            if subnet is None or ip is None:
                continue
            name = f"network{index}" if subnet.body.version == 4 else f"network{index}v6"
            networks.append({"id": name, "link": link, "network_id": port.network_id, **_how(ip, subnet.body)})
            services.update({address: {"type": "dns", "address": address} for address in subnet.body.dns})
    return {"links": links, "networks": networks, "services": list(services.values())}


def _how(ip: str, subnet: SubnetBody) -> dict[str, Any]:
    if subnet.version == 6:
        return {"type": "ipv6_slaac"}
    return {"type": "ipv4_dhcp"} if subnet.dhcp else _static(ip, subnet)


def _static(ip: str, subnet: SubnetBody) -> dict[str, Any]:
    routes: list[dict[str, str]] = []
    if subnet.gateway_ip is not None:
        everything = str(IPv4Network(0).network_address)
        routes.append({"network": everything, "netmask": everything, "gateway": subnet.gateway_ip})
    for cidr, gateway in subnet.host_routes:
        network = IPv4Network(cidr)
        routes.append({"network": str(network.network_address), "netmask": str(network.netmask), "gateway": gateway})
    netmask = str(IPv4Network(subnet.cidr).netmask)
    return {"type": "ipv4", "ip_address": ip, "netmask": netmask, "routes": routes}
