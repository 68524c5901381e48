"""How much a project uses; a libvirt host sets no quotas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudkit.types import Quota
from cloudkit_libvirt.bodies import (
    BackupBody,
    Body,
    ImageBody,
    KeyPairBody,
    NetworkBody,
    PortBody,
    ServerBody,
    ServerGroupBody,
    SnapshotBody,
    SubnetBody,
    VolumeBody,
)
from cloudkit_libvirt.records import View
from cloudkit_libvirt.routing_bodies import FloatingIpBody, RouterBody, SecurityGroupBody

_COUNTED: tuple[type[Body], ...] = (
    ServerBody,
    KeyPairBody,
    ServerGroupBody,
    ImageBody,
    NetworkBody,
    SubnetBody,
    PortBody,
    RouterBody,
    FloatingIpBody,
    SecurityGroupBody,
    VolumeBody,
    SnapshotBody,
    BackupBody,
)


def limits_of(view: View, project_id: str) -> Mapping[str, Quota]:
    """Use by name."""

    def bodies(body_type: type[Any]) -> list[Any]:
        return [record.body for record in view.all(body_type) if record.body.project_id == project_id]

    used = {body_type.kind.value: len(bodies(body_type)) for body_type in _COUNTED}
    used["vcpus"] = sum(server.vcpus for server in bodies(ServerBody))
    used["ram_mib"] = sum(server.ram_mib for server in bodies(ServerBody))
    used["volume_gib"] = sum(volume.size_gib for volume in bodies(VolumeBody))
    used["backup_gib"] = sum(backup.size_gib for backup in bodies(BackupBody))
    return {name: Quota(limit=None, in_use=in_use) for name, in_use in used.items()}
