"""What a fake starts with: DevStack's flavors and an external network ``public``."""

from __future__ import annotations

from typing import Any

from cloudkit.types import Flavor, Network, NetworkStatus, Subnet
from cloudkit_fake.clock import to_datetime
from cloudkit_fake.state import State, new_id

FLAVORS = (
    ("1", "m1.tiny", 1, 512, 1),
    ("2", "m1.small", 1, 2048, 20),
    ("3", "m1.medium", 2, 4096, 40),
    ("4", "m1.large", 4, 8192, 80),
    ("5", "m1.xlarge", 8, 16384, 160),
)
PUBLIC = "public"
PUBLIC_CIDR = "203.0.113.0/24"
"""TEST-NET-3 (RFC 5737): never anybody's."""
OWNER = "admin"


def fill(state: State, now: float) -> None:
    """Put the presets into an empty cloud."""
    common: dict[str, Any] = {"project_id": OWNER, "cloud_id": state.cloud_id, "created_at": to_datetime(now)}
    for id, name, vcpus, ram_mib, disk_gib in FLAVORS:
        state.put(
            Flavor(
                id=id,
                name=name,
                **common,
                vcpus=vcpus,
                ram_mib=ram_mib,
                disk_gib=disk_gib,
            )
        )
    network_id, subnet_id = new_id(), new_id()
    state.put(
        Network(
            id=network_id,
            name=PUBLIC,
            **common,
            status=NetworkStatus.ACTIVE,
            native_status=NetworkStatus.ACTIVE.value,
            subnet_ids=(subnet_id,),
            external=True,
            mtu=1500,
        )
    )
    state.put(
        Subnet(
            id=subnet_id,
            name=PUBLIC,
            **common,
            network_id=network_id,
            cidr=PUBLIC_CIDR,
            ip_version=4,
            gateway_ip="203.0.113.1",
            dhcp=False,
            allocation_pools=(("203.0.113.2", "203.0.113.254"),),
        )
    )
