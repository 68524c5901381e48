"""What the host's network should be, read from the records."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network

from cloudkit_libvirt.bodies import Forward, NetworkBody, Phase, PortBody, SubnetBody
from cloudkit_libvirt.default_groups import groups_by_id
from cloudkit_libvirt.hostnet.topology import External, Group, Guest, Segment, Topology, Translation, Trunk, Wire
from cloudkit_libvirt.network_xml import (
    bridge_name,
    libvirt_name,
    tap_name,
    trunk_name,
    trunk_tap_name,
    wire_name,
)
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.routing_bodies import ROUTER_OWNER, FloatingIpBody, RouterBody


def wanted(view: View, cloud_id: str) -> Topology:
    """The whole topology of all projects."""
    # One that is being made or deleted has no guests, and its bridge comes and goes.
    subnets = [subnet for subnet in view.all(SubnetBody) if subnet.body.phase is Phase.READY]
    inner = [subnet for subnet in subnets if subnet.body.forward is Forward.OPEN]
    routers = {router.id: router.body for router in view.all(RouterBody)}
    ports = view.all(PortBody)
    joined = {
        subnet_id: port.body.device_id
        for port in ports
        for subnet_id in port.body.subnet_ids
        if port.body.device_owner == ROUTER_OWNER and port.body.device_id in routers
    }
    floating = [record.body for record in view.all(FloatingIpBody)]
    guests = tuple(_guests(ports, {subnet.body.network_id for subnet in inner}))
    sources = [
        (IPv4Network(subnet.body.cidr), ip)
        for subnet in inner
        if subnet.body.version == 4
        and (router := routers.get(joined.get(subnet.id, ""))) is not None
        and (ip := router.external_ip)
    ]
    return Topology(
        segments=tuple(_segment(subnet, joined.get(subnet.id), routers) for subnet in inner),
        guests=guests,
        groups=tuple(_groups(view, cloud_id, ports, guests)),
        externals=tuple(
            External(
                network=libvirt_name(subnet.body.network_id),
                bridge=bridge_name(subnet.body.network_id),
                addresses=_addresses(subnet, routers, floating),
            )
            for subnet in subnets
            if subnet.body.forward is Forward.EXTERNAL
        ),
        translations=tuple(
            Translation(floating_ip=body.ip, fixed_ip=body.way.fixed_ip) for body in floating if body.way
        ),
        sources=tuple(sources),
        wires=tuple(_wires(view, ports, subnets)),
        trunks=tuple(
            Trunk(switch=trunk_name(port.id), tap=trunk_tap_name(port.id)) for port in ports if port.body.trunk
        ),
    )


def _wires(view: View, ports: list[Record[PortBody]], subnets: list[Record[SubnetBody]]) -> Iterator[Wire]:
    # A bridge is there once there is a subnet.
    bridged = {subnet.body.network_id for subnet in subnets}
    networks = {network.id: network.body for network in view.all(NetworkBody) if network.id in bridged}

    def wire(port: str, network_id: str, vlan_id: int, switch: str | None = None) -> Wire:
        mtu = networks[network_id].packet_size
        return Wire(port=port, bridge=bridge_name(network_id), vlan_id=vlan_id, mtu=mtu, switch=switch)

    for id, network in networks.items():
        if network.vlan_id is not None:
            yield wire(wire_name(id), id, network.vlan_id)
    trunks = {port.id for port in ports if port.body.trunk}
    for port in ports:
        trunk_id = port.id if port.body.trunk else port.body.device_id
        if trunk_id in trunks and port.body.network_id in networks:
            yield wire(tap_name(port.id), port.body.network_id, port.body.vlan_id or 0, trunk_name(trunk_id))


def _segment(subnet: Record[SubnetBody], router_id: str | None, routers: dict[str, RouterBody]) -> Segment:
    return Segment(
        network=libvirt_name(subnet.body.network_id),
        bridge=bridge_name(subnet.body.network_id),
        cidr=ip_network(subnet.body.cidr),
        router=router_id,
        leads_out=router_id is not None and routers[router_id].external_network_id is not None,
    )


def _addresses(
    subnet: Record[SubnetBody], routers: dict[str, RouterBody], floating: list[FloatingIpBody]
) -> tuple[str, ...]:
    network_id = subnet.body.network_id
    of_routers = (router.external_ip for router in routers.values() if router.external_network_id == network_id)
    of_servers = (body.ip for body in floating if body.external_network_id == network_id and body.way)
    return tuple(sorted(set(filter(None, of_routers)) | set(of_servers)))


def _guests(ports: list[Record[PortBody]], network_ids: set[str]) -> Iterator[Guest]:
    for port in ports:
        body = port.body
        if body.device_id and body.device_owner != ROUTER_OWNER and body.network_id in network_ids and body.mac:
            yield Guest(
                tap=tap_name(port.id),
                bridge=bridge_name(body.network_id),
                mac=body.mac,
                ip=body.taken_ip,
                ip6=next((ip for ip, subnet_id in body.taken if subnet_id == body.subnet6_id), None),
                group_ids=body.group_ids or (),
            )


def _groups(view: View, cloud_id: str, ports: list[Record[PortBody]], guests: tuple[Guest, ...]) -> Iterator[Group]:
    """The groups that filter a guest, and those that a rule of theirs names."""
    projects = {port.body.project_id for port in ports}
    known = groups_by_id(view, cloud_id, projects)
    used = {id for guest in guests for id in guest.group_ids} & known.keys()
    rules = (rule for id in used for rule in known[id].body.rules)
    named = {rule.remote_group_id for rule in rules if rule.remote_group_id is not None} & known.keys()
    members: dict[str, set[str]] = {}
    for guest in guests:
        for id in guest.group_ids:
            members.setdefault(id, set()).update(filter(None, (guest.ip, guest.ip6)))
    for id in sorted(used | named):
        yield Group(id=id, rules=known[id].body.rules, members=tuple(sorted(members.get(id, ()))))
