"""Waits: for a status, with a deadline, telling how it goes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cloudkit import Cloud, InvalidRequest, NotFound, WaitTimeout
from cloudkit.conformance.base import Conformance
from cloudkit.conformance.lab import PUBLIC_KEY, Lab


class TestWaits(Conformance):
    def test_a_status_that_is_there_is_returned_at_once(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        assert cloud.servers.wait(server, "ACTIVE", timeout_s=0).id == server.id
        assert cloud.servers.wait(server, ["SHUTOFF", "ACTIVE"], timeout_s=0).status == "ACTIVE"

    def test_a_status_that_comes_is_waited_for(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, wait=False)
        cloud.servers.wait(server)
        assert cloud.servers.wait(server.name, "ACTIVE").status == "ACTIVE"

    def test_a_deadline_ends_it_and_nothing_is_deleted(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        with pytest.raises(WaitTimeout) as raised:
            cloud.volumes.wait(volume, "in-use", timeout_s=0.3)
        assert isinstance(raised.value, TimeoutError)
        assert raised.value.resource == volume
        assert raised.value.operation == "volumes.wait"
        assert raised.value.hint
        assert cloud.volumes.get(volume).status == "available"

    def test_no_time_at_all_means_one_look(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        started = time.monotonic()
        with pytest.raises(WaitTimeout):
            cloud.volumes.wait(volume, "in-use", timeout_s=0)
        assert time.monotonic() - started < 5

    def test_progress_is_told(self, lab: Lab, cloud: Cloud) -> None:
        seen: list[Any] = []
        volume = cloud.volumes.wait(lab.volume(cloud, wait=False), on_progress=seen.append)
        assert seen
        assert seen[-1] == volume
        assert {each.id for each in seen} == {volume.id}

    def test_what_is_gone_is_not_found(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        cloud.volumes.delete(volume)
        with pytest.raises(NotFound):
            cloud.volumes.wait(volume, "in-use")

    def test_an_unknown_status_is_refused(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        for status in ("READY", "", [], ["available", "READY"], 7):
            with pytest.raises(InvalidRequest):
                cloud.volumes.wait(volume, status)  # type: ignore[arg-type]

    def test_a_kind_without_a_status_cannot_be_waited_for_one(self, lab: Lab, cloud: Cloud) -> None:
        key_pair = cloud.key_pairs.create(lab.name("key"), public_key=PUBLIC_KEY)
        with pytest.raises(InvalidRequest):
            cloud.key_pairs.wait(key_pair, "ACTIVE")
        assert cloud.key_pairs.wait(key_pair) == key_pair

    @pytest.mark.parametrize("timeout_s", [-1, "5", float("nan"), True])
    def test_what_is_no_time_is_refused(self, lab: Lab, cloud: Cloud, timeout_s: Any) -> None:
        volume = lab.volume(cloud)
        with pytest.raises(InvalidRequest):
            cloud.volumes.wait(volume, "in-use", timeout_s=timeout_s)
        with pytest.raises(InvalidRequest):
            cloud.volumes.delete(volume, timeout_s=timeout_s)
        assert cloud.volumes.get(volume).status == "available"
