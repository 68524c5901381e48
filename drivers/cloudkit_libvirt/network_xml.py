"""The XML of libvirt's networks."""

from __future__ import annotations

from ipaddress import IPv4Network
from xml.etree import ElementTree as ET

from cloudkit_libvirt.addresses import prepared
from cloudkit_libvirt.bodies import Forward, SubnetBody
from cloudkit_libvirt.xml_tree import Element, node

_DNSMASQ = "http://libvirt.org/schemas/network/dnsmasq/1.0"
TAP = "ckt"
"""How the names of ports' devices begin."""
METADATA = "urn:cloudkit:network:1"
ET.register_namespace("dnsmasq", _DNSMASQ)
ET.register_namespace("cloudkit", METADATA)


def libvirt_name(network_id: str) -> str:
    """The name of a network in libvirt."""
    return f"ck-{network_id}"


def bridge_name(network_id: str) -> str:
    """The name of its bridge; the kernel takes 15 characters at most."""
    return f"ck{network_id.replace('-', '')[:10]}"


def tap_name(port_id: str) -> str:
    """The name of a port's device on the host."""
    return f"{TAP}{port_id.replace('-', '')[:12]}"


def host(mac: str, ip: str) -> Element:
    """A DHCP reservation, named as OpenStack names the hosts of a subnet."""
    return node("host", {"mac": mac, "name": f"host-{ip.replace('.', '-')}", "ip": ip})


def network(subnet: SubnetBody, mtu: int | None) -> Element:
    """A network with one subnet, whose DHCP server answers reservations only.

    Where our own rules route, libvirt's forward mode is "open": it adds no rules of its own then.
    """
    id = subnet.network_id
    cidr = IPv4Network(subnet.cidr)
    ip = node("ip", {"address": subnet.bridge_ip, "netmask": str(cidr.netmask)})
    options: list[str] = []
    if subnet.dhcp:
        ip.append(node("dhcp", {}, *(host(mac, address) for address, mac in prepared(subnet).items())))
        if subnet.dns:
            options.append(f"dhcp-option=6,{','.join(subnet.dns)}")
        if subnet.gateway_ip is None:
            options.append("dhcp-option=3")
    element = node(
        "network",
        {},
        node("name", text=libvirt_name(id)),
        node("uuid", text=id),
        node("metadata", {}, node(f"{{{METADATA}}}network", {"id": id, "project": subnet.project_id})),
        node("forward", {"mode": "nat" if subnet.forward is Forward.NAT else "open"}),
        node("bridge", {"name": bridge_name(id), "stp": "off", "delay": "0"}),
    )
    if mtu is not None:
        element.append(node("mtu", {"size": str(mtu)}))
    element.append(ip)
    if options:
        values = (node(f"{{{_DNSMASQ}}}option", {"value": option}) for option in options)
        element.append(node(f"{{{_DNSMASQ}}}options", {}, *values))
    return element
