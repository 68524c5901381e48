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
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, ip_network

from cloudkit.types import SecurityGroupRule
from cloudkit_libvirt.hostnet.topology import Group, Guest, Segment, Topology
from cloudkit_libvirt.network_xml import TAP

TABLE = "cloudkit"
REMOVE = "".join(f"table {family} {TABLE}\ndelete table {family} {TABLE}\n" for family in ("inet", "bridge"))
"""Deletes the tables whether or not they are there."""

_DEVICE = re.compile(r"[a-z][a-z0-9]{0,14}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "icmp": 1, "icmpv6": 58, "igmp": 2, "ipip": 4, "ospf": 89,
    "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
"""Of IANA; a host's own list of names need not have them all."""
_ICMP = 1
_WITH_PORTS = frozenset({6, 17, 33, 132, 136})


def render(topology: Topology) -> str:
    """The whole script; nft carries it out at once or not at all."""
    ours = Devices(segment.bridge for segment in topology.segments)
    if not ours:
        return REMOVE
    lines = [
        REMOVE,
        f"table inet {TABLE} {{",
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

    def __str__(self) -> str:
        return f"{{ {', '.join(self._names)} }}"


def _device(name: str) -> str:
    if not _DEVICE.fullmatch(name):
        raise ValueError(f"{name!r} is no device's name")
    return f'"{name}"'


def _address(text: str) -> str:
    return str(IPv4Address(text))


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


# ---------------------------------------------------------------- who has which groups


def _combination(guest: Guest) -> tuple[str, ...]:
    return tuple(sorted(set(guest.group_ids)))


def _combinations(guests: Sequence[Guest]) -> dict[tuple[str, ...], str]:
    """A chain for each set of groups, so that their number grows with that of groups in use, not of guests."""
    found = sorted({_combination(guest) for guest in guests})
    return {combination: f"groups_{number}" for number, combination in enumerate(found)}


def _maps(topology: Topology) -> Iterator[str]:
    chains = _combinations(topology.guests)
    for direction in ("in", "out"):
        yield from _named(
            "map",
            f"guests_{direction}",
            "ipv4_addr : verdict",
            (
                f"{_address(guest.ip)} : goto {chains[_combination(guest)]}_{direction}"
                for guest in topology.guests
                if guest.ip
            ),
        )
    pairs = [(_address(item.floating_ip), _address(item.fixed_ip)) for item in topology.translations]
    yield from _named("map", "floating", "ipv4_addr : ipv4_addr", (f"{a} : {b}" for a, b in pairs))
    yield from _named("map", "fixed", "ipv4_addr : ipv4_addr", (f"{b} : {a}" for a, b in pairs))
    sources = (f"{network} : {_address(ip)}" for network, ip in topology.sources)
    yield from _named("map", "sources", "ipv4_addr : ipv4_addr", sources, "flags interval")
    own = (_address(ip) for external in topology.externals for ip in external.addresses)
    yield from _named("set", "floating_ips", "ipv4_addr", own)
    cidrs = (str(segment.cidr) for segment in topology.segments)
    yield from _named("set", "fixed_cidrs", "ipv4_addr", cidrs, "flags interval")


def _group_chains(topology: Topology) -> Iterator[str]:
    known = {group.id: _group(group) for group in topology.groups}
    for group in topology.groups:
        yield from _named("set", _members(group.id), "ipv4_addr", map(_address, group.members))
    for group in topology.groups:
        for direction, side in (("ingress", "in"), ("egress", "out")):
            rules = (
                rule
                for rule in group.rules
                if rule.direction == direction and rule.ip_version == 4 and rule.remote_group_id in (None, *known)
            )
            yield from _chain(f"{_group(group)}_{side}", *(f"{_match(rule, side)} accept".strip() for rule in rules))
    for combination, name in _combinations(topology.guests).items():
        for side in ("in", "out"):
            jumps = (f"jump {known[id]}_{side}" for id in combination if id in known)
            yield from _chain(f"{name}_{side}", *jumps, "drop")


def _group(group: Group) -> str:
    return f"group_{_hex(group.id)}"


def _members(id: str) -> str:
    return f"members_{_hex(id)}"


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


def _match(rule: SecurityGroupRule, side: str) -> str:
    """What a rule allows; ``side`` tells whose address the remote one is."""
    field = "saddr" if side == "in" else "daddr"
    parts: list[str] = []
    if rule.remote_group_id is not None:
        parts.append(f"ip {field} @{_members(rule.remote_group_id)}")
    elif rule.remote_cidr is not None and (network := ip_network(rule.remote_cidr)).prefixlen:
        parts.append(f"ip {field} {network}")
    if rule.protocol is None:
        return " ".join(parts)
    protocol = _protocol(rule.protocol)
    if rule.port_min is None:
        parts.append(f"meta l4proto {protocol}")
    elif protocol == _ICMP:
        parts.append(f"icmp type {rule.port_min:d}")
        if rule.port_max is not None:
            parts.append(f"icmp code {rule.port_max:d}")
    elif protocol in _WITH_PORTS:
        last = rule.port_max if rule.port_max is not None else rule.port_min
        parts.append(f"meta l4proto {protocol} th dport {rule.port_min:d}-{last:d}")
    else:
        raise ValueError(f"the protocol {protocol} has no ports")
    return " ".join(parts)


# ---------------------------------------------------------------- is there a way?


def _way_chains(topology: Topology, ours: Devices) -> Iterator[str]:
    """One chain for each router, and for each network without one: where packets from there may go."""
    joined: dict[str, list[Segment]] = {}
    for segment in topology.segments:
        joined.setdefault(segment.router or segment.bridge, []).append(segment)
    ways: list[str] = []
    for number, segments in enumerate(joined.values()):
        name = f"way_{number}"
        bridges = Devices(segment.bridge for segment in segments)
        ways += (f"{_device(segment.bridge)} : jump {name}" for segment in segments)
        lines = [f"oifname {bridges} accept"]
        if any(segment.leads_out for segment in segments):
            lines.append(f"oifname != {ours} accept")
        yield from _chain(name, *lines)
    yield from _named("map", "ways", "ifname : verdict", ways)


# ---------------------------------------------------------------- where the kernel asks

_KNOWN = ("ct state invalid drop", "ct direction reply accept", "ct state related accept")
"""Replies go with what they reply to; a packet that belongs to nothing is nobody's."""


def _hook(name: str, hook: str, priority: str, *lines: str, type: str = "filter") -> Iterator[str]:
    yield from _chain(name, f"type {type} hook {hook} priority {priority}; policy accept;", *lines)


def _hooks(topology: Topology, ours: Devices) -> Iterator[str]:
    outside = Devices(segment.bridge for segment in topology.segments if segment.leads_out)
    externals = Devices(external.bridge for external in topology.externals)
    sender = ("ip saddr vmap @guests_out",)
    receiver = ("ip daddr vmap @guests_in",)
    yield from _hook("forward_sender", "forward", "filter - 5", *_KNOWN, *sender)
    yield from _hook("forward_receiver", "forward", "filter", *_KNOWN, *receiver)
    yield from _hook(
        "forward_way",
        "forward",
        "filter + 5",
        *_KNOWN,
        # A floating IP is a way of its own, as long as it is one.
        "ct status dnat ct original ip daddr @floating_ips accept",
        "iifname vmap @ways",
        f"iifname {ours} drop",
        f"oifname {ours} drop",
    )
    yield from _hook(
        "input_sender",
        "input",
        "filter - 5",
        f"iifname != {ours} accept",
        "udp sport 68 udp dport 67 accept",
        *_KNOWN,
        *sender,
    )
    yield from _hook(
        "input_way",
        "input",
        "filter + 5",
        f"iifname != {ours} accept",
        *_KNOWN,
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
        *_KNOWN,
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
    yield from _chain(
        "guest",
        "iifname . ether saddr != @macs drop",
        "ether type arp iifname . arp saddr ip @ips accept",
        # An address is asked for before it is taken (RFC 5227).
        "ether type arp arp saddr ip 0.0.0.0 accept",
        "ether type ip iifname . ip saddr @ips accept",
        "ether type ip ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept",
        "drop",
    )
    # All that have such a name: who is not known here sends nothing.
    yield from _chain(
        "prerouting", "type filter hook prerouting priority -300; policy accept;", f'iifname "{TAP}*" goto guest'
    )


def _mac(text: str) -> str:
    if not _MAC.fullmatch(text):
        raise ValueError(f"{text!r} is no MAC address")
    return text
