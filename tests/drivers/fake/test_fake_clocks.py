from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import cloudkit
from cloudkit import Cloud, Image, WaitTimeout
from cloudkit.types import Kind
from cloudkit_fake.clock import LONGEST_NAP_S, RealClock, VirtualClock, to_datetime
from cloudkit_fake.images import empty_qcow2


def test_virtual_time_starts_now_and_moves_only_when_told() -> None:
    clock = VirtualClock()
    began = clock.now()
    assert began == pytest.approx(time.time(), abs=5)
    clock.wake()
    assert clock.now() == began
    clock.advance(3)
    clock.sleep(began + 1)
    assert clock.now() == began + 3
    clock.sleep(began + 10)
    assert clock.now() == began + 10
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


def test_a_wait_moves_virtual_time_to_the_next_change_and_no_further(driver: Any, cloud: Cloud) -> None:
    volume = cloud.volumes.create("v", size_gib=1, wait=False)
    began = driver.now()
    driver.wait_change(Kind.VOLUME, 100)
    assert driver.now() == pytest.approx(began + 1)
    assert cloud.volumes.get(volume).status == "available"
    driver.wait_change(Kind.VOLUME, 100)
    assert driver.now() == pytest.approx(began + 101)


def test_an_hour_of_waiting_takes_no_time(cloud: Cloud, image: Image) -> None:
    cloud.native.boot_seconds = 3600
    began = time.monotonic()
    arguments: dict[str, Any] = {"image": image, "flavor": "m1.tiny", "networks": "none"}
    with pytest.raises(WaitTimeout):
        cloud.servers.create("late", **arguments, timeout_s=3000)
    assert cloud.servers.create("web", **arguments, timeout_s=4000).status == "ACTIVE"
    assert time.monotonic() - began < 30


def test_advance_lets_happen_what_is_due(cloud: Cloud, image: Image) -> None:
    server = cloud.servers.create("web", image=image, flavor="m1.tiny", networks="none", wait=False)
    cloud.native.clock.advance(4.9)
    assert cloud.servers.get(server).status == "BUILD"
    cloud.native.clock.advance(0.2)
    assert cloud.servers.get(server).status == "ACTIVE"


def test_what_comes_instead_of_something_comes_at_its_own_time(cloud: Cloud, image: Image) -> None:
    cloud.native.task_seconds = 60
    server = cloud.servers.create("web", image=image, flavor="m1.tiny", networks="none", wait=False)
    cloud.servers.delete(server, wait=False)
    cloud.native.clock.advance(59)
    assert (cloud.servers.get(server).status, cloud.servers.get(server).task) == ("BUILD", "deleting")
    cloud.native.clock.advance(2)
    assert list(cloud.servers.list()) == []


def test_values_have_the_clouds_time(driver: Any, cloud: Cloud) -> None:
    cloud.native.clock.advance(86400)
    assert cloud.networks.create("n").created_at == to_datetime(driver.now())


def test_the_real_clock_sleeps_no_longer_than_a_nap() -> None:
    clock = RealClock()
    began = time.monotonic()
    clock.sleep(clock.now() + 60)
    assert LONGEST_NAP_S * 0.5 < time.monotonic() - began < 30


@pytest.fixture
def long_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sleeps where there is no need is found out."""
    monkeypatch.setattr("cloudkit_fake.clock.LONGEST_NAP_S", 20.0)


def test_the_real_clock_does_not_sleep_until_a_time_that_is_past(long_naps: None) -> None:
    began = time.monotonic()
    RealClock().sleep(time.time() - 1)
    assert time.monotonic() - began < 10


def test_a_change_wakes_who_waits_on_the_real_clock(long_naps: None) -> None:
    with cloudkit.connect("fake://?clock=real") as cloud:
        driver: Any = cloud._context.driver
        woken = threading.Event()

        def wait() -> None:
            driver.wait_change(Kind.NETWORK, 20)
            woken.set()

        waiter = threading.Thread(target=wait)
        waiter.start()
        deadline = time.monotonic() + 10
        while not woken.is_set() and time.monotonic() < deadline:
            cloud.networks.find("nothing")
        waiter.join(1)
        assert woken.is_set()


def test_on_the_real_clock_nothing_takes_time_unless_asked_for(long_naps: None) -> None:
    with cloudkit.connect("fake://?clock=real") as cloud:
        image = cloud.images.upload("i", data=empty_qcow2(512))
        began = time.monotonic()
        assert cloud.servers.create("s", image=image, flavor="m1.tiny", networks="none").status == "ACTIVE"
        assert time.monotonic() - began < 10


def test_a_boot_on_the_real_clock_takes_what_it_was_told() -> None:
    with cloudkit.connect("fake://?clock=real&boot_seconds=0.2&task_seconds=0") as cloud:
        image = cloud.images.upload("i", data=empty_qcow2(512))
        began = time.monotonic()
        cloud.servers.create("s", image=image, flavor="m1.tiny", networks="none")
        assert 0.2 <= time.monotonic() - began < 5
