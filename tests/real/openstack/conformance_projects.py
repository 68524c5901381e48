"""Two projects of the bed's administrator, without quotas: what the conformance suite works in."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import cloudkit
from cloudkit import Cloud

CLOUD = "bed-admin"
PROJECTS = ("conformance", "conformance-other")

GUESTS = frozenset({"servers.ssh"})
"""What only a guest that boots can show: servers of Nova's fake driver are no machines."""


def ensure_projects(cloud: Cloud) -> list[str]:
    """The ids of the two projects; made where they are missing."""
    # openstacksdk warns of what it does itself.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [*_ensure(cloud.native)]


def _ensure(native: Any) -> Iterator[str]:
    identity, session = native.identity, native.session
    (role,) = identity.get("/roles?name=admin").json()["roles"]
    user = session.auth.get_access(session).user_id
    for name in PROJECTS:
        found = identity.get(f"/projects?name={name}").json()["projects"]
        if not found:
            found = [identity.post("/projects", json={"project": {"name": name}}).json()["project"]]
        id = found[0]["id"]
        identity.put(f"/projects/{id}/users/{user}/roles/{role['id']}").raise_for_status()
        _lift_quotas(native, id)
        yield id


def connect(project_id: str, guests: bool) -> Cloud:
    """The bed, seen as its administrator in a project; without guests, what only they show is not declared."""
    cloud = cloudkit.connect(CLOUD, project=project_id, physical_network="physnet1")
    return cloud if guests else without_guests(cloud)


def without_guests(cloud: Cloud) -> Cloud:
    """The same cloud, which does not declare what only guests show."""
    _undeclare(cloud._context.driver)
    return cloud


def _undeclare(driver: Any) -> Any:
    driver.capabilities -= GUESTS
    opener = driver._opener
    if "driver_for" not in vars(opener):
        open_project = opener.driver_for
        opener.driver_for = lambda project_id: _undeclare(open_project(project_id))
    return driver


def _lift_quotas(native: Any, project_id: str) -> None:
    nova = dict.fromkeys(("instances", "cores", "ram", "key_pairs", "server_groups", "server_group_members"), -1)
    cinder = dict.fromkeys(("volumes", "gigabytes", "snapshots"), -1)
    neutron = dict.fromkeys(("network", "subnet", "port", "router", "floatingip", "security_group"), -1)
    neutron["security_group_rule"] = -1
    for answer in (
        native.compute.put(f"/os-quota-sets/{project_id}", json={"quota_set": {"force": True, **nova}}),
        native.block_storage.put(f"/os-quota-sets/{project_id}", json={"quota_set": cinder}),
        native.network.put(f"/quotas/{project_id}", json={"quota": neutron}),
    ):
        answer.raise_for_status()
