"""The nft script of a topology: one table for IP, one for Ethernet, both replaced as a whole.

Three questions are asked of a packet that a guest sends or gets, each in a chain of its own, as an ``accept`` ends
but one: may its sender send it, may its receiver get it, is there a way? Only packets in a connection's first
direction are asked about; the answers go with it. So a rule that is taken away ends what it had allowed.

Guests of one bridge pass here too, because the bridge is told to (``nf_call_iptables``); the kernel's own connection
tracking for bridges is missing in many. All is by address: that a guest has its own only, the Ethernet table sees to.

Whatever is written here comes from records, which are data from others: no text gets in unless it is a number, an
address or a name of our own making.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from cloudkit._slaac import link_local
from cloudkit.types import SecurityGroupRule
from cloudkit_libvirt.hostnet.topology import Group, Guest, Segment, Topology
from cloudkit_libvirt.network_xml import TAP

TABLE = "cloudkit"
REMOVE = "".join(f"table {family} {TABLE}\ndelete table {family} {TABLE}\n" for family in ("inet", "bridge"))
"""Deletes the tables whether or not they are there."""

KEEPER = "cloud_"
"""How the name of the chain begins that is there to tell which cloud has written the table."""

_DEVICE = re.compile(r"[a-z][a-z0-9]{0,14}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "icmp": 1, "icmpv6": 58, "igmp": 2, "ipip": 4, "ospf": 89,
    "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
"""Of IANA; a host's own list of names need not have them all."""
_ICMP = 1
_WITH_PORTS = frozenset({6, 17, 33, 132, 136})


def render(topology: Topology, cloud_id: str) -> str:
    """The whole script, which says whose it is; nft carries it out at once or not at all."""
    ours = Devices(segment.bridge for segment in topology.segments)
    if not ours:
        return REMOVE
    lines = [
        REMOVE,
        f"table inet {TABLE} {{",
        *_chain(f"{KEEPER}{_hex(cloud_id)}"),
        *_maps(topology),
        *_group_chains(topology),
        *_way_chains(topology, ours),
        *_hooks(topology, ours),
        "}",
        f"table bridge {TABLE} {{",
        *_ethernet(topology.guests),
        "}",
    ]
    return "\n".join(lines) + "\n"


class Devices:
    """Names of network devices, in a set that may be empty, which nft does not write."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take the names."""
        self._names = sorted({_device(name) for name in names})

    def __bool__(self) -> bool:
        return bool(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __str__(self) -> str:
        return f"{{ {', '.join(self._names)} }}"


def _device(name: str) -> str:
    if not _DEVICE.fullmatch(name):
        raise ValueError(f"{name!r} is no device's name")
    return f'"{name}"'


def _address(text: str) -> str:
    return str(IPv4Address(text))


def _address6(text: str) -> str:
    return str(IPv6Address(text))


def _elements(items: Iterable[str]) -> Iterator[str]:
    joined = ", ".join(sorted(items))
    if joined:
        yield f"    elements = {{ {joined} }}"


def _named(kind: str, name: str, type: str, items: Iterable[str], *more: str) -> Iterator[str]:
    yield f"  {kind} {name} {{"
    yield f"    type {type}"
    yield from (f"    {line}" for line in more)
    yield from _elements(items)
    yield "  }"


def _chain(name: str, *lines: str) -> Iterator[str]:
    yield f"  chain {name} {{"
    yield from (f"    {line}" for line in lines)
    yield "  }"


# ---------------------------------------------------------------- IPv4 and IPv6


@dataclass(frozen=True, slots=True)
class Family:
    """How nft speaks of one IP version.

    Attributes:
        mark: ends the names of its chains, maps and sets.
    """

    version: int
    word: str
    type: str
    mark: str
    icmp: int
    icmp_word: str

    def address(self, text: str) -> str:
        """An address as nft takes it; raises ValueError for what is none."""
        return _address(text) if self.version == 4 else _address6(text)


IPV4 = Family(4, "ip", "ipv4_addr", "", 1, "icmp")
IPV6 = Family(6, "ip6", "ipv6_addr", "6", 58, "icmpv6")


def _families(topology: Topology) -> tuple[Family, ...]:
    """Those that are in use; of IPv6 nothing passes where no guest has an address."""
    return (IPV4, IPV6) if any(segment.cidr.version == 6 for segment in topology.segments) else (IPV4,)


# ---------------------------------------------------------------- who has which groups


def _combination(guest: Guest) -> tuple[str, ...]:
    return tuple(sorted(set(guest.group_ids)))


def _combinations(guests: Sequence[Guest]) -> dict[tuple[str, ...], str]:
    """A chain for each set of groups, so that their number grows with that of groups in use, not of guests."""
    found = sorted({_combination(guest) for guest in guests})
    return {combination: f"groups_{number}" for number, combination in enumerate(found)}


def _keys(guest: Guest, family: Family) -> Iterator[str]:
    """What a guest is known by. Addresses for neighbours may be the same on two bridges."""
    if family is IPV4:
        if guest.ip is not None:
            yield _address(guest.ip)
    elif guest.ip6 is not None:
        for ip in (guest.ip6, link_local(_mac(guest.mac))):
            yield f"{_device(guest.bridge)} . {_address6(ip)}"


def _maps(topology: Topology) -> Iterator[str]:
    chains = _combinations(topology.guests)
    for family in _families(topology):
        for direction in ("in", "out"):
            key = family.type if family is IPV4 else f"ifname . {family.type}"
            yield from _named(
                "map",
                f"guests_{direction}{family.mark}",
                f"{key} : verdict",
                (
                    f"{key} : goto {chains[_combination(guest)]}_{direction}{family.mark}"
                    for guest in topology.guests
                    for key in _keys(guest, family)
                ),
            )
    pairs = [(_address(item.floating_ip), _address(item.fixed_ip)) for item in topology.translations]
    yield from _named("map", "floating", "ipv4_addr : ipv4_addr", (f"{a} : {b}" for a, b in pairs))
    yield from _named("map", "fixed", "ipv4_addr : ipv4_addr", (f"{b} : {a}" for a, b in pairs))
    sources = (f"{network} : {_address(ip)}" for network, ip in topology.sources)
    yield from _named("map", "sources", "ipv4_addr : ipv4_addr", sources, "flags interval")
    own = (_address(ip) for external in topology.externals for ip in external.addresses)
    yield from _named("set", "floating_ips", "ipv4_addr", own)
    cidrs = (str(segment.cidr) for segment in topology.segments if segment.cidr.version == 4)
    yield from _named("set", "fixed_cidrs", "ipv4_addr", cidrs, "flags interval")


def _group_chains(topology: Topology) -> Iterator[str]:
    for family in _families(topology):
        yield from _group_chains_of(topology, family)


def _group_chains_of(topology: Topology, family: Family) -> Iterator[str]:
    known = {group.id: _group(group) for group in topology.groups}
    for group in topology.groups:
        members = (member for member in group.members if ip_address(member).version == family.version)
        yield from _named("set", _members(group.id, family), family.type, map(family.address, members))
    for group in topology.groups:
        for direction, side in (("ingress", "in"), ("egress", "out")):
            rules = (
                rule
                for rule in group.rules
                if rule.direction == direction
                and rule.ip_version == family.version
                and rule.remote_group_id in (None, *known)
            )
            lines = (f"{_match(rule, side, family)} accept".strip() for rule in rules)
            yield from _chain(f"{_group(group)}_{side}{family.mark}", *lines)
    for combination, name in _combinations(topology.guests).items():
        for side in ("in", "out"):
            jumps = (f"jump {known[id]}_{side}{family.mark}" for id in combination if id in known)
            yield from _chain(f"{name}_{side}{family.mark}", *jumps, "drop")


def _group(group: Group) -> str:
    return f"group_{_hex(group.id)}"


def _members(id: str, family: Family) -> str:
    return f"members_{_hex(id)}{family.mark}"


def _hex(id: str) -> str:
    text = id.replace("-", "")
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise ValueError(f"{id!r} is no id")
    return text


def _protocol(text: str) -> int:
    if text in _PROTOCOLS:
        return _PROTOCOLS[text]
    # int() would take spaces and underscores too.
    if not re.fullmatch(r"[0-9]{1,3}", text):
        raise ValueError(f"{text!r} is no protocol")
    return int(text)


def _match(rule: SecurityGroupRule, side: str, family: Family) -> str:
    """What a rule allows; ``side`` tells whose address the remote one is."""
    field = "saddr" if side == "in" else "daddr"
    parts: list[str] = []
    if rule.remote_group_id is not None:
        parts.append(f"{family.word} {field} @{_members(rule.remote_group_id, family)}")
    elif rule.remote_cidr is not None and (network := ip_network(rule.remote_cidr)).prefixlen:
        parts.append(f"{family.word} {field} {network}")
    if rule.protocol is None:
        return " ".join(parts)
    protocol = _protocol(rule.protocol)
    if protocol == _ICMP:
        # By Neutron's rules "icmp" stands for the ICMP of a rule's IP version.
        protocol = family.icmp
    if rule.port_min is None:
        parts.append(f"meta l4proto {protocol}")
    elif protocol == family.icmp:
        parts.append(f"{family.icmp_word} type {rule.port_min:d}")
        if rule.port_max is not None:
            parts.append(f"{family.icmp_word} code {rule.port_max:d}")
    elif protocol in _WITH_PORTS:
        last = rule.port_max if rule.port_max is not None else rule.port_min
        parts.append(f"meta l4proto {protocol} th dport {rule.port_min:d}-{last:d}")
    else:
        raise ValueError(f"the protocol {protocol} has no ports")
    return " ".join(parts)


# ---------------------------------------------------------------- is there a way?


def _way_chains(topology: Topology, ours: Devices) -> Iterator[str]:
    """One chain for each router and IP version, and for each subnet without one: where packets from there may go."""
    for family in _families(topology):
        joined: dict[str, list[Segment]] = {}
        for segment in topology.segments:
            if segment.cidr.version == family.version:
                joined.setdefault(segment.router or str(segment.cidr), []).append(segment)
        ways: list[str] = []
        for number, segments in enumerate(joined.values()):
            name = f"way_{number}{family.mark}"
            cidrs = ", ".join(sorted(str(segment.cidr) for segment in segments))
            ways += (f"{segment.cidr} : jump {name}" for segment in segments)
            lines = [f"{family.word} daddr {{ {cidrs} }} accept"]
            if any(segment.leads_out for segment in segments):
                lines.append(f"oifname != {ours} accept")
            yield from _chain(name, *lines)
        yield from _named("map", f"ways{family.mark}", f"{family.type} : verdict", ways, "flags interval")


# ---------------------------------------------------------------- where the kernel asks

_KNOWN = ("ct state invalid drop", "ct direction reply accept", "ct state related accept")
"""Replies go with what they reply to; a packet that belongs to nothing is nobody's."""
_NEIGHBOURS = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept"
"""What ARP is for IPv4 (RFC 4861): it comes from the same wire, and what it says is true by the Ethernet table."""


def _hook(name: str, hook: str, priority: str, *lines: str, type: str = "filter") -> Iterator[str]:
    yield from _chain(name, f"type {type} hook {hook} priority {priority}; policy accept;", *lines)


def _hooks(topology: Topology, ours: Devices) -> Iterator[str]:
    outside = Devices(segment.bridge for segment in topology.segments if segment.leads_out)
    externals = Devices(external.bridge for external in topology.externals)
    six = IPV6 in _families(topology)
    known = (_NEIGHBOURS, *_KNOWN) if six else _KNOWN
    sender = ("ip saddr vmap @guests_out", *(["iifname . ip6 saddr vmap @guests_out6"] if six else []))
    receiver = ("ip daddr vmap @guests_in", *(["oifname . ip6 daddr vmap @guests_in6"] if six else []))
    same = ", ".join(f"{name} . {name}" for name in ours)
    yield from _hook("forward_sender", "forward", "filter - 5", *known, *sender)
    yield from _hook("forward_receiver", "forward", "filter", *known, *receiver)
    yield from _hook(
        "forward_way",
        "forward",
        "filter + 5",
        *known,
        # A floating IP is a way of its own, as long as it is one.
        "ct status dnat ct original ip daddr @floating_ips accept",
        # Those of one network need none.
        f"iifname . oifname {{ {same} }} accept",
        f"iifname {ours} ip saddr vmap @ways",
        *([f"iifname {ours} ip6 saddr vmap @ways6"] if six else []),
        f"iifname {ours} drop",
        f"oifname {ours} drop",
    )
    yield from _hook(
        "input_sender",
        "input",
        "filter - 5",
        f"iifname != {ours} accept",
        "udp sport 68 udp dport 67 accept",
        *(["icmpv6 type nd-router-solicit accept"] if six else []),
        *known,
        *sender,
    )
    yield from _hook(
        "input_way",
        "input",
        "filter + 5",
        f"iifname != {ours} accept",
        *(["icmpv6 type { nd-router-solicit, echo-request } accept"] if six else []),
        *known,
        "udp dport { 53, 67 } accept",
        "tcp dport 53 accept",
        "icmp type echo-request accept",
        # Who may leave the cloud may reach the host, which is outside of it.
        *([f"iifname {outside} accept"] if outside else []),
        "drop",
    )
    yield from _hook(
        "output_receiver",
        "output",
        "filter",
        # Not by device: a packet to a floating IP has been translated here, and still seems to go to the host itself.
        "udp sport 67 udp dport 68 accept",
        *(["icmpv6 type nd-router-advert accept"] if six else []),
        *known,
        *receiver,
    )
    for hook in ("prerouting", "output"):
        yield from _hook(f"nat_{hook}", hook, "-100", "dnat ip to ip daddr map @floating", type="nat")
    nat = [
        # The host itself by a floating IP: it would seem to come from that address.
        f"oifname {ours} ip saddr @floating_ips masquerade",
        # A guest to a guest by a floating IP: the answer must come back this way.
        f"oifname {ours} ct status dnat ip saddr @fixed_cidrs snat ip to ip saddr map @fixed",
        f"oifname {ours} ct status dnat ip saddr @fixed_cidrs snat ip to ip saddr map @sources",
        f"oifname {ours} accept",
    ]
    if externals:
        nat += (f"oifname {externals} snat ip to ip saddr map @{name}" for name in ("fixed", "sources"))
    # The external networks' addresses mean nothing beyond this host, unless one of them has an uplink.
    nat.append("ip saddr @fixed_cidrs masquerade")
    yield from _hook("nat_postrouting", "postrouting", "srcnat", *nat, type="nat")


# ---------------------------------------------------------------- Ethernet: nobody sends what is not his


def _ethernet(guests: Sequence[Guest]) -> Iterator[str]:
    macs = (f"{_device(guest.tap)} . {_mac(guest.mac)}" for guest in guests)
    ips = (f"{_device(guest.tap)} . {_address(guest.ip)}" for guest in guests if guest.ip)
    yield from _named("set", "macs", "ifname . ether_addr", macs)
    yield from _named("set", "ips", "ifname . ipv4_addr", ips)
    with_ipv6 = {guest.tap: _own6(guest) for guest in guests if guest.ip6}
    if with_ipv6:
        yield from _ethernet6(with_ipv6)
    yield from _chain(
        "guest",
        "iifname . ether saddr != @macs drop",
        "ether type arp iifname . arp saddr ip @ips accept",
        # An address is asked for before it is taken (RFC 5227).
        "ether type arp arp saddr ip 0.0.0.0 accept",
        "ether type ip iifname . ip saddr @ips accept",
        "ether type ip ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept",
        *(["ether type ip6 goto guest6"] if with_ipv6 else []),
        "drop",
    )
    # All that have such a name: who is not known here sends nothing.
    yield from _chain(
        "prerouting", "type filter hook prerouting priority -300; policy accept;", f'iifname "{TAP}*" goto guest'
    )


def _own6(guest: Guest) -> tuple[str, str]:
    assert guest.ip6 is not None
    return _address6(guest.ip6), link_local(_mac(guest.mac))


def _ethernet6(own: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """The same of IPv6, where neighbours and routers are found by ICMP (RFC 4861)."""
    ips = (f"{_device(tap)} . {ip}" for tap, addresses in own.items() for ip in addresses)
    yield from _named("set", "ips6", "ifname . ipv6_addr", ips)
    adverts: list[str] = []
    for number, (tap, addresses) in enumerate(sorted(own.items())):
        # The target, which nft of today has no word for: 16 bytes after the first 8.
        yield from _chain(f"advert_{number}", f"@th,64,128 != {{ {', '.join(map(_hex_address, addresses))} }} drop")
        adverts.append(f"{_device(tap)} : jump advert_{number}")
    yield from _named("map", "adverts", "ifname : verdict", adverts)
    yield from _chain(
        "guest6",
        # Routers and DHCP servers are the host's.
        "icmpv6 type { nd-router-advert, nd-redirect } drop",
        "udp sport 547 drop",
        "icmpv6 type nd-neighbor-advert iifname vmap @adverts",
        "iifname . ip6 saddr @ips6 accept",
        # An address is asked for before it is taken (RFC 4862), and its group is joined (RFC 3810).
        "ip6 saddr :: icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld2-listener-report } accept",
        "drop",
    )


def _hex_address(text: str) -> str:
    return f"0x{int(IPv6Address(text)):032x}"


def _mac(text: str) -> str:
    if not _MAC.fullmatch(text):
        raise ValueError(f"{text!r} is no MAC address")
    return text
