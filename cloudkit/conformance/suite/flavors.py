"""Flavors, key pairs and server groups."""

from __future__ import annotations

from typing import Any

import pytest

from cloudkit import Cloud, InvalidRequest, NotFound
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import PUBLIC_KEY, Lab

NOBODY = "00000000-0000-4000-8000-000000000000"

BAD_SIZES: dict[str, dict[str, Any]] = {
    "no vcpu": {"vcpus": 0},
    "negative vcpus": {"vcpus": -1},
    "half a vcpu": {"vcpus": 1.5},
    "true vcpus": {"vcpus": True},
    "no memory": {"ram_mib": 0},
    "memory in words": {"ram_mib": "512"},
    "negative disk": {"disk_gib": -1},
    "a disk beyond all": {"disk_gib": 1 << 40},
    "extra specs that are no text": {"extra_specs": {"a": 1}},
    "unknown visibility": {"visibility": "secret"},
}


class TestFlavors(Conformance):
    def test_its_size_is_kept(self, lab: Lab, cloud: Cloud) -> None:
        flavor = cloud.flavors.create(lab.name("flavor"), vcpus=2, ram_mib=192, disk_gib=3)
        assert (flavor.vcpus, flavor.ram_mib, flavor.disk_gib, flavor.visibility) == (2, 192, 3, "public")
        assert cloud.flavors.get(flavor) == flavor

    def test_its_extra_specs_are_kept(self, lab: Lab, cloud: Cloud) -> None:
        flavor = lab.flavor_of(cloud, extra_specs={"hw:cpu_policy": "shared"})
        assert flavor.extra_specs == {"hw:cpu_policy": "shared"}
        assert cloud.flavors.get(flavor).extra_specs == flavor.extra_specs

    def test_other_projects_see_a_public_one(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        flavor = lab.flavor_of(cloud)
        assert other.flavors.get(flavor.name).id == flavor.id
        assert lab.server(other, flavor=flavor.name).flavor_id == flavor.id

    def test_other_projects_do_not_see_a_private_one(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        flavor = lab.flavor_of(cloud, visibility="private")
        assert flavor.visibility == "private"
        assert cloud.flavors.get(flavor.name).id == flavor.id
        assert other.flavors.find(flavor.name) is None
        assert flavor.id not in {each.id for each in other.flavors.list()}
        with pytest.raises(NotFound):
            other.flavors.get(flavor.id)

    def test_a_new_one_is_found_at_once(self, lab: Lab, cloud: Cloud) -> None:
        name = lab.name("flavor")
        for _ in range(2):
            assert cloud.flavors.find(name) is None
            flavor = lab.flavor_of(cloud, name=name)
            assert cloud.flavors.get(name).id == flavor.id
            cloud.flavors.delete(flavor)

    @pytest.mark.parametrize("what", BAD_SIZES)
    def test_a_bad_size_is_refused(self, lab: Lab, what: str) -> None:
        before = lab.inventory()
        with pytest.raises(InvalidRequest):
            lab.flavor_of(lab.cloud, **BAD_SIZES[what])
        assert lab.inventory() == before


class TestKeyPairs(Conformance):
    def test_its_id_is_its_name(self, lab: Lab, cloud: Cloud) -> None:
        key_pair = cloud.key_pairs.create(lab.name("key"), public_key=PUBLIC_KEY)
        assert key_pair.id == key_pair.name

    def test_key_and_fingerprint_are_told(self, lab: Lab, cloud: Cloud) -> None:
        key_pair = cloud.key_pairs.create(lab.name("key"), public_key=PUBLIC_KEY)
        assert key_pair.public_key.split()[:2] == PUBLIC_KEY.split()[:2]
        assert key_pair.fingerprint.startswith("SHA256:") or key_pair.fingerprint.count(":") == 15
        assert cloud.key_pairs.get(key_pair) == key_pair

    def test_the_same_key_has_several_names(self, lab: Lab, cloud: Cloud) -> None:
        one, two = (cloud.key_pairs.create(lab.name("key"), public_key=PUBLIC_KEY) for _ in range(2))
        assert one.fingerprint == two.fingerprint
        cloud.key_pairs.delete(one)
        assert cloud.key_pairs.get(two.name).name == two.name

    @pytest.mark.parametrize(
        "public_key",
        [
            "",
            "a key",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            PUBLIC_KEY.replace("AAAAC3", "AAAAC4"),
            f"{PUBLIC_KEY}\n{PUBLIC_KEY}",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
            None,
            b"ssh-ed25519",
        ],
        ids=["empty", "words", "type", "short", "damaged", "two", "private", "none", "bytes"],
    )
    def test_what_is_no_public_key_is_refused(self, lab: Lab, public_key: Any) -> None:
        name = lab.name("key")
        with pytest.raises(InvalidRequest) as raised:
            lab.cloud.key_pairs.create(name, public_key=public_key)
        assert "b3BlbnNzaC1rZXktdjE" not in str(raised.value)
        assert lab.cloud.key_pairs.find(name) is None


@needs("server_groups")
class TestServerGroups(Conformance):
    @pytest.mark.parametrize("policy", ["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"])
    def test_its_policy_is_kept(self, lab: Lab, cloud: Cloud, policy: str) -> None:
        group = cloud.server_groups.create(lab.name("group"), policy=policy)
        assert (group.policy, group.server_ids) == (policy, ())
        assert cloud.server_groups.get(group) == group

    @pytest.mark.parametrize("policy", ["", "near", None, ["affinity"]])
    def test_an_unknown_policy_is_refused(self, lab: Lab, policy: Any) -> None:
        with pytest.raises(InvalidRequest):
            lab.cloud.server_groups.create(lab.name("group"), policy=policy)
