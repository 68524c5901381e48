"""Addresses of external networks: each is one router's or one floating IP's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

from cloudkit.errors import AlreadyExists, Conflict, InvalidRequest, InvalidState, NotFound
from cloudkit_libvirt.addresses import address_claim, pool_addresses
from cloudkit_libvirt.bodies import NetworkBody, Phase, SubnetBody
from cloudkit_libvirt.records import Record, Records, View
from cloudkit_libvirt.routing_bodies import FloatingIpBody, RouterBody


def external_subnets(view: View, network_id: str) -> list[Record[SubnetBody]]:
    """The subnets of an external network; raises NotFound, InvalidState, InvalidRequest."""
    network = view.find(NetworkBody, network_id)
    if network is None:
        raise NotFound(f"there is no network {network_id!r}", driver="libvirt", resource=network_id)
    if network.body.phase is not Phase.READY:
        raise InvalidState(
            f"the network {network.body.name!r} is {network.body.phase.value}", driver="libvirt", resource=network_id
        )
    if not network.body.external:
        raise InvalidRequest(
            f"the network {network.body.name!r} is not external", driver="libvirt", resource=network_id
        )
    subnets = (subnet for subnet in view.all(SubnetBody) if subnet.body.network_id == network_id)
    return [subnet for subnet in subnets if subnet.body.phase is Phase.READY]


def take(
    records: Records, network_id: str, owner_id: str, note: Callable[[str], object], wish: str | None = None
) -> str:
    """Claim an address for a router or a floating IP; raises Conflict when there is none, or it is taken.

    ``note`` writes an address into the owner's record before it is claimed, so that a crash leaves none without an
    owner that gives it back.
    """
    tried: set[str] = set()
    while True:
        ip = _choose(records.view(), network_id, wish, tried)
        note(ip)
        if records.claim(address_claim(network_id, ip), owner_id):
            # A delete of the network at the same time sees the owner's record, or this sees the delete.
            external_subnets(records.view(), network_id)
            return ip
        if wish is not None:
            raise _is_taken(ip)
        tried.add(ip)


def _choose(view: View, network_id: str, wish: str | None, tried: set[str]) -> str:
    subnets = external_subnets(view, network_id)
    taken = tried | _taken(view, network_id)
    if wish is not None:
        if not any(_gives(subnet.body, wish) for subnet in subnets):
            raise InvalidRequest(f"{wish} is no address that the external network gives", driver="libvirt")
        if wish in taken:
            raise _is_taken(wish)
        return wish
    free = (ip for subnet in subnets for ip in pool_addresses(subnet.body) if ip not in taken)
    ip = next(free, None)
    if ip is None:
        cidrs = ", ".join(subnet.body.cidr for subnet in subnets)
        raise Conflict(
            f"the external network has no free address left ({cidrs or 'it has no subnet'})", driver="libvirt"
        )
    return ip


def _is_taken(ip: str) -> AlreadyExists:
    return AlreadyExists(f"the address {ip} is taken", driver="libvirt", resource=ip)


def give_back(records: Records, network_id: str, owner_id: str, ip: str) -> None:
    """Let others have it."""
    records.release(address_claim(network_id, ip), owner_id)


def _taken(view: View, network_id: str) -> set[str]:
    of_routers = (address for router in view.all(RouterBody) for address in router.body.addresses)
    taken = {address.ip for address in of_routers if address.network_id == network_id}
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
            records.change(FloatingIpBody, record.id, lambda body: without_way(body, port_id))


def without_way(body: FloatingIpBody, port_id: str) -> FloatingIpBody:
    """The floating IP, if it leads to this port, led nowhere."""
    return replace(body, way=None) if body.way is not None and body.way.port_id == port_id else body
