"""What the host's network should be, free of records and commands."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from cloudkit.types import SecurityGroupRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One subnet, and its network's bridge.

    Attributes:
        network: the network's name in libvirt.
        router: what joins it with others.
        leads_out: whether that has a gateway.
    """

    network: str
    bridge: str
    cidr: IPv4Network | IPv6Network
    router: str | None = None
    leads_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """One interface of a server: its tap device and bridge, what it may send from, the groups that filter it.

    Attributes:
        ip6: its address of an IPv6 subnet; it has one by which it speaks to its neighbours then, too.
    """

    tap: str
    bridge: str
    mac: str
    ip: str | None
    group_ids: tuple[str, ...]
    ip6: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A security group: its rules, and the addresses of its members for rules of other groups."""

    id: str
    rules: tuple[SecurityGroupRule, ...]
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """A bridge that leads out of the cloud, and the addresses that the host answers for there."""

    network: str
    bridge: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A floating IP and the fixed address behind it."""

    floating_ip: str
    fixed_ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """The port of a switch by which a bridge is joined with one of its VLANs.

    Attributes:
        vlan_id: 0 for what has no tag.
        switch: a trunk's own; None for the one that leads out of the host.
    """

    port: str
    bridge: str
    vlan_id: int
    mtu: int
    switch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """A switch that a guest's device alone is plugged into, and sends all VLANs to."""

    switch: str
    tap: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """All of it. ``sources`` are pairs: what a segment's packets seem to come from on an external network."""

    segments: tuple[Segment, ...] = ()
    guests: tuple[Guest, ...] = ()
    groups: tuple[Group, ...] = ()
    externals: tuple[External, ...] = ()
    translations: tuple[Translation, ...] = ()
    sources: tuple[tuple[IPv4Network, str], ...] = ()
    wires: tuple[Wire, ...] = ()
    trunks: tuple[Trunk, ...] = ()

    @property
    def bridges(self) -> tuple[Segment | External, ...]:
        """All that has one."""
        return (*self.segments, *self.externals)
