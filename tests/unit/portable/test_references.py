from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from cloudkit import AmbiguousName, Cloud, InvalidRequest, NotFound
from cloudkit.types import Kind

A_UUID = "7c4d1a3e-0000-4000-8000-000000000001"


def test_a_value_an_id_and_a_name_are_the_same_thing(cloud: Cloud) -> None:
    volume = cloud.volumes.create("data", size_gib=1)
    assert cloud.volumes.get(volume) == cloud.volumes.get(volume.id) == cloud.volumes.get("data") == volume


def test_what_is_not_there_is_not_found_and_find_gives_none(cloud: Cloud) -> None:
    for ref in ("data", A_UUID):
        with pytest.raises(NotFound) as raised:
            cloud.volumes.get(ref)
        assert raised.value.operation == "volumes.get"
        assert raised.value.driver == "fake"
        assert raised.value.resource == ref
    assert cloud.volumes.find("data") is None


def test_two_of_a_name_are_ambiguous_and_their_ids_are_told(cloud: Cloud) -> None:
    volumes = [cloud.volumes.create("data", size_gib=1) for _ in range(2)]
    for look in (cloud.volumes.get, cloud.volumes.find, cloud.volumes.delete):
        with pytest.raises(AmbiguousName) as raised:
            look("data")
        assert set(raised.value.candidates) == {volume.id for volume in volumes}
        assert all(volume.id in str(raised.value) for volume in volumes)


@pytest.mark.parametrize("name", ["web", "web.*", "^web$", "we", "WEB", "w%b", "web "])
def test_names_match_exactly(cloud: Cloud, name: str) -> None:
    made = cloud.volumes.create("web" if name != "web" else "web1", size_gib=1)
    assert cloud.volumes.find(name) is None
    assert cloud.volumes.find(made.name) == made


def test_a_name_that_looks_like_an_id_is_found_after_the_ids(cloud: Cloud) -> None:
    named = cloud.volumes.create(A_UUID, size_gib=1)
    assert cloud.volumes.get(A_UUID) == named
    cloud.volumes.extend(A_UUID, 2)
    assert cloud.volumes.get(named).size_gib == 2
    other = cloud.volumes.create(named.id, size_gib=1)
    assert cloud.volumes.get(named.id).name == A_UUID
    cloud.volumes.delete(A_UUID)
    assert [volume.id for volume in cloud.volumes.list()] == [other.id]


def test_an_id_that_does_not_look_like_one_is_found_after_the_names(cloud: Cloud) -> None:
    assert cloud.flavors.get("1").name == "m1.tiny"


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("", "the reference to a volume is empty"),
        (5, "volume: a value, an id or a name is expected, not 5"),
        (None, "volume: a value, an id or a name is expected"),
    ],
)
def test_what_is_no_reference_is_refused_before_any_request(
    cloud: Cloud, calls: Counter[str], ref: Any, says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says):
        cloud.volumes.get(ref)
    assert not calls


def test_a_value_of_another_kind_is_refused(cloud: Cloud, calls: Counter[str]) -> None:
    flavor = cloud.flavors.get("m1.tiny")
    calls.clear()
    with pytest.raises(InvalidRequest, match="'m1.tiny' is a flavor, and a volume is expected"):
        cloud.volumes.delete(flavor)
    assert not calls


def test_a_value_of_another_cloud_is_refused(cloud: Cloud, other_cloud: Cloud, calls: Counter[str]) -> None:
    volume = other_cloud.volumes.create("data", size_gib=1)
    for verb in (cloud.volumes.get, cloud.volumes.delete, cloud.raw):
        with pytest.raises(InvalidRequest, match="belongs to another cloud"):
            verb(volume)
    assert not calls


def test_a_create_with_values_is_one_request(cloud: Cloud, server_args: dict[str, Any], calls: Counter[str]) -> None:
    server_args["flavor"] = cloud.flavors.get("m1.tiny")
    calls.clear()
    cloud.servers.create("web", **server_args, wait=False)
    assert calls == {"servers.create": 1}


def test_a_name_in_a_create_is_one_look(cloud: Cloud, server_args: dict[str, Any], calls: Counter[str]) -> None:
    server_args["flavor"] = cloud.flavors.get("m1.tiny")
    server_args["image"] = "blank"
    calls.clear()
    cloud.servers.create("web", **server_args, wait=False)
    assert calls == {"images.list": 1, "servers.create": 1}


def test_flavors_are_listed_once_for_a_while(cloud: Cloud, calls: Counter[str]) -> None:
    for _ in range(3):
        cloud.flavors.get("m1.tiny")
        cloud.flavors.get("m1.small")
    assert calls["flavors.list"] == 1
    cloud.flavors.create("huge", vcpus=64, ram_mib=1024, disk_gib=0)
    assert cloud.flavors.get("huge").vcpus == 64
    cloud.flavors.delete("huge")
    assert cloud.flavors.find("huge") is None


def test_a_flavor_that_another_made_meanwhile_is_found(cloud: Cloud) -> None:
    cloud.flavors.get("m1.tiny")
    cloud.for_project("other").flavors.create("new", vcpus=1, ram_mib=64, disk_gib=0)
    assert cloud.flavors.get("new").ram_mib == 64


def test_a_key_pairs_name_is_its_id_and_is_not_looked_up(cloud: Cloud, calls: Counter[str], tmp_path: Any) -> None:
    cloud.key_pairs.generate("me", tmp_path / "key")
    calls.clear()
    assert cloud.key_pairs.get("me").id == "me"
    assert calls == {"key_pairs.get": 1}


def test_filters_are_exact(cloud: Cloud) -> None:
    small = cloud.volumes.create("small", size_gib=1, metadata={"tier": "a", "team": "x"})
    large = cloud.volumes.create("large", size_gib=2, metadata={"tier": "b"})
    listed = {
        "all": set(cloud.volumes.list()),
        "name": set(cloud.volumes.list(name="small")),
        "size": set(cloud.volumes.list(size_gib=2)),
        "status": set(cloud.volumes.list(status="available")),
        "none": set(cloud.volumes.list(status="error")),
        "metadata": set(cloud.volumes.list(metadata={"tier": "a"})),
    }
    assert listed == {
        "all": {small, large},
        "name": {small},
        "size": {large},
        "status": {small, large},
        "none": set(),
        "metadata": {small},
    }


def test_tags_filter_by_those_that_are_given(cloud: Cloud) -> None:
    both = cloud.networks.create("both", tags=["a", "b"])
    cloud.networks.create("one", tags=["a"])
    assert list(cloud.networks.list(tags=["b"])) == [both]
    assert len(list(cloud.networks.list(tags=["a"]))) == 2


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"nmae": "x"}, "volumes cannot be filtered by 'nmae'"),
        ({"cloud_id": "x"}, "cannot be filtered by 'cloud_id'"),
        ({"mark": "x"}, "cannot be filtered by 'mark'"),
        ({"status": "avialable"}, "status: there is no 'avialable'"),
    ],
)
def test_a_wrong_filter_is_refused_at_the_call(
    cloud: Cloud, calls: Counter[str], filters: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says) as raised:
        cloud.volumes.list(**filters)
    assert raised.value.hint or "cannot" in says
    assert not calls


def test_a_misspelt_filter_is_answered_with_the_closest(cloud: Cloud) -> None:
    with pytest.raises(InvalidRequest) as raised:
        cloud.volumes.list(stauts="available")
    assert "Did you mean 'status'?" in raised.value.hint


def test_every_kind_lists_by_its_name_and_status_where_it_has_one(cloud: Cloud) -> None:
    for kind in Kind:
        assert list(getattr(cloud, kind.value).list(name="nobody")) == []


def test_other_projects_are_seen_when_asked_for(cloud: Cloud) -> None:
    theirs = cloud.for_project("other").volumes.create("theirs", size_gib=1)
    assert list(cloud.volumes.list()) == []
    assert list(cloud.volumes.list(all_projects=True)) == [theirs]
