"""A wait survives libvirtd: killed, started again, or hanging."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

import libvirt  # type: ignore[import-untyped, unused-ignore]
import pytest
from bed import LibvirtBed
from saved_guest import connect, deleting_all

from cloudkit import Cloud
from cloudkit.errors import Unavailable, WaitTimeout
from cloudkit.types import Kind, Server, ServerStatus
from cloudkit_libvirt import opening

LONG_S = 120.0
"""Far longer than anything here takes: a wait that only ends by looking again at its deadline fails the test."""
SOON_S = 60.0


@pytest.fixture
def empty(cloud: Cloud) -> Generator[Cloud]:
    with deleting_all(cloud):
        yield cloud


@pytest.fixture
def server(empty: Cloud) -> Server:
    empty.images.upload("blank", data=io.BytesIO(bytes(4096)), disk_format="raw")
    empty.flavors.create("small", vcpus=1, ram_mib=32, disk_gib=1)
    return empty.servers.create("server", image="blank", flavor="small", networks="none")


def in_thread(call: Callable[[], Any]) -> Future[Any]:
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done


def cut_power(bed: LibvirtBed, server: Server) -> None:
    """As virsh would, by a connection of its own."""
    connection = libvirt.open(bed.uri)
    try:
        domain = connection.lookupByUUIDString(server.id)
        # Answered when the daemon has taken the guest over again; one that it loses on the way sends no event.
        domain.memoryStats()
        domain.destroy()
    finally:
        connection.close()


@pytest.mark.parametrize("outage", ["short", "seen by the wait"])
def test_a_wait_goes_on_after_the_daemon_was_killed(
    bed: LibvirtBed, empty: Cloud, server: Server, monkeypatch: pytest.MonkeyPatch, outage: str
) -> None:
    monkeypatch.setattr("cloudkit._wait.LONGEST_PAUSE_S", LONG_S)
    looked = threading.Event()
    waiting = in_thread(
        lambda: empty.servers.wait(server, ServerStatus.SHUTOFF, timeout_s=LONG_S, on_progress=lambda _: looked.set())
    )
    assert looked.wait(SOON_S)
    bed.kill_libvirtd()
    if outage != "short":
        with pytest.raises(Unavailable):
            list(empty.servers.list())
    # The wait has connected again when it has seen the server as it still is.
    looked.clear()
    bed.start_libvirtd()
    assert looked.wait(SOON_S)
    cut_power(bed, server)
    assert waiting.result(SOON_S).status is ServerStatus.SHUTOFF


def test_a_change_while_the_daemon_was_dead_is_seen(
    bed: LibvirtBed, empty: Cloud, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudkit._wait.LONGEST_PAUSE_S", LONG_S)
    looked = threading.Event()
    waiting = in_thread(
        lambda: empty.servers.wait(
            server,
            (ServerStatus.SHUTOFF, ServerStatus.ERROR),
            timeout_s=LONG_S,
            on_progress=lambda _: looked.set(),
        )
    )
    assert looked.wait(SOON_S)
    bed.kill_libvirtd()
    bed.kill_guests()
    bed.start_libvirtd()
    assert waiting.result(SOON_S).status in (ServerStatus.SHUTOFF, ServerStatus.ERROR)


def test_a_wait_for_a_daemon_that_does_not_come_back_ends_at_its_deadline(
    bed: LibvirtBed, empty: Cloud, server: Server
) -> None:
    bed.kill_libvirtd()
    try:
        with pytest.raises(Unavailable):
            empty.servers.wait(server, ServerStatus.SHUTOFF, timeout_s=1)
    finally:
        bed.start_libvirtd()
    looked = threading.Event()
    waiting = in_thread(
        lambda: empty.servers.wait(server, ServerStatus.SHUTOFF, timeout_s=3, on_progress=lambda _: looked.set())
    )
    assert looked.wait(SOON_S)
    bed.kill_libvirtd()
    try:
        with pytest.raises(WaitTimeout, match="libvirt does not answer"):
            waiting.result(SOON_S)
    finally:
        bed.start_libvirtd()


def test_a_daemon_that_hangs_is_given_up_and_taken_again_when_it_goes_on(
    bed: LibvirtBed, empty: Cloud, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "KEEPALIVE_INTERVAL_S", 1)
    monkeypatch.setattr(opening, "KEEPALIVE_COUNT", 1)
    monkeypatch.setattr(opening, "OPEN_TIMEOUT_S", 0.5)
    with connect(bed) as cloud:
        driver = cloud._context.driver
        driver.wait_change(Kind.SERVER, 0)
        pid = bed.libvirtd_pid()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            # Nobody asks it anything: the silence is noticed all the same, and ends the pause.
            in_thread(lambda: driver.wait_change(Kind.SERVER, LONG_S)).result(SOON_S)
            with pytest.raises(Unavailable, match="does not answer"):
                cloud.servers.get(server)
        finally:
            os.kill(pid, signal.SIGCONT)
        monkeypatch.setattr(opening, "OPEN_TIMEOUT_S", SOON_S)
        assert cloud.servers.get(server).status is ServerStatus.ACTIVE


def test_a_stop_survives_that_the_daemon_is_killed_while_it_is_waited_for(
    bed: LibvirtBed, empty: Cloud, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest has no system to shut down: after the time for that, the power is cut, by another daemon."""
    driver = empty._context.driver
    wait_change, waits = driver.wait_change, threading.Event()

    def wait_noted(kind: Kind, timeout_s: float) -> None:
        waits.set()
        wait_change(kind, timeout_s)

    monkeypatch.setattr(driver, "wait_change", wait_noted)
    stopping = in_thread(lambda: empty.servers.stop(server, timeout_s=2))
    assert waits.wait(SOON_S)
    bed.restart_libvirtd()
    assert stopping.result(SOON_S).status is ServerStatus.SHUTOFF
    assert empty.servers.start(server).status is ServerStatus.ACTIVE
