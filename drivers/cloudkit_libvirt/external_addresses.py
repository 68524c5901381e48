"""Addresses of external networks: each is one router's or one floating IP's."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from cloudkit.errors import AlreadyExists, Conflict, InvalidRequest, NotFound
from cloudkit_libvirt.addresses import address_claim, pool_addresses
from cloudkit_libvirt.bodies import NetworkBody, Phase, SubnetBody
from cloudkit_libvirt.records import Record, Records, View
from cloudkit_libvirt.routing_bodies import FloatingIpBody, RouterBody


def external_subnets(view: View, network_id: str) -> list[Record[SubnetBody]]:
    """The subnets of an external network; raises NotFound, InvalidRequest."""
    network = view.find(NetworkBody, network_id)
    if network is None:
        raise NotFound(f"there is no network {network_id!r}", driver="libvirt", resource=network_id)
    if not network.body.external:
        raise InvalidRequest(
            f"the network {network.body.name!r} is not external", driver="libvirt", resource=network_id
        )
    subnets = (subnet for subnet in view.all(SubnetBody) if subnet.body.network_id == network_id)
    return [subnet for subnet in subnets if subnet.body.phase is Phase.READY]


def take(records: Records, network_id: str, owner_id: str, wish: str | None = None) -> str:
    """Claim an address for a router or a floating IP; raises Conflict when there is none, or it is taken."""
    view = records.view()
    subnets = external_subnets(view, network_id)
    if wish is not None:
        if not any(_gives(subnet.body, wish) for subnet in subnets):
            raise InvalidRequest(f"{wish} is no address that the external network gives", driver="libvirt")
        if not records.claim(address_claim(network_id, wish), owner_id):
            raise AlreadyExists(f"the address {wish} is taken", driver="libvirt", resource=wish)
        return wish
    taken = _taken(view, network_id)
    for subnet in subnets:
        for ip in pool_addresses(subnet.body):
            if ip not in taken and records.claim(address_claim(network_id, ip), owner_id):
                return ip
    cidrs = ", ".join(subnet.body.cidr for subnet in subnets)
    raise Conflict(f"the external network has no free address left ({cidrs or 'it has no subnet'})", driver="libvirt")


def give_back(records: Records, network_id: str, owner_id: str, ip: str) -> None:
    """Let others have it."""
    records.release(address_claim(network_id, ip), owner_id)


def _taken(view: View, network_id: str) -> set[str]:
    of_routers = (router.body for router in view.all(RouterBody))
    taken = {body.external_ip for body in of_routers if body.external_network_id == network_id and body.external_ip}
    return taken | {item.body.ip for item in view.all(FloatingIpBody) if item.body.external_network_id == network_id}


def _gives(subnet: SubnetBody, ip: str) -> bool:
    try:
        address = IPv4Address(ip)
    except ValueError:
        return False
    return any(IPv4Address(low) <= address <= IPv4Address(high) for low, high in subnet.pools)


def free_floating_ips(records: Records, view: View, port_id: str) -> None:
    """Floating IPs of a port that goes stay, and lead nowhere."""
    for record in view.all(FloatingIpBody):
        if record.body.way is not None and record.body.way.port_id == port_id:
            records.change(FloatingIpBody, record.id, lambda body: _without_way(body, port_id))


def _without_way(body: FloatingIpBody, port_id: str) -> FloatingIpBody:
    return replace(body, way=None) if body.way is not None and body.way.port_id == port_id else body
