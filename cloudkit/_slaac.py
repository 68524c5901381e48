"""IPv6 addresses that follow from a MAC, for drivers that tell them before a guest has made them."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from cloudkit.types import Subnet, SubnetSpec

_LINK_LOCAL = IPv6Network("fe80::/64")
_AUTOMATIC = frozenset({"slaac", "dhcpv6-stateless"})


def is_automatic(subnet: Subnet | SubnetSpec) -> bool:
    """Whether guests make their addresses of a subnet themselves, so that none can be asked for."""
    return subnet.ipv6_mode in _AUTOMATIC


def slaac_address(network: IPv6Network, mac: str) -> str:
    """The address that a guest makes of a /64 and its MAC (RFC 4291, appendix A: modified EUI-64)."""
    digits = bytes.fromhex(mac.replace(":", ""))
    interface_id = bytes([digits[0] ^ 2, *digits[1:3], 0xFF, 0xFE, *digits[3:]])
    return str(IPv6Address(int(network.network_address) | int.from_bytes(interface_id, "big")))


def link_local(mac: str) -> str:
    """The address by which a guest speaks to its neighbours."""
    return slaac_address(_LINK_LOCAL, mac)
