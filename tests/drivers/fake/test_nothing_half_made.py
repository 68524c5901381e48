"""A request that is refused leaves nothing behind, and takes nothing from anybody."""

from __future__ import annotations

import io
import json
import os
import traceback
from pathlib import Path
from typing import Any

import pytest

import cloudkit
from cloudkit import Cloud, Image, Network, Nic, Server
from cloudkit.errors import ConfigError, Conflict, InUse, InvalidState, NotFound, QuotaExceeded
from cloudkit.testing import Raise
from cloudkit.types import FixedIpSpec, Kind


def things(cloud: Cloud) -> dict[Kind, int]:
    with cloud.native as state:
        return {kind: len(table) for kind, table in state.tables.items()}


@pytest.fixture
def narrow(cloud: Cloud) -> Network:
    """A network with one free address."""
    return cloud.networks.create("narrow", cidr="10.0.0.0/24", allocation_pools=[("10.0.0.5", "10.0.0.5")])


def test_two_interfaces_for_one_free_address_make_no_server(cloud: Cloud, image: Image, narrow: Network) -> None:
    cloud.security_groups.get("default")
    before = things(cloud)
    with pytest.raises(Conflict, match="no free address"):
        cloud.servers.create("web", image=image, flavor="m1.tiny", networks=[narrow, narrow])
    assert things(cloud) == before
    server = cloud.servers.create("web", image=image, flavor="m1.tiny", networks=[narrow])
    assert [address.ip for address in server.addresses] == ["10.0.0.5"]


def test_one_address_is_not_given_to_two_interfaces(cloud: Cloud, image: Image, network: Network) -> None:
    wish = Nic(network_id=network.id, fixed_ip="172.16.1.9")
    with pytest.raises(Conflict, match=r"172\.16\.1\.9 is taken"):
        cloud.servers.create("web", image=image, flavor="m1.tiny", networks=[wish, wish])
    server = cloud.servers.create("web", image=image, flavor="m1.tiny", networks=[network, network])
    assert len({address.ip for address in server.addresses}) == 2


def test_one_port_is_not_plugged_in_twice(cloud: Cloud, image: Image, network: Network) -> None:
    port = cloud.ports.create("p", network=network)
    with pytest.raises(InUse):
        cloud.servers.create("web", image=image, flavor="m1.tiny", networks=[port, port])
    assert cloud.ports.get(port) == port


def test_one_port_has_two_different_addresses(cloud: Cloud, network: Network) -> None:
    (subnet_id,) = network.subnet_ids
    port = cloud.ports.create("p", network=network, fixed_ips=[FixedIpSpec(subnet_id=subnet_id)] * 2)
    assert [fixed.ip for fixed in port.fixed_ips] == ["172.16.1.2", "172.16.1.3"]


def test_a_servers_interfaces_count_as_ports(cloud: Cloud, image: Image, network: Network) -> None:
    cloud.native.quotas["ports"] = 1
    with pytest.raises(QuotaExceeded, match="ports"):
        cloud.servers.create("web", image=image, flavor="m1.tiny", networks=[network, network])
    assert list(cloud.servers.list()) == []
    assert list(cloud.ports.list()) == []


def test_what_another_project_has_is_not_there(cloud: Cloud, image: Image, network: Network, driver: Any) -> None:
    other = cloud.for_project("other")
    group = other.security_groups.create("theirs")
    server_group = other.server_groups.create("theirs", policy="affinity")
    arguments: dict[str, Any] = {"image": image, "flavor": "m1.tiny", "networks": [network]}
    server = cloud.servers.create("web", **arguments)
    before = things(cloud)
    with pytest.raises(NotFound):
        cloud.servers.create("web", security_groups=[group.id], **arguments)
    with pytest.raises(NotFound):
        cloud.servers.create("web", server_group=server_group.id, **arguments)
    with pytest.raises(NotFound):
        cloud.ports.create("p", network=network, security_groups=[group.id])
    with pytest.raises(NotFound):
        driver.compute.servers.set_security_groups(server.id, (group.id,))
    with pytest.raises(NotFound):
        cloud.security_groups.add_rule("default", "tcp", port=22, remote_group=group.id)
    assert things(cloud) == before
    assert cloud.servers.get(server) == server


def test_a_larger_flavor_needs_quota_for_the_difference(cloud: Cloud, server: Server) -> None:
    small = cloud.flavors.create("small", vcpus=1, ram_mib=600, disk_gib=1)
    cloud.native.quotas.update(vcpus=1, ram_mib=599)
    with pytest.raises(QuotaExceeded, match="ram_mib"):
        cloud.servers.resize(server, small)
    assert cloud.servers.get(server) == server
    cloud.native.quotas["ram_mib"] = 600
    assert cloud.servers.resize(server, small).flavor_id == small.id


def test_a_root_disk_is_not_detached(cloud: Cloud, image: Image) -> None:
    root = cloud.volumes.create("root", size_gib=1, image=image)
    server = cloud.servers.create("web", boot_volume=root, flavor="m1.tiny", networks="none")
    with pytest.raises(InvalidState, match="root disk"):
        cloud.volumes.detach(root)
    assert cloud.volumes.get(root).status == "in-use"
    cloud.servers.delete(server)
    assert cloud.volumes.get(root).status == "available"


def test_the_disks_of_a_locked_or_busy_server_stay_as_they_are(cloud: Cloud, server: Server, driver: Any) -> None:
    plugged, free = (cloud.volumes.create(name, size_gib=1) for name in ("plugged", "free"))
    cloud.volumes.attach(plugged, server)
    cloud.servers.lock(server)
    for verb, volume in ((cloud.volumes.attach, free), (cloud.volumes.detach, plugged)):
        with pytest.raises(InvalidState, match="locked"):
            verb(volume, server)
    cloud.servers.unlock(server)
    driver.compute.servers.delete(server.id)
    for verb, volume in ((driver.volume.volumes.attach, free), (driver.volume.volumes.detach, plugged)):
        with pytest.raises(InvalidState, match="deleting"):
            verb(volume.id, server.id)


def test_the_groups_of_a_locked_server_stay_as_they_are(cloud: Cloud, server: Server) -> None:
    cloud.servers.lock(server)
    with pytest.raises(InvalidState, match="locked"):
        cloud.servers.set_security_groups(server, ["default"])


def test_an_external_network_gives_addresses_of_all_its_subnets(cloud: Cloud) -> None:
    outside = cloud.networks.create("outside", external=True)
    for number in (1, 2):
        pool = (f"198.51.{number}.9", f"198.51.{number}.9")
        cloud.subnets.create("s", network=outside, cidr=f"198.51.{number}.0/24", allocation_pools=[pool])
    ips = [cloud.floating_ips.create(external=outside).ip for _ in range(2)]
    assert ips == ["198.51.1.9", "198.51.2.9"]
    with pytest.raises(Conflict, match="no free address"):
        cloud.floating_ips.create(external=outside)


@pytest.mark.parametrize("ip", ["203.0.113.1", "192.0.2.1", "2001:db8::1"])
def test_a_floating_ip_from_elsewhere_is_refused(cloud: Cloud, ip: str) -> None:
    with pytest.raises(cloudkit.InvalidRequest, match="no address that"):
        cloud.floating_ips.create(external="public", ip=ip)
    assert list(cloud.floating_ips.list()) == []


def test_an_error_of_the_script_is_raised_anew_each_time(cloud: Cloud) -> None:
    planned = QuotaExceeded("no more")
    cloud.native.faults.add("*", Raise(planned), times=None)
    with pytest.raises(QuotaExceeded) as first:
        cloud.volumes.create("v", size_gib=1)
    with pytest.raises(QuotaExceeded) as second:
        cloud.networks.create("n")
    assert first.value.operation == "volumes.create"
    assert second.value.operation == "networks.create"
    assert planned.operation is None
    assert traceback.extract_tb(planned.__traceback__) == []


def test_a_plan_for_what_is_not_there_is_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "cloud.json"
    cloudkit.connect(f"fake://?path={path}").close()
    data = json.loads(path.read_text())
    data["later"] = [["servers", "no-such-server", 0.0, {"status": "ACTIVE"}]]
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError, match="damaged") as caught:
        cloudkit.connect(f"fake://?path={path}")
    assert "delete the file" in caught.value.hint


def test_what_a_killed_writer_left_is_written_over(tmp_path: Path) -> None:
    path, part = tmp_path / "cloud.json", tmp_path / "cloud.json.part"
    part.write_text('{"half":')
    with cloudkit.connect(f"fake://?path={path}") as cloud:
        cloud.images.upload("i", data=io.BytesIO(os.urandom(512)), disk_format="raw")
    assert not part.exists()
    assert json.loads(path.read_text())["cloud_id"] == cloud.cloud_id


def test_another_projects_private_flavor_is_not_there(cloud: Cloud, image: Image) -> None:
    theirs = cloud.for_project("other").flavors.create("own", vcpus=1, ram_mib=64, disk_gib=1, visibility="private")
    with pytest.raises(NotFound):
        cloud.servers.create("web", image=image, flavor=theirs.id, networks="none")
    assert list(cloud.servers.list()) == []


def test_a_file_is_written_again_only_with_what_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values never change, so their data is made once: a large cloud stays quick."""
    from cloudkit_fake import storage

    with cloudkit.connect(f"fake://?path={tmp_path}/cloud.json") as cloud:
        cloud.networks.create("n", cidr="172.16.1.0/24")
        encoded: list[Any] = []
        to_data = storage.to_data
        monkeypatch.setattr(storage, "to_data", lambda value: encoded.append(value) or to_data(value))
        volume = cloud.volumes.create("v", size_gib=1, wait=False)
    assert [value for value in encoded if isinstance(value, cloudkit.Resource)] == [volume]
