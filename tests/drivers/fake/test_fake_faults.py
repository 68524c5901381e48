"""What goes wrong on purpose: each behaviour, and which requests it is met by."""

from __future__ import annotations

import time
from typing import Any

import pytest

import cloudkit
from cloudkit import (
    Cloud,
    CloudError,
    Image,
    QuotaExceeded,
    ResourceFailed,
    Server,
    Unavailable,
    WaitTimeout,
)
from cloudkit.testing import Delay, Disconnect, Fail, Faults, Hang, LoseAnswer, Raise


@pytest.fixture
def faults(cloud: Cloud, image: Image) -> Faults:
    faults: Faults = cloud.native.faults
    faults.clear()
    return faults


def boot(cloud: Cloud, image: Image, name: str = "web", **how: Any) -> Server:
    return cloud.servers.create(name, image=image, flavor="m1.tiny", networks="none", **how)


def names(cloud: Cloud) -> list[str]:
    return [server.name for server in cloud.servers.list()]


def test_raise_refuses_and_does_nothing(cloud: Cloud, image: Image, faults: Faults) -> None:
    fault = faults.add("servers.create", Raise(QuotaExceeded("no more")))
    with pytest.raises(QuotaExceeded, match="no more"):
        boot(cloud, image)
    assert names(cloud) == []
    assert fault.met == 1
    assert boot(cloud, image).status == "ACTIVE"


def test_a_foreign_error_is_translated(cloud: Cloud, faults: Faults) -> None:
    faults.add("networks.list", Raise(RuntimeError("boom")))
    with pytest.raises(CloudError, match="boom"):
        list(cloud.networks.list())


def test_disconnect_does_nothing_and_a_retry_works(cloud: Cloud, image: Image, faults: Faults) -> None:
    faults.add("networks.create", Disconnect())
    with pytest.raises(Unavailable, match="refused"):
        cloud.networks.create("n")
    assert cloud.networks.find("n") is None
    assert cloud.networks.create("n").name == "n"


def test_a_lost_answer_was_done_and_is_found_again(cloud: Cloud, image: Image, faults: Faults) -> None:
    faults.add("servers.create", LoseAnswer())
    assert boot(cloud, image).status == "ACTIVE"
    assert names(cloud) == ["web"]
    assert faults.calls["servers.create"] == 1


def test_delay_takes_the_clouds_time(driver: Any, cloud: Cloud, faults: Faults) -> None:
    faults.add("networks.create", Delay(7))
    began = driver.now()
    cloud.networks.create("n")
    assert driver.now() - began == pytest.approx(7)


def test_delay_on_the_real_clock_is_slept() -> None:
    with cloudkit.connect("fake://?clock=real") as cloud:
        cloud.native.faults.add("networks.create", Delay(0.15))
        began = time.monotonic()
        cloud.networks.create("n")
        assert 0.15 <= time.monotonic() - began < 5


def test_fail_leads_to_error_with_its_fault(cloud: Cloud, image: Image, faults: Faults) -> None:
    faults.add("servers.create", Fail("No valid host was found.", code=501))
    with pytest.raises(ResourceFailed) as caught:
        boot(cloud, image, on_failure="keep")
    assert caught.value.fault == "No valid host was found."
    server = cloud.servers.get("web")
    assert (server.status, server.task) == ("ERROR", None)
    assert server.fault is not None
    assert (server.fault.code, server.fault.created_at is None) == (501, False)


@pytest.mark.parametrize("kind", ["volumes", "snapshots", "backups", "images"])
def test_fail_leads_to_the_error_status_of_each_kind(cloud: Cloud, faults: Faults, kind: str) -> None:
    volume = cloud.volumes.create("v", size_gib=1)
    faults.add(f"{kind}.create", Fail("broken"))
    create = {
        "volumes": lambda: cloud.volumes.create("w", size_gib=1),
        "snapshots": lambda: cloud.snapshots.create("w", volume=volume),
        "backups": lambda: cloud.backups.create("w", volume=volume),
        "images": lambda: cloud.images.upload("w", data=bytes(512)),
    }[kind]
    with pytest.raises(ResourceFailed):
        create()
    assert getattr(cloud, kind).find("w") is None


def test_fail_of_a_verb_is_the_things_own(cloud: Cloud, image: Image, faults: Faults) -> None:
    server = boot(cloud, image)
    faults.add("servers.reboot", Fail("no power"))
    with pytest.raises(ResourceFailed, match="no power"):
        cloud.servers.reboot(server)


def test_fail_of_what_has_no_error_status_is_told_and_leaves_nothing(cloud: Cloud, faults: Faults) -> None:
    faults.add("networks.create", Fail())
    with pytest.raises(CloudError, match="no error status"):
        cloud.networks.create("n")
    assert cloud.networks.find("n") is None


def test_fail_and_hang_mean_nothing_for_lists_and_what_is_gone(cloud: Cloud, image: Image, faults: Faults) -> None:
    faults.add("servers.list", Fail())
    faults.add("servers.list", Hang())
    assert names(cloud) == []
    faults.add("servers.delete", Hang(), times=None)
    server = boot(cloud, image)
    cloud.servers.delete(server, wait=False)
    cloud.native.clock.advance(100)
    assert cloud.servers.get(server).task == "deleting"


def test_hang_keeps_a_server_in_build(cloud: Cloud, image: Image, faults: Faults) -> None:
    faults.add("servers.create", Hang())
    with pytest.raises(WaitTimeout):
        boot(cloud, image, timeout_s=60)
    assert cloud.servers.get("web").status == "BUILD"
    cloud.servers.delete("web")


def test_where_asks_for_attributes_of_the_request(cloud: Cloud, image: Image, faults: Faults) -> None:
    faults.add("servers.create", Raise(QuotaExceeded("no")), where={"name": "db-*"}, times=None)
    assert boot(cloud, image, "web-1").status == "ACTIVE"
    with pytest.raises(QuotaExceeded):
        boot(cloud, image, "db-1")


def test_where_asks_for_attributes_of_the_thing(cloud: Cloud, image: Image, faults: Faults) -> None:
    web, db = boot(cloud, image, "web"), boot(cloud, image, "db")
    faults.add("servers.stop", Raise(QuotaExceeded("no")), where={"name": "db"}, times=None)
    assert cloud.servers.stop(web).status == "SHUTOFF"
    with pytest.raises(QuotaExceeded):
        cloud.servers.stop(db)
    faults.add("servers.get", Raise(QuotaExceeded("no")), where={"id": "gone"})
    with pytest.raises(QuotaExceeded):
        cloud._context.driver.compute.servers.get("gone")  # type: ignore[attr-defined]


def outcome(cloud: Cloud, count: int) -> str:
    """``x`` for each request that is refused."""
    text = ""
    for _ in range(count):
        try:
            cloud.networks.find("n")
            text += "."
        except QuotaExceeded:
            text += "x"
    return text


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ({}, "x........."),
        ({"times": 3}, "xxx......."),
        ({"times": None}, "xxxxxxxxxx"),
        ({"skip": 2}, "..x......."),
        ({"skip": 1, "times": 2}, ".xx......."),
        ({"every": 3, "times": None}, "..x..x..x."),
        ({"every": 2, "times": 2}, ".x.x......"),
        ({"skip": 3, "every": 2, "times": None}, "....x.x.x."),
    ],
)
def test_skip_times_and_every_count_matching_requests(
    cloud: Cloud, faults: Faults, script: dict[str, Any], expected: str
) -> None:
    fault = faults.add("networks.list", Raise(QuotaExceeded("no")), **script)
    assert outcome(cloud, 10) == expected
    assert fault.met == expected.count("x")


def test_operations_match_as_file_names_do(cloud: Cloud, faults: Faults) -> None:
    star = faults.add("*", Delay(0), times=None)
    some = faults.add("net*.l?st", Delay(0), times=None)
    cloud.networks.find("n")
    cloud.volumes.find("v")
    assert (star.met, some.met) == (2, 1)


def test_several_behaviours_meet_one_request(driver: Any, cloud: Cloud, faults: Faults) -> None:
    faults.add("networks.create", Delay(2))
    faults.add("networks.*", Disconnect())
    began = driver.now()
    with pytest.raises(Unavailable):
        cloud.networks.create("n")
    assert driver.now() - began == pytest.approx(2)


def test_clear_ends_the_script_and_the_counts(cloud: Cloud, faults: Faults) -> None:
    faults.add("*", Disconnect(), times=None)
    with pytest.raises(Unavailable):
        cloud.networks.find("n")
    assert faults.calls["networks.list"] == 1
    faults.clear()
    assert faults.calls.total() == 0
    cloud.networks.find("n")
    assert faults.calls["networks.list"] == 1


def test_impossible_counts_are_refused(faults: Faults) -> None:
    with pytest.raises(ValueError, match="from 1"):
        faults.add("*", Hang(), every=0)
    with pytest.raises(ValueError, match="from 0"):
        faults.add("*", Hang(), skip=-1)


def test_what_is_raised_again_is_not_the_same_object(cloud: Cloud, faults: Faults) -> None:
    error = QuotaExceeded("no more")
    faults.add("networks.list", Raise(error), times=None)
    for _ in range(2):
        with pytest.raises(QuotaExceeded) as caught:
            cloud.networks.find("n")
        assert caught.value is not error
    assert error.operation is None
