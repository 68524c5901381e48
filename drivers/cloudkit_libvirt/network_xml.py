"""The XML of libvirt's networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, ip_network
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
    """The name of its bridge; the kernel takes 15 characters at most, of any device."""
    return _device_name("ck", network_id, 10)


def tap_name(port_id: str) -> str:
    """The name of a port's device on the host."""
    return _device_name(TAP, port_id)


def trunk_name(port_id: str) -> str:
    """The name of a trunk's switch."""
    return _device_name("ckr", port_id)


def trunk_tap_name(port_id: str) -> str:
    """The name of a guest's device on a trunk's switch; the port's own device is what comes out of that untagged."""
    return _device_name("ckq", port_id)


def wire_name(network_id: str) -> str:
    """The name of the port that joins a network's bridge with its VLAN."""
    return _device_name("ckv", network_id)


def _device_name(prefix: str, id: str, digits: int = 12) -> str:
    return f"{prefix}{id.replace('-', '')[:digits]}"


def host(mac: str, ip: str) -> Element:
    """A DHCP reservation, named as OpenStack names the hosts of a subnet."""
    return node("host", {"mac": mac, "name": f"host-{ip.replace('.', '-')}", "ip": ip})


def network(subnets: Sequence[SubnetBody], mtu: int | None, reserved: Mapping[str, str]) -> Element:
    """A network with its subnets, whose DHCP server answers reservations only.

    ``reserved`` are addresses and MACs besides those that subnets are made with. Where our own rules route, libvirt's
    forward mode is "open": it adds no rules of its own then. Libvirt serves one subnet of each IP version; what it
    leaves out, its dnsmasq is told directly.
    """
    # The first one with DHCP has the reservations of all.
    first, *others = sorted(subnets, key=lambda subnet: (subnet.version, not subnet.dhcp))
    id = first.network_id
    element = node(
        "network",
        {},
        node("name", text=libvirt_name(id)),
        node("uuid", text=id),
        node("metadata", {}, node(f"{{{METADATA}}}network", {"id": id, "project": first.project_id})),
        node("forward", {"mode": "nat" if first.forward is Forward.NAT else "open"}),
        node("bridge", {"name": bridge_name(id), "stp": "off", "delay": "0"}),
    )
    if mtu is not None:
        element.append(node("mtu", {"size": str(mtu)}))
    ip = _ip(first)
    if first.version == 4 and first.dhcp:
        hosts = {**{ip: mac for subnet in subnets for ip, mac in prepared(subnet).items()}, **reserved}
        ip.append(node("dhcp", {}, *(host(mac, address) for address, mac in hosts.items())))
    element.extend((ip, *map(_ip, others)))
    options = list(_options(first, ""))
    for number, subnet in enumerate(others):
        options += _options(subnet, f"s{number}")
    if options:
        values = (node(f"{{{_DNSMASQ}}}option", {"value": option}) for option in options)
        element.append(node(f"{{{_DNSMASQ}}}options", {}, *values))
    return element


def _ip(subnet: SubnetBody) -> Element:
    cidr = ip_network(subnet.cidr)
    if cidr.version == 6:
        return node("ip", {"family": "ipv6", "address": subnet.bridge_ip, "prefix": str(cidr.prefixlen)})
    return node("ip", {"address": subnet.bridge_ip, "netmask": str(cidr.netmask)})


def _options(subnet: SubnetBody, tag: str) -> Iterator[str]:
    """What dnsmasq tells the guests of a subnet; see dnsmasq(8). One that libvirt does not serve needs a tag."""
    if not subnet.dhcp:
        return
    if subnet.version == 6:
        if subnet.dns:
            yield f"dhcp-option=option6:dns-server,{','.join(f'[{ip}]' for ip in subnet.dns)}"
        if subnet.gateway_ip is None:
            # The lifetime of the way by this router.
            yield f"ra-param={bridge_name(subnet.network_id)},0,0"
        return
    which = ""
    if tag:
        cidr = IPv4Network(subnet.cidr)
        yield f"dhcp-range=set:{tag},{cidr.network_address},static,{cidr.netmask}"
        which = f"tag:{tag},"
    # Untagged options are for all; so where there is a tag each is said, also that it is dnsmasq's own address.
    if subnet.dns or tag:
        yield f"dhcp-option={which}option:dns-server,{','.join(subnet.dns or ('0.0.0.0',))}"  # noqa: S104
    if subnet.gateway_ip is None:
        yield f"dhcp-option={which}option:router"
    elif tag:
        yield f"dhcp-option={which}option:router,{subnet.gateway_ip}"
    # Who takes these does not look at the router (RFC 3442).
    routes = list(subnet.host_routes)
    if routes and subnet.gateway_ip is not None:
        routes.append(("0.0.0.0/0", subnet.gateway_ip))
    if routes or tag:
        pairs = "".join(f",{cidr},{ip}" for cidr, ip in routes)
        yield f"dhcp-option={which}option:classless-static-route{pairs}"
