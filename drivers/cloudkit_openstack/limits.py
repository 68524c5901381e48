"""Quota and use: Nova, Cinder and Neutron tell theirs in three ways."""

from __future__ import annotations

from collections.abc import Mapping

from cloudkit.driver import EVERYTHING
from cloudkit.types import Kind, Quota
from cloudkit_openstack.context import Context
from cloudkit_openstack.wire import Body, limit_of

QUOTA_DETAILS = "quota_details"
"""The extension of Neutron's that tells the use."""

_NOVA = {
    "servers": ("maxTotalInstances", "totalInstancesUsed"),
    "vcpus": ("maxTotalCores", "totalCoresUsed"),
    "ram_mib": ("maxTotalRAMSize", "totalRAMUsed"),
    "server_groups": ("maxServerGroups", "totalServerGroupsUsed"),
}
_CINDER = {
    "volumes": ("maxTotalVolumes", "totalVolumesUsed"),
    "volume_gib": ("maxTotalVolumeGigabytes", "totalGigabytesUsed"),
    "snapshots": ("maxTotalSnapshots", "totalSnapshotsUsed"),
    "backups": ("maxTotalBackups", "totalBackupsUsed"),
    "backup_gib": ("maxTotalBackupGigabytes", "totalBackupGigabytesUsed"),
}
_NEUTRON = {
    "networks": "network",
    "subnets": "subnet",
    "ports": "port",
    "routers": "router",
    "floating_ips": "floatingip",
    "security_groups": "security_group",
}


def limits_of(context: Context) -> Mapping[str, Quota]:
    """The project's, by cloudkit's names."""
    found: dict[str, Quota] = {}
    nova: Body = context.compute.get("/limits")["limits"]["absolute"]
    cinder: Body = context.volume.get("/limits")["limits"]["absolute"]
    for absolute, names in ((nova, _NOVA), (cinder, _CINDER)):
        for name, (limit, used) in names.items():
            if limit in absolute and used in absolute:
                found[name] = Quota(limit=limit_of(absolute[limit]), in_use=absolute[used])
    found["key_pairs"] = Quota(limit=limit_of(nova.get("maxTotalKeypairs")), in_use=_count(context, Kind.KEY_PAIR))
    if QUOTA_DETAILS in context.extensions:
        details: Body = context.network.get(f"/quotas/{context.project.id}/details.json")["quota"]
        for name, neutrons in _NEUTRON.items():
            if neutrons in details:
                quota = details[neutrons]
                in_use = quota["used"] + quota.get("reserved", 0)
                found[name] = Quota(limit=limit_of(quota["limit"]), in_use=in_use)
    return found


def _count(context: Context, kind: Kind) -> int:
    """How many of a kind there are, where the service tells the limit only."""
    return sum(1 for _ in context.collections[kind].list(EVERYTHING))
