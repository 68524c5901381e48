"""Security groups and their rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, cast

from cloudkit import _checks as checks
from cloudkit import driver
from cloudkit._collection import Collection, Creation, Ref
from cloudkit._context import Verb
from cloudkit.errors import InvalidRequest
from cloudkit.types import Kind, RuleSpec, SecurityGroup, SecurityGroupRule, SecurityGroupSpec

DIRECTIONS = ("ingress", "egress")
PROTOCOLS = (
    "ah", "dccp", "egp", "esp", "gre", "icmp", "icmpv6", "igmp", "ipip", "ospf", "pgm", "rsvp", "sctp", "tcp", "udp",
    "udplite", "vrrp",
)  # fmt: skip
"""Neutron's names (networking API reference, "Security group rules"); a number from 0 to 255 is taken too."""

_WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")
_WITH_TYPES = ("icmp", "icmpv6")


class SecurityGroups(Collection[SecurityGroup]):
    """Stateful filters: what no rule allows is dropped."""

    kind = Kind.SECURITY_GROUP
    _service = "network"
    _capability = "security_groups"

    def create(
        self,
        name: str,
        *,
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> SecurityGroup:
        """Make one that lets everything out and nothing in."""
        with self._creating(name):
            return self._create(SecurityGroupSpec(**self._common(name, description, native)), **how)

    def add_rule(
        self,
        ref: Ref,
        protocol: str | int | None = None,
        *,
        port: int | tuple[int, int] | None = None,
        cidr: str | None = None,
        remote_group: Ref | None = None,
        direction: str = "ingress",
        ip_version: int | None = None,
        description: str = "",
    ) -> SecurityGroupRule:
        """Allow something.

        Args:
            protocol: "tcp", "udp", "icmp" …, a number, or None for any.
            port: a TCP or UDP port, or the first and last of a range; for ICMP: the type, or (type, code).
            cidr: only from or to these addresses; or ``remote_group``: from or to servers of that group.
            ip_version: 4 or 6; None: that of ``cidr``, or 4.

        Raises:
            AlreadyExists: the group has this rule.
        """
        with Verb(self._context, "security_groups.add_rule", ref):
            self._require_kind()
            if cidr is not None and remote_group is not None:
                raise InvalidRequest("a rule has either cidr or remote_group")
            network = None if cidr is None else checks.network_of(cidr)
            version = _version(ip_version, network.version if network else None)
            name = _protocol(protocol, version)
            first, last = _ports(name, port)
            spec = RuleSpec(
                direction=checks.one_of(direction, DIRECTIONS, "direction"),
                ip_version=version,
                protocol=name,
                port_min=first,
                port_max=last,
                remote_cidr=None if network is None else str(network),
                remote_group_id=None if remote_group is None else self.ref_id(remote_group),
                description=checks.text(description, "description"),
            )
            return self._act(ref, lambda id: self._context.call(self._groups.add_rule, id, spec))[1]

    def remove_rule(self, ref: Ref, rule: SecurityGroupRule | str) -> None:
        """Allow it no longer."""
        with Verb(self._context, "security_groups.remove_rule", ref):
            self._require_kind()
            rule_id = rule.id if isinstance(rule, SecurityGroupRule) else checks.name(rule, "rule")
            self._act(ref, lambda id: self._context.call(self._groups.remove_rule, id, rule_id))

    @property
    def _groups(self) -> driver.SecurityGroups:
        return cast(driver.SecurityGroups, self._part)


def _version(given: object, of_cidr: int | None) -> int:
    if given is None:
        return of_cidr or 4
    version = checks.integer(given, "ip_version", 4, 6)
    if version == 5:
        checks.wrong("ip_version", "4 or 6", given)
    if of_cidr not in (None, version):
        raise InvalidRequest(f"ip_version: it is {version}, and the cidr is one of version {of_cidr}")
    return version


def _protocol(protocol: object, version: int) -> str | None:
    if protocol is None:
        return None
    if isinstance(protocol, int):
        return str(checks.integer(protocol, "protocol", 0, 255))
    name = protocol.lower() if isinstance(protocol, str) else protocol
    if isinstance(name, str) and name.isdecimal():
        return str(checks.integer(int(name), "protocol", 0, 255))
    name = checks.one_of(name, PROTOCOLS, "protocol")
    # Neutron takes both names; the one of the version is what it shows.
    return "icmpv6" if name == "icmp" and version == 6 else name


def _ports(protocol: str | None, port: object) -> tuple[int | None, int | None]:
    if port is None:
        return None, None
    ends = (port, port) if isinstance(port, int) else checks.items(port, "port")
    if len(ends) != 2:
        checks.wrong("port", "one, or the first and last of a range", port)
    if protocol in _WITH_TYPES:
        first = checks.integer(ends[0], "port", 0, 255)
        return first, None if isinstance(port, int) else checks.integer(ends[1], "port", 0, 255)
    if protocol not in _WITH_PORTS:
        raise InvalidRequest(f"port: the protocol {protocol or 'any'} has no ports", hint="Name tcp or udp.")
    first, last = (checks.integer(end, "port", 1, 65535) for end in ends)
    if first > last:
        raise InvalidRequest(f"port: the range {first}-{last} ends before it starts")
    return first, last
