"""What the drivers that keep security groups themselves do with the rules of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cloudkit.errors import AlreadyExists, InvalidRequest, NotFound
from cloudkit.types import RuleSpec, SecurityGroupRule


def rule_of(spec: RuleSpec, id: str, driver: str) -> SecurityGroupRule:
    """The rule that is asked for; raises InvalidRequest."""
    if spec.remote_cidr is not None and (":" in spec.remote_cidr) != (spec.ip_version == 6):
        raise InvalidRequest(f"{spec.remote_cidr} is not of IP version {spec.ip_version}", driver=driver)
    return SecurityGroupRule(
        id=id,
        direction=spec.direction,
        ip_version=spec.ip_version,
        protocol=spec.protocol,
        port_min=spec.port_min,
        port_max=spec.port_max,
        remote_cidr=spec.remote_cidr,
        remote_group_id=spec.remote_group_id,
        description=spec.description,
    )


def with_rule(
    rules: Sequence[SecurityGroupRule], rule: SecurityGroupRule, group: str, group_id: str, driver: str
) -> tuple[SecurityGroupRule, ...]:
    """The rules of a group and one more; raises AlreadyExists for what it allows already."""
    for other in rules:
        if replace(other, id=rule.id, description=rule.description) == rule:
            raise AlreadyExists(f"the group {group!r} has this rule already", driver=driver, resource=group_id)
    return (*rules, rule)


def without_rule(
    rules: Sequence[SecurityGroupRule], rule_id: str, group: str, driver: str
) -> tuple[SecurityGroupRule, ...]:
    """The rules of a group but one; raises NotFound."""
    left = tuple(rule for rule in rules if rule.id != rule_id)
    if len(left) == len(rules):
        raise NotFound(f"the group {group!r} has no rule {rule_id!r}", driver=driver, resource=rule_id)
    return left
