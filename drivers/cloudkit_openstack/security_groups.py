"""Security groups and their rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from cloudkit.errors import InUse, NotFound
from cloudkit.types import Kind, RuleSpec, SecurityGroup, SecurityGroupRule, SecurityGroupSpec
from cloudkit_openstack.collection import Narrowing
from cloudkit_openstack.errors import DRIVER
from cloudkit_openstack.neutron import NeutronCollection, name_query
from cloudkit_openstack.service import segment
from cloudkit_openstack.wire import Body

DEFAULT = "default"
_RULES = "/security-group-rules"
_PROTOCOLS: Mapping[str, str] = {"ipv6-icmp": "icmpv6"}
"""Other names that Neutron may show for a protocol."""


class SecurityGroups(NeutronCollection[SecurityGroup]):
    """Stateful filters."""

    kind = Kind.SECURITY_GROUP
    path = "/security-groups"
    one, many = "security_group", "security_groups"
    narrowing: ClassVar[Narrowing] = {"name": name_query}

    def create(self, spec: SecurityGroupSpec) -> SecurityGroup:
        """Make one that lets everything out."""
        return self._one_value(self._make(spec))

    def delete(self, id: str) -> None:
        """Delete one; Neutron lets an administrator delete a project's ``default``."""
        group = self._own(id)
        if group is not None and group.name == DEFAULT:
            raise InUse("the group 'default' cannot be deleted", driver=DRIVER, resource=group)
        self._service.delete(self._at(id))

    def add_rule(self, id: str, spec: RuleSpec) -> SecurityGroupRule:
        """Allow something."""
        self._own(id)
        self._context.require(Kind.SECURITY_GROUP, spec.remote_group_id)
        wanted = {
            "security_group_id": id,
            "direction": spec.direction,
            "ethertype": f"IPv{spec.ip_version}",
            "protocol": spec.protocol,
            "port_range_min": spec.port_min,
            "port_range_max": spec.port_max,
            "remote_ip_prefix": spec.remote_cidr,
            "remote_group_id": spec.remote_group_id,
            "description": spec.description or None,
        }
        request = {name: value for name, value in wanted.items() if value is not None}
        body: Body = self._service.post(_RULES, {"security_group_rule": request})["security_group_rule"]
        return _rule(body)

    def remove_rule(self, id: str, rule_id: str) -> None:
        """Allow it no longer."""
        self._own(id)
        path = f"{_RULES}/{segment(rule_id)}"
        if self._service.get(path)["security_group_rule"]["security_group_id"] != id:
            raise NotFound(f"the group has no rule {rule_id!r}", driver=DRIVER, resource=rule_id)
        self._service.delete(path)

    def _values(self, bodies: Sequence[Body]) -> Iterable[SecurityGroup]:
        return map(self._value, bodies)

    def _value(self, body: Body) -> SecurityGroup:
        # Neutron shows them in any order.
        rules = sorted(body.get("security_group_rules") or (), key=_age)
        return SecurityGroup(**self._common(body), rules=tuple(map(_rule, rules)))


def _age(rule: Body) -> tuple[str, str]:
    return rule.get("created_at") or "", rule["id"]


def _rule(body: Body) -> SecurityGroupRule:
    protocol: str | None = body.get("protocol")
    return SecurityGroupRule(
        id=body["id"],
        direction=body["direction"],
        ip_version=6 if body["ethertype"] == "IPv6" else 4,
        protocol=None if protocol is None else _PROTOCOLS.get(protocol, protocol),
        port_min=body.get("port_range_min"),
        port_max=body.get("port_range_max"),
        remote_cidr=body.get("remote_ip_prefix"),
        remote_group_id=body.get("remote_group_id"),
        description=body.get("description") or "",
    )
