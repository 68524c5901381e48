from __future__ import annotations

import pytest

from cloudkit import AlreadyExists, Cloud, InUse, InvalidRequest, Network, NotFound
from cloudkit.types import RuleSpec


def test_each_project_has_its_default_group_with_openstacks_rules(cloud: Cloud) -> None:
    (default,) = cloud.security_groups.list()
    assert default.name == "default"
    assert {(rule.direction, rule.ip_version, rule.remote_group_id) for rule in default.rules} == {
        ("egress", 4, None),
        ("egress", 6, None),
        ("ingress", 4, default.id),
        ("ingress", 6, default.id),
    }
    (other,) = cloud.for_project("other").security_groups.list()
    assert other.id != default.id
    with pytest.raises(InUse, match="default"):
        cloud.security_groups.delete(default)
    with pytest.raises(AlreadyExists):
        cloud.security_groups.create("default")


def test_a_new_group_lets_everything_out(cloud: Cloud) -> None:
    group = cloud.security_groups.create("ssh")
    assert {(rule.direction, rule.ip_version) for rule in group.rules} == {("egress", 4), ("egress", 6)}


def test_a_rule_is_added_once_and_removed_once(cloud: Cloud) -> None:
    group = cloud.security_groups.create("ssh")
    rule = cloud.security_groups.add_rule(group, "tcp", port=22, cidr="10.0.0.0/8", description="office")
    assert rule in cloud.security_groups.get(group).rules
    with pytest.raises(AlreadyExists):
        cloud.security_groups.add_rule(group, "tcp", port=22, cidr="10.0.0.0/8", description="again")
    cloud.security_groups.remove_rule(group, rule)
    with pytest.raises(NotFound):
        cloud.security_groups.remove_rule(group, rule)


def test_a_rule_names_a_group_that_exists_and_addresses_of_its_version(cloud: Cloud) -> None:
    group = cloud.security_groups.create("ssh")
    groups = cloud._context.driver.network.security_groups  # type: ignore[attr-defined]
    with pytest.raises(NotFound):
        groups.add_rule(group.id, RuleSpec(remote_group_id="none"))
    with pytest.raises(InvalidRequest, match="IP version 6"):
        groups.add_rule(group.id, RuleSpec(ip_version=6, remote_cidr="10.0.0.0/8"))
    assert cloud.security_groups.add_rule(group, remote_group=group).remote_group_id == group.id


def test_a_group_with_a_port_in_it_stays(cloud: Cloud, network: Network) -> None:
    group = cloud.security_groups.create("ssh")
    port = cloud.ports.create("p", network=network, security_groups=[group])
    with pytest.raises(InUse, match=port.id):
        cloud.security_groups.delete(group)
    cloud.ports.delete(port)
    cloud.security_groups.delete(group)
    assert cloud.security_groups.find("ssh") is None


def test_a_port_is_in_the_default_group_unless_told_otherwise(cloud: Cloud, network: Network) -> None:
    default = cloud.security_groups.get("default")
    assert cloud.ports.create("p", network=network).security_group_ids == (default.id,)
    assert cloud.ports.create("q", network=network, security_groups=[]).security_group_ids == ()
