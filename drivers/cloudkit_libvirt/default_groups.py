"""The security groups that every project has from the start: ``default``, computed until it is changed."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from itertools import chain

from cloudkit.types import SecurityGroupRule
from cloudkit_libvirt.bodies import Phase
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.routing_bodies import SecurityGroupBody

DEFAULT = "default"
_SINCE_EVER = "1970-01-01T00:00:00+00:00"


def default_group_id(cloud_id: str, project_id: str) -> str:
    """The id of a project's own group, the same for every client."""
    return str(uuid.uuid5(uuid.UUID(cloud_id), f"security-group/{project_id}"))


def groups_by_id(view: View, cloud_id: str, projects: Iterable[str]) -> dict[str, Record[SecurityGroupBody]]:
    """All groups with a record, and the unchanged defaults of these projects."""
    found = {record.id: record for record in view.all(SecurityGroupBody)}
    for project_id in projects:
        id = default_group_id(cloud_id, project_id)
        if id not in found:
            found[id] = Record(id, 0, _default(id, project_id))
    return found


def _default(id: str, project_id: str) -> SecurityGroupBody:
    from_each_other = (
        SecurityGroupRule(
            id=_rule_id(id, f"in/{version}"), direction="ingress", ip_version=version, remote_group_id=id
        )
        for version in (4, 6)
    )
    return SecurityGroupBody(
        phase=Phase.READY,
        project_id=project_id,
        name=DEFAULT,
        created_at=_SINCE_EVER,
        description="Default security group",
        rules=tuple(chain(all_out(uuid.UUID(id)), from_each_other)),
    )


def all_out(seed: uuid.UUID) -> tuple[SecurityGroupRule, ...]:
    """The rules that a new group has."""
    return tuple(
        SecurityGroupRule(id=_rule_id(str(seed), f"out/{version}"), direction="egress", ip_version=version)
        for version in (4, 6)
    )


def _rule_id(seed: str, name: str) -> str:
    return str(uuid.uuid5(uuid.UUID(seed), name))
