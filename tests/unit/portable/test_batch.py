from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from cloudkit import BatchFailed, Cloud, InvalidRequest, QuotaExceeded, ServerStatus, Unavailable, WaitTimeout
from cloudkit.testing import Disconnect, Fail, Faults, Hang, Raise


@pytest.fixture(autouse=True)
def _no_quotas(cloud: Cloud) -> None:
    cloud.native.quotas.update(dict.fromkeys(cloud.native.quotas, -1))


def specs(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"name": f"s{number}", **more} for number in range(count)]


def test_they_are_returned_usable_and_in_order(cloud: Cloud, server_args: dict[str, Any]) -> None:
    servers = cloud.servers.create_many(specs(40, **server_args))
    assert [server.name for server in servers] == [f"s{number}" for number in range(40)]
    assert {server.status for server in servers} == {ServerStatus.ACTIVE}
    assert len({server.addresses[0].ip for server in servers}) == 40


def test_none_is_nothing(cloud: Cloud, calls: Counter[str]) -> None:
    assert cloud.servers.create_many([]) == ()
    assert not calls


def test_names_are_looked_up_once(cloud: Cloud, server_args: dict[str, Any], calls: Counter[str]) -> None:
    server_args.update(image="blank", networks=["private"])
    calls.clear()
    cloud.servers.create_many(specs(10, **server_args))
    looked = {name: number for name, number in calls.items() if name.endswith(".list") and name != "servers.list"}
    assert looked == {"images.list": 1, "flavors.list": 1, "networks.list": 1}
    assert calls["servers.create"] == 10


def test_the_one_network_is_looked_for_once(cloud: Cloud, server_args: dict[str, Any], calls: Counter[str]) -> None:
    del server_args["networks"]
    calls.clear()
    cloud.servers.create_many(specs(5, **server_args))
    assert calls["networks.list"] == 1


def test_many_are_waited_for_by_one_list_a_look(
    cloud: Cloud, server_args: dict[str, Any], calls: Counter[str]
) -> None:
    cloud.servers.create_many(specs(50, **server_args))
    assert calls["servers.get"] == 0
    assert 1 <= calls["servers.list"] <= 3


def test_progress_is_told_for_each(cloud: Cloud) -> None:
    seen: Counter[str] = Counter()
    cloud.volumes.create_many(specs(3, size_gib=1), on_progress=lambda value: seen.update([value.name]))
    assert set(seen) == {"s0", "s1", "s2"}


def test_one_that_fails_takes_the_others_with_it(
    cloud: Cloud, server_args: dict[str, Any], fake_faults: Faults
) -> None:
    fake_faults.add("servers.create", Fail("No valid host was found."), where={"name": "s3"})
    with pytest.raises(BatchFailed) as raised:
        cloud.servers.create_many(specs(5, **server_args))
    error = raised.value
    assert [position for position, _ in error.failed] == [3]
    assert getattr(error.failed[0][1], "fault", None) == "No valid host was found."
    assert error.created == ()
    assert error.operation == "servers.create_many"
    assert "1 of 5 servers failed" in str(error)
    assert isinstance(error, ExceptionGroup)
    assert list(cloud.servers.list()) == []
    assert list(cloud.ports.list()) == []


def test_those_that_were_made_are_kept_when_asked_for(
    cloud: Cloud, server_args: dict[str, Any], fake_faults: Faults
) -> None:
    fake_faults.add("servers.create", Fail(), where={"name": "s3"})
    with pytest.raises(BatchFailed) as raised:
        cloud.servers.create_many(specs(5, **server_args), on_failure="keep")
    assert [value.name for value in raised.value.created] == ["s0", "s1", "s2", "s4"]
    assert {server.name for server in cloud.servers.list()} == {f"s{number}" for number in range(5)}


def test_after_a_refusal_nothing_new_is_started(
    cloud: Cloud, fake_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudkit._batch.IN_FLIGHT", 1)
    fake_faults.add("volumes.create", Raise(QuotaExceeded("no more")), skip=4)
    with pytest.raises(BatchFailed) as raised:
        cloud.volumes.create_many(specs(100, size_gib=1), on_failure="keep")
    assert [position for position, _ in raised.value.failed] == [4]
    assert len(raised.value.created) == 4
    assert fake_faults.calls["volumes.create"] == 5


def test_those_that_are_late_are_told_and_nothing_is_deleted(
    cloud: Cloud, server_args: dict[str, Any], fake_faults: Faults
) -> None:
    fake_faults.add("servers.create", Hang(), where={"name": "s1"})
    with pytest.raises(BatchFailed) as raised:
        cloud.servers.create_many(specs(3, **server_args), timeout_s=60)
    assert [position for position, _ in raised.value.failed] == [1]
    assert isinstance(raised.value.failed[0][1], WaitTimeout)
    assert [value.name for value in raised.value.created] == ["s0", "s2"]
    assert len(list(cloud.servers.list())) == 3


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"name": "x"}, "spec 1: missing a required"),
        ({"name": "x", "size_gib": 1, "wait": False}, "wait is an argument of the batch"),
        ({"name": "x", "sizegib": 1}, "create takes no 'sizegib'"),
        ("x", "a mapping of create's arguments is expected"),
    ],
)
def test_a_wrong_spec_is_refused_before_anything_is_sent(
    cloud: Cloud, calls: Counter[str], bad: Any, says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says):
        cloud.volumes.create_many([{"name": "good", "size_gib": 1}, bad])
    assert not calls


def test_what_is_no_error_of_the_cloud_goes_on_as_it_is(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any, **_kwargs: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("cloudkit._volume.VolumeSpec", broken)
    with pytest.raises(ZeroDivisionError):
        cloud.volumes.create_many(specs(3, size_gib=1))
    assert list(cloud.volumes.list()) == []


def test_an_interrupt_deletes_what_was_made(cloud: Cloud) -> None:
    def interrupt(_value: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cloud.volumes.create_many(specs(3, size_gib=1), on_progress=interrupt)
    assert list(cloud.volumes.list()) == []


def test_the_threads_have_ended(cloud: Cloud) -> None:
    cloud.volumes.create_many(specs(5, size_gib=1))
    assert [thread for thread in threading.enumerate() if thread.name.startswith("cloudkit-batch")] == []


def test_a_service_that_goes_away_is_one_clear_failure(cloud: Cloud, fake_faults: Faults) -> None:
    fake_faults.add("volumes.*", Disconnect(), times=None)
    with pytest.raises(BatchFailed) as raised:
        cloud.volumes.create_many(specs(3, size_gib=1))
    assert all(isinstance(error, Unavailable) for _, error in raised.value.failed)
