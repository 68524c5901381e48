"""What the fake declares, its options, what is in it at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cloudkit
from cloudkit import Cloud
from cloudkit.driver import CAPABILITIES, OpenRequest, check_declaration
from cloudkit.errors import CloudError, ConfigError
from cloudkit.types import Kind
from cloudkit_fake import PLUGIN


def parse(name: str, value: Any) -> Any:
    (option,) = (option for option in PLUGIN.options if option.name == name)
    return option.parse(value)


def test_it_has_what_it_declares_and_declares_everything(driver: Any) -> None:
    check_declaration(driver)
    assert driver.capabilities == CAPABILITIES


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("clock", "sundial", "virtual or real"),
        ("boot_seconds", "-1", "0 or more"),
        ("boot_seconds", "inf", "0 or more"),
        ("task_seconds", "nan", "0 or more"),
        ("task_seconds", "soon", "soon"),
        ("path", "", "name a file"),
        ("path", "/no/such/folder/cloud.json", "does not exist"),
        ("quotas", "pets=3", "no quota 'pets'"),
        ("quotas", "servers=many", "many"),
        ("quotas", "servers", "invalid literal"),
    ],
)
def test_a_bad_option_is_refused_with_its_reason(name: str, value: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(name, value)


def test_quotas_are_text_or_a_table() -> None:
    assert parse("quotas", "servers=3, volumes=-1,") == {"servers": 3, "volumes": -1}
    assert parse("quotas", {"servers": 3}) == {"servers": 3}


@pytest.mark.parametrize("url", ["fake://somewhere", "fake://?clock=sundial", "fake://?colour=red"])
def test_a_bad_url_is_a_config_error_that_says_what_to_do(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cloudkit.connect(url)
    assert caught.value.hint


def test_a_file_has_no_virtual_clock(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="real clock"):
        cloudkit.connect(f"fake://?path={tmp_path}/cloud.json&clock=virtual")
    assert list(tmp_path.iterdir()) == []


def test_two_fakes_know_nothing_of_each_other(cloud: Cloud) -> None:
    cloud.key_pairs.list()
    cloud.networks.create("private")
    with cloudkit.connect("fake://") as other:
        assert other.cloud_id != cloud.cloud_id
        assert [network.name for network in other.networks.list()] == ["public"]


def test_it_starts_as_devstack_does(cloud: Cloud) -> None:
    assert [flavor.name for flavor in cloud.flavors.list()] == [
        "m1.tiny",
        "m1.small",
        "m1.medium",
        "m1.large",
        "m1.xlarge",
    ]
    public = cloud.networks.get("public")
    assert public.external
    assert cloud.subnets.get(public.subnet_ids[0]).cidr == "203.0.113.0/24"
    assert list(cloud.images.list()) == []


def test_the_project_is_the_one_asked_for(cloud: Cloud) -> None:
    assert cloud.project_id == "default"
    request = OpenRequest(
        address="", options={option.name: option.default for option in PLUGIN.options}, project_id="blue", profile="x"
    )
    assert PLUGIN.open(request).project_id == "blue"


def test_projects_see_their_own_and_what_is_public(cloud: Cloud) -> None:
    other = cloud.for_project("other")
    mine = cloud.networks.create("mine", cidr="172.16.1.0/24")
    assert [network.name for network in other.networks.list()] == ["public"]
    assert [subnet.name for subnet in other.subnets.list()] == ["public"]
    with pytest.raises(cloudkit.NotFound):
        other.networks.delete(mine)
    shared = cloud.networks.create("shared", cidr="172.16.2.0/24", shared=True)
    assert shared in list(other.networks.list())
    with pytest.raises(cloudkit.NotFound):
        other.networks.delete(shared)
    assert mine in list(other.networks.list(all_projects=True))


def test_a_private_flavor_is_its_projects_own(cloud: Cloud) -> None:
    own = cloud.flavors.create("own", vcpus=1, ram_mib=64, disk_gib=1, visibility="private")
    assert own not in list(cloud.for_project("other").flavors.list())
    with pytest.raises(cloudkit.AlreadyExists):
        cloud.flavors.create("own", vcpus=1, ram_mib=64, disk_gib=1)
    cloud.flavors.delete(own)
    assert cloud.flavors.find("own") is None


def test_raw_is_the_value_as_data(cloud: Cloud, driver: Any) -> None:
    flavor = cloud.flavors.get("m1.tiny")
    assert cloud.raw(flavor)["vcpus"] == 1
    assert driver.raw(Kind.NETWORK, cloud.networks.get("public").id)["external"] is True


def test_what_is_no_cloud_error_becomes_one(driver: Any) -> None:
    error = driver.translate(RuntimeError("boom"))
    assert isinstance(error, CloudError)
    assert "RuntimeError: boom" in str(error)


def test_native_requests_are_recorded(cloud: Cloud) -> None:
    network = cloud.networks.create("private", native={"provider:network_type": "vlan"})
    assert cloud.native.native_requests[network.id] == {"provider:network_type": "vlan"}


def test_server_groups_know_their_servers(cloud: Cloud, image: cloudkit.Image) -> None:
    group = cloud.server_groups.create("apart", policy="anti-affinity")
    arguments = {"image": image, "flavor": "m1.tiny", "networks": "none", "server_group": group}
    server = cloud.servers.create("a", **arguments)
    assert cloud.server_groups.get(group).server_ids == (server.id,)
    with pytest.raises(cloudkit.ResourceFailed, match="No valid host") as raised:
        cloud.servers.create("b", **arguments)
    assert raised.value.console_tail is None
    cloud.servers.delete(server)
    assert cloud.server_groups.get(group).server_ids == ()
    cloud.server_groups.delete(group)
    assert list(cloud.server_groups.list()) == []


def test_key_pairs_are_unique_in_their_project(cloud: Cloud, tmp_path: Path) -> None:
    key_pair = cloud.key_pairs.generate("me", tmp_path / "key")
    with pytest.raises(cloudkit.AlreadyExists):
        cloud.key_pairs.create("me", public_key=key_pair.public_key)
    other = cloud.for_project("other")
    assert other.key_pairs.create("me", public_key=key_pair.public_key).project_id == "other"
    cloud.key_pairs.delete("me")
    assert cloud.key_pairs.find("me") is None
    assert other.key_pairs.get("me").name == "me"
    with pytest.raises(cloudkit.NotFound):
        cloud.key_pairs.delete("me")
