"""Which address and which MAC a port gets.

libvirt reloads a network's firewall and DHCP server for each reservation that is added while it runs, half a
second in which connections of its guests stall. So a subnet is made with reservations for its first addresses
already in place, each with a MAC that follows from the address; a port that takes such a pair needs nothing from
libvirt. Only a port with a MAC of its own, or beyond the first addresses, has its reservation added.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import islice
from typing import TypeVar, overload

from cloudkit._checks import SLAAC_PREFIX
from cloudkit.errors import InvalidRequest
from cloudkit_libvirt.bodies import SubnetBody

PREPARED = 256
"""How many reservations a subnet is made with."""
WIDEST_PREFIX, NARROWEST_PREFIX = 8, 30
_CROWD = 64
A = TypeVar("A", IPv4Address, IPv6Address)
_OUI = "52:54:00"


def address_claim(network_id: str, ip: str) -> str:
    """What is claimed by who has the address."""
    return f"address/{network_id}/{ip}"


def parse_cidr(cidr: str) -> IPv4Network:
    """The network of a subnet; raises InvalidRequest."""
    try:
        network = IPv4Network(cidr)
    except ValueError as error:
        raise InvalidRequest(f"{cidr!r} is no IPv4 subnet", fault=str(error), driver="libvirt") from None
    if not WIDEST_PREFIX <= network.prefixlen <= NARROWEST_PREFIX:
        raise InvalidRequest(
            f"{cidr} is too large or too small: /{WIDEST_PREFIX} to /{NARROWEST_PREFIX} are taken", driver="libvirt"
        )
    return network


def parse_cidr6(cidr: str) -> IPv6Network:
    """The same of IPv6, in which guests make their own addresses; raises InvalidRequest."""
    try:
        network = IPv6Network(cidr)
    except ValueError as error:
        raise InvalidRequest(f"{cidr!r} is no IPv6 subnet", fault=str(error), driver="libvirt") from None
    if network.prefixlen != SLAAC_PREFIX:
        raise InvalidRequest(f"{cidr} is no /{SLAAC_PREFIX}", driver="libvirt")
    return network


@overload
def parse_address(text: str, network: IPv4Network, what: str) -> IPv4Address: ...


@overload
def parse_address(text: str, network: IPv6Network, what: str) -> IPv6Address: ...


def parse_address(text: str, network: IPv4Network | IPv6Network, what: str) -> IPv4Address | IPv6Address:
    """A usable address of the subnet; raises InvalidRequest."""
    version = network.version
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    if address is None or address.version != version:
        raise InvalidRequest(f"the {what} {text!r} is no IPv{version} address", driver="libvirt")
    ends = (network.network_address, network.broadcast_address) if version == 4 else (network.network_address,)
    if address not in network or address in ends:
        raise InvalidRequest(f"the {what} {text} is no usable address of {network}", driver="libvirt")
    return address


def default_pools(network: IPv4Network, bridge: IPv4Address) -> tuple[tuple[str, str], ...]:
    """All of the subnet but the host's own address."""
    return around(network.network_address + 1, network.broadcast_address - 1, bridge)


def around(first: A, last: A, bridge: A) -> tuple[tuple[str, str], ...]:
    """The ranges from first to last without the host's own address."""
    parts = ((int(first), int(bridge) - 1), (int(bridge) + 1, int(last)))
    of_number = type(first)
    return tuple((str(of_number(low)), str(of_number(high))) for low, high in parts if low <= high)


def check_pools(
    pools: tuple[tuple[str, str], ...], network: IPv4Network, bridge: IPv4Address
) -> tuple[tuple[str, str], ...]:
    """The asked-for pools, if each is a range of the subnet, and none holds the host's address or overlaps."""
    ranges: list[tuple[IPv4Address, IPv4Address]] = []
    for low_text, high_text in pools:
        low, high = (parse_address(text, network, "allocation pool's end") for text in (low_text, high_text))
        if low > high:
            raise InvalidRequest(f"the allocation pool {low}-{high} ends before it starts", driver="libvirt")
        if low <= bridge <= high:
            raise InvalidRequest(f"the allocation pool {low}-{high} holds the gateway {bridge}", driver="libvirt")
        if any(low <= other_high and other_low <= high for other_low, other_high in ranges):
            raise InvalidRequest(f"the allocation pool {low}-{high} overlaps another one", driver="libvirt")
        ranges.append((low, high))
    return pools


def overlap(cidr: str, other: str) -> bool:
    """Whether two ranges have addresses in common; those of different IP versions have none."""
    one, two = ip_network(cidr), ip_network(other)
    return one.version == two.version and one.overlaps(two)


def pool_addresses(subnet: SubnetBody) -> Iterator[str]:
    """All addresses that may be allocated, in order."""
    for low, high in subnet.pools:
        for number in range(int(IPv4Address(low)), int(IPv4Address(high)) + 1):
            yield str(IPv4Address(number))


@lru_cache(maxsize=64)
def prepared(subnet: SubnetBody) -> Mapping[str, str]:
    """Address → MAC of the reservations that the subnet is made with."""
    if not subnet.dhcp or subnet.version == 6:
        return {}
    return {ip: mac_of(subnet, ip) for ip in islice(pool_addresses(subnet), PREPARED)}


def mac_of(subnet: SubnetBody, ip: str) -> str:
    """The MAC that belongs to an address; different for each address of a network."""
    network = IPv4Network(subnet.cidr)
    offset = int(IPv4Address(ip)) - int(network.network_address)
    number = (uuid.UUID(subnet.network_id).int + subnet.mac_offset + offset) % (1 << 24)
    return f"{_OUI}:{number >> 16:02x}:{number >> 8 & 0xFF:02x}:{number & 0xFF:02x}"


def mac_offset(others: Sequence[SubnetBody]) -> int:
    """One for a new subnet, beyond those of a network's others."""
    ends = (other.mac_offset + IPv4Network(other.cidr).num_addresses for other in others if other.version == 4)
    return max(ends, default=0)


def next_free(subnet: SubnetBody, taken: Container[str], *, crowded: bool = False) -> str | None:
    """The first address that nobody has, or None; with ``crowded`` any of the first ones.

    Clients that all take the first would go on to meet at each next one.
    """
    free = (ip for ip in pool_addresses(subnet) if ip not in taken)
    if not crowded:
        return next(free, None)
    first = list(islice(free, _CROWD))
    return random.choice(first) if first else None  # noqa: S311
