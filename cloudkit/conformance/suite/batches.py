"""Many at once: in order, all usable, or none."""

from __future__ import annotations

from typing import Any

import pytest

from cloudkit import AlreadyExists, BatchFailed, Cloud, InvalidRequest, Kind, NotFound
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import PUBLIC_KEY, Lab


class TestBatches(Conformance):
    def test_servers_are_returned_in_order_and_running(self, lab: Lab, cloud: Cloud) -> None:
        names = [lab.name("server") for _ in range(3)]
        servers = cloud.servers.create_many(
            [{"name": name, "image": lab.image, "flavor": lab.flavor.name, "networks": "none"} for name in names]
        )
        assert [server.name for server in servers] == names
        assert {server.status for server in servers} == {"ACTIVE"}
        assert [cloud.servers.get(server) for server in servers] == list(servers)

    def test_volumes_are_returned_in_order_and_available(self, lab: Lab, cloud: Cloud) -> None:
        names = [lab.name("volume") for _ in range(8)]
        volumes = cloud.volumes.create_many({"name": name, "size_gib": 1} for name in names)
        assert [volume.name for volume in volumes] == names
        assert {volume.status for volume in volumes} == {"available"}

    @needs("networks.create", "subnets.create")
    def test_servers_of_a_batch_have_different_addresses(self, lab: Lab, cloud: Cloud) -> None:
        servers = cloud.servers.create_many(
            [
                {"name": lab.name(), "image": lab.image, "flavor": lab.flavor, "networks": [lab.network.name]}
                for _ in range(4)
            ]
        )
        assert len({server.addresses[0].ip for server in servers}) == 4

    def test_of_nothing_nothing_comes(self, lab: Lab) -> None:
        assert list(lab.cloud.volumes.create_many([])) == []

    def test_one_that_fails_takes_the_others_with_it(self, lab: Lab, cloud: Cloud) -> None:
        taken = cloud.key_pairs.create(lab.name("key"), public_key=PUBLIC_KEY)
        before = lab.inventory(Kind.KEY_PAIR)
        with pytest.raises(BatchFailed) as raised:
            cloud.key_pairs.create_many(_keys(lab.name("key"), taken.name, lab.name("key")))
        assert isinstance(raised.value, ExceptionGroup)
        ((position, error),) = raised.value.failed
        assert position == 1
        assert isinstance(error, AlreadyExists)
        assert raised.value.created == ()
        assert lab.inventory(Kind.KEY_PAIR) == before

    def test_with_keep_the_others_stay(self, lab: Lab, cloud: Cloud) -> None:
        taken = cloud.key_pairs.create(lab.name("key"), public_key=PUBLIC_KEY)
        with pytest.raises(BatchFailed) as raised:
            cloud.key_pairs.create_many(_keys(lab.name("key"), taken.name), on_failure="keep")
        assert [position for position, _ in raised.value.failed] == [1]
        for key_pair in raised.value.created:
            assert cloud.key_pairs.get(key_pair) == key_pair

    def test_servers_that_cannot_be_made_leave_nothing(self, lab: Lab, cloud: Cloud) -> None:
        spec = {"image": lab.image, "flavor": lab.flavor, "networks": "none"}
        before = lab.inventory(Kind.SERVER, Kind.PORT)
        with pytest.raises(BatchFailed) as raised:
            cloud.servers.create_many(
                [{"name": lab.name(), **spec}, {"name": lab.name(), **spec, "flavor": lab.name("flavor")}]
            )
        assert [(position, type(error)) for position, error in raised.value.failed] == [(1, NotFound)]
        assert lab.inventory(Kind.SERVER, Kind.PORT) == before

    @pytest.mark.parametrize(
        "specs",
        [
            [{"name": "one", "size_gib": 1}, {"name": "two"}],
            [{"name": "one", "size_gib": 1}, {"size_gib": 1}],
            [{"name": "one", "size_gib": 1}, {"name": "two", "size_gib": 1, "colour": "red"}],
            [{"name": "one", "size_gib": 1}, {"name": "two", "size_gib": 1, "wait": False}],
            [{"name": "one", "size_gib": 1}, "two"],
            [{"name": "one", "size_gib": 1}, None],
        ],
        ids=["size missing", "name missing", "unknown", "of the batch", "text", "none"],
    )
    def test_a_spec_that_is_none_is_refused_before_any_is_made(self, lab: Lab, specs: Any) -> None:
        before = lab.inventory(Kind.VOLUME)
        with pytest.raises(InvalidRequest):
            lab.cloud.volumes.create_many(specs)
        assert lab.inventory(Kind.VOLUME) == before

    def test_an_unknown_on_failure_is_refused(self, lab: Lab) -> None:
        with pytest.raises(InvalidRequest):
            lab.cloud.volumes.create_many([{"name": "one", "size_gib": 1}], on_failure="ignore")  # type: ignore[arg-type]
        assert lab.cloud.volumes.find("one") is None


def _keys(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "public_key": PUBLIC_KEY} for name in names]
