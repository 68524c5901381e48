from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import cloudkit
from cloudkit import Cloud, Image, QuotaExceeded
from cloudkit_fake.images import empty_qcow2


def boot(cloud: Cloud, image: Image, flavor: str = "m1.tiny") -> cloudkit.Server:
    return cloud.servers.create("web", image=image, flavor=flavor, networks="none")


def some_volume(cloud: Cloud) -> cloudkit.Volume:
    return cloud.volumes.create("of-backup", size_gib=1)


@pytest.mark.parametrize(
    ("name", "limit", "create"),
    [
        ("key_pairs", 0, lambda cloud: cloud.key_pairs.create("me", public_key=KEY)),
        ("server_groups", 0, lambda cloud: cloud.server_groups.create("g", policy="affinity")),
        ("images", 0, lambda cloud: cloud.images.upload("i", data=empty_qcow2(512))),
        ("networks", 1, lambda cloud: cloud.networks.create("n")),
        ("routers", 0, lambda cloud: cloud.routers.create("r")),
        ("floating_ips", 0, lambda cloud: cloud.floating_ips.create()),
        ("security_groups", 1, lambda cloud: cloud.security_groups.create("s")),
        ("volumes", 0, lambda cloud: cloud.volumes.create("v", size_gib=1)),
        ("backups", 0, lambda cloud: cloud.backups.create("b", volume=some_volume(cloud))),
        ("backup_gib", 0, lambda cloud: cloud.backups.create("b", volume=some_volume(cloud))),
        ("volume_gib", 1, lambda cloud: cloud.volumes.create("v", size_gib=2)),
    ],
)
def test_one_more_than_the_quota_is_refused(
    cloud: Cloud, name: str, limit: int, create: Callable[[Cloud], object]
) -> None:
    if name == "networks":
        cloud.networks.create("first")
    cloud.native.quotas[name] = limit
    before = {kind: usage.in_use for kind, usage in cloud.limits().items()}
    with pytest.raises(QuotaExceeded, match=f"quota of {name} is {limit}"):
        create(cloud)
    cloud.native.quotas[name] = -1
    if name.startswith("backup"):
        cloud.volumes.delete("of-backup")
    after = {kind: usage.in_use for kind, usage in cloud.limits().items()}
    # Whoever looks at the security groups has the group 'default' then.
    assert after | {"security_groups": 0} == before | {"security_groups": 0}


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.mark.parametrize("quotas", [{"servers": 1}, {"vcpus": 1}, {"ram_mib": 600}])
def test_servers_count_by_number_cores_and_memory(cloud: Cloud, image: Image, quotas: dict[str, int]) -> None:
    cloud.native.quotas.update(quotas)
    first = boot(cloud, image)
    with pytest.raises(QuotaExceeded, match=next(iter(quotas))):
        boot(cloud, image)
    cloud.servers.delete(first)
    assert boot(cloud, image).status == "ACTIVE"


def test_snapshots_subnets_and_ports_count(cloud: Cloud, network: cloudkit.Network) -> None:
    volume = cloud.volumes.create("v", size_gib=1)
    cloud.native.quotas.update(snapshots=0, subnets=1, ports=0)
    with pytest.raises(QuotaExceeded):
        cloud.snapshots.create("s", volume=volume)
    other = cloud.networks.create("other")
    with pytest.raises(QuotaExceeded):
        cloud.subnets.create("s", network=other, cidr="172.16.9.0/24")
    with pytest.raises(QuotaExceeded):
        cloud.ports.create("p", network=network)


def test_a_volume_does_not_grow_beyond_the_quota(cloud: Cloud) -> None:
    volume = cloud.volumes.create("v", size_gib=1)
    cloud.native.quotas["volume_gib"] = 2
    with pytest.raises(QuotaExceeded):
        cloud.volumes.extend(volume, 3)
    assert cloud.volumes.extend(volume, 2).size_gib == 2


def test_each_project_has_its_own_quota(cloud: Cloud) -> None:
    cloud.native.quotas["volumes"] = 1
    cloud.volumes.create("mine", size_gib=1)
    assert cloud.for_project("other").volumes.create("theirs", size_gib=1).status == "available"


def test_quotas_are_set_in_the_url_and_shown_with_their_use() -> None:
    with cloudkit.connect("fake://?quotas=volumes=2,servers=-1") as cloud:
        cloud.volumes.create("v", size_gib=3)
        limits: Any = cloud.limits()
        assert (limits["volumes"].limit, limits["volumes"].in_use) == (2, 1)
        assert limits["volume_gib"].in_use == 3
        assert limits["servers"].limit is None
