"""Which class has the things of which kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudkit._backup import Backups
from cloudkit._collection import Collection
from cloudkit._compute import Flavors, KeyPairs, ServerGroups
from cloudkit._image import Images
from cloudkit._network import Networks, Ports, Subnets
from cloudkit._routing import FloatingIps, Routers
from cloudkit._security_groups import SecurityGroups
from cloudkit._servers import Servers
from cloudkit._volume import Snapshots, Volumes
from cloudkit.types import Kind

COLLECTIONS: Mapping[Kind, type[Collection[Any]]] = {
    collection.kind: collection
    for collection in (
        Servers, Flavors, KeyPairs, ServerGroups, Images, Networks, Subnets, Ports, Routers, FloatingIps,
        SecurityGroups, Volumes, Snapshots, Backups,
    )
}  # fmt: skip
