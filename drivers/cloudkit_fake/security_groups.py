"""Security groups. The project's ``default`` is made when somebody first looks."""

from __future__ import annotations

from collections.abc import Mapping

from cloudkit._group_rules import rule_of, with_rule, without_rule
from cloudkit.driver import Query
from cloudkit.errors import AlreadyExists, InUse
from cloudkit.types import Kind, Port, RuleSpec, SecurityGroup, SecurityGroupRule, SecurityGroupSpec
from cloudkit_fake.clock import to_datetime
from cloudkit_fake.cloud import FakeCloud, request
from cloudkit_fake.collections import FakeCollection, not_found
from cloudkit_fake.state import State, new_id

DEFAULT = "default"


class SecurityGroups(FakeCollection[SecurityGroup]):
    """Stateful filters."""

    kind = Kind.SECURITY_GROUP

    @request
    def _list(self, query: Query) -> tuple[SecurityGroup, ...]:
        default_group_id(self._cloud, self._project_id)
        groups = self._state.all(Kind.SECURITY_GROUP)
        return tuple(group for group in groups if query.all_projects or self.sees(group))

    @request
    def create(self, spec: SecurityGroupSpec) -> SecurityGroup:
        """Make one that lets everything out."""
        default_group_id(self._cloud, self._project_id)
        self._check_quota("security_groups")
        if spec.name == DEFAULT:
            raise AlreadyExists("the project has its group 'default' already", driver="fake", resource=DEFAULT)
        return self._state.put(SecurityGroup(**self._common(spec), rules=_all_out()))

    @request
    def delete(self, id: str) -> None:
        """Delete one; raises InUse while a port is in it."""
        group = self._own(id)
        if group.name == DEFAULT:
            raise InUse("the group 'default' cannot be deleted", driver="fake", resource=id)
        for port in self._state.all(Kind.PORT):
            if id in port.security_group_ids:
                raise InUse(f"the port {port.id} is in the security group", driver="fake", resource=id)
        self._state.remove(Kind.SECURITY_GROUP, id)

    @request
    def add_rule(self, id: str, spec: RuleSpec) -> SecurityGroupRule:
        """Allow something."""
        group = self._own(id)
        if spec.remote_group_id is not None:
            self._own(spec.remote_group_id)
        rule = rule_of(spec, new_id(), "fake")
        self._change(id, rules=with_rule(group.rules, rule, group.name, id, "fake"))
        return rule

    @request
    def remove_rule(self, id: str, rule_id: str) -> None:
        """Allow something no longer."""
        group = self._own(id)
        self._change(id, rules=without_rule(group.rules, rule_id, group.name, "fake"))


def check_groups(state: State, project_id: str, ids: tuple[str, ...]) -> None:
    """Raise NotFound unless all of them are the project's."""
    for id in ids:
        group: SecurityGroup | None = state.find(Kind.SECURITY_GROUP, id)
        if group is None or group.project_id != project_id:
            raise not_found(Kind.SECURITY_GROUP, id)


def default_group_id(cloud: FakeCloud, project_id: str) -> str:
    """The project's own group; the caller is in the middle of a request."""
    state = cloud.state
    known: Mapping[str, str] = state.secrets.setdefault("default-groups", {})
    if project_id in known:
        return known[project_id]
    id = new_id()
    from_each_other = tuple(
        SecurityGroupRule(id=new_id(), direction="ingress", ip_version=version, remote_group_id=id)
        for version in (4, 6)
    )
    state.put(
        SecurityGroup(
            id=id,
            name=DEFAULT,
            project_id=project_id,
            cloud_id=state.cloud_id,
            created_at=to_datetime(cloud.clock.now()),
            description="Default security group",
            rules=(*_all_out(), *from_each_other),
        )
    )
    state.secrets["default-groups"][project_id] = id
    return id


def lets_in(state: State, port: Port, number: int) -> bool:
    """Whether a rule of a port's groups opens a TCP port to who is no member of a group.

    From which of the addresses a rule names the caller comes is not known here: each of them counts.
    """
    groups = (state.find(Kind.SECURITY_GROUP, id) for id in port.security_group_ids)
    return any(_opens(rule, number) for group in groups if group is not None for rule in group.rules)


def _opens(rule: SecurityGroupRule, number: int) -> bool:
    if rule.direction != "ingress" or rule.remote_group_id is not None or rule.protocol not in (None, "tcp", "6"):
        return False
    if rule.port_min is None:
        return True
    return rule.port_min <= number <= (rule.port_min if rule.port_max is None else rule.port_max)


def _all_out() -> tuple[SecurityGroupRule, ...]:
    return tuple(SecurityGroupRule(id=new_id(), direction="egress", ip_version=version) for version in (4, 6))
