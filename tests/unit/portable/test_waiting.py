from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from cloudkit import (
    Attachment,
    Cloud,
    InvalidRequest,
    InvalidState,
    NotFound,
    ResourceFailed,
    Server,
    ServerStatus,
    VolumeStatus,
    WaitTimeout,
)
from cloudkit.testing import Disconnect, Fail, Faults, Hang, Raise


@pytest.fixture
def server(cloud: Cloud, server_args: dict[str, Any]) -> Server:
    return cloud.servers.create("web", **server_args)


def test_wait_returns_when_the_status_is_there(cloud: Cloud, server_args: dict[str, Any], fake_clock: Any) -> None:
    building = cloud.servers.create("web", **server_args, wait=False)
    before = fake_clock.now()
    assert cloud.servers.wait("web").id == building.id
    assert fake_clock.now() - before == pytest.approx(5, abs=0.01)
    assert cloud.servers.wait(building, "ACTIVE").status is ServerStatus.ACTIVE
    assert cloud.servers.wait(building, ["SHUTOFF", ServerStatus.ACTIVE]).status is ServerStatus.ACTIVE


def test_wait_for_a_status_that_does_not_come(cloud: Cloud, server: Server) -> None:
    with pytest.raises(WaitTimeout) as raised:
        cloud.servers.wait(server, ["SHUTOFF", "PAUSED"], timeout_s=12.5)
    assert "the server 'web' is ACTIVE and not PAUSED or SHUTOFF after 12.5 s" in raised.value.message
    assert raised.value.operation == "servers.wait"
    assert raised.value.console_tail is not None
    assert raised.value.resource == server


def test_the_last_trouble_is_told_with_the_deadline(cloud: Cloud, server: Server, fake_faults: Faults) -> None:
    fake_faults.add("servers.get", Disconnect(), skip=1, times=None)
    with pytest.raises(WaitTimeout) as raised:
        cloud.servers.wait(server, "SHUTOFF", timeout_s=3)
    assert "the connection was refused" in (raised.value.fault or "")
    assert raised.value.__cause__ is not None


def test_wait_ends_when_the_thing_fails(cloud: Cloud, server: Server, fake_faults: Faults) -> None:
    fake_faults.add("servers.reboot", Fail("the hypervisor is gone"))
    with pytest.raises(ResourceFailed) as raised:
        cloud.servers.reboot(server)
    assert raised.value.fault == "the hypervisor is gone"
    assert raised.value.operation == "servers.reboot"
    assert cloud.servers.wait(server, "ERROR").status is ServerStatus.ERROR


def test_wait_ends_when_the_thing_is_gone(cloud: Cloud, server: Server) -> None:
    def delete(_value: object) -> None:
        cloud.servers.delete(server, wait=False)

    with pytest.raises(NotFound, match="was deleted while it was waited for"):
        cloud.servers.wait(server, "SHUTOFF", on_progress=delete)


@pytest.mark.parametrize("status", ["RUNNING", "active", "", 5, [], ["ACTIVE", "X"]])
def test_wait_for_what_is_no_status(cloud: Cloud, server: Server, status: Any) -> None:
    with pytest.raises(InvalidRequest, match="status"):
        cloud.servers.wait(server, status)


def test_kinds_without_a_status_are_there_or_not(cloud: Cloud) -> None:
    flavor = cloud.flavors.get("m1.tiny")
    assert cloud.flavors.wait("m1.tiny") == flavor
    with pytest.raises(InvalidRequest, match="flavors have no status"):
        cloud.flavors.wait("m1.tiny", "ACTIVE")


def test_delete_returns_when_it_is_gone(cloud: Cloud, server: Server) -> None:
    cloud.servers.delete("web")
    with pytest.raises(NotFound):
        cloud.servers.get(server.id)
    with pytest.raises(NotFound):
        cloud.servers.delete(server)
    cloud.servers.delete(server, missing_ok=True)
    cloud.servers.delete("web", missing_ok=True)


def test_delete_without_waiting(cloud: Cloud, server: Server) -> None:
    cloud.servers.delete(server, wait=False)
    assert cloud.servers.get(server).task == "deleting"


def test_a_deletion_that_does_not_end_is_told(cloud: Cloud, server: Server, fake_faults: Faults) -> None:
    fake_faults.add("servers.delete", Hang())
    with pytest.raises(WaitTimeout, match=f"{server.id} is still there after 20 s") as raised:
        cloud.servers.delete(server, timeout_s=20)
    assert "may go on" in raised.value.hint


def test_a_deletion_that_failed_is_told(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = cloud.volumes.create("data", size_gib=1)
    state = cloud.native.state
    monkeypatch.setattr(
        cloud._context.driver.volume.volumes,
        "delete",
        lambda id: state.update(volume.kind, id, status=VolumeStatus.ERROR_DELETING, native_status="x"),
    )
    with pytest.raises(ResourceFailed, match="error_deleting"):
        cloud.volumes.delete(volume)


def test_stop_asks_the_guest_first_and_then_cuts_the_power(
    cloud: Cloud, server: Server, fake_faults: Faults, fake_clock: Any
) -> None:
    fake_faults.add("servers.stop", Hang(), times=5)
    before = fake_clock.now()
    monkey_free(cloud, server)
    stopped = cloud.servers.stop(server, timeout_s=45)
    assert stopped.status is ServerStatus.SHUTOFF
    assert fake_faults.calls["servers.stop"] == 6
    assert fake_clock.now() - before >= 45


def monkey_free(cloud: Cloud, server: Server) -> None:
    """A guest that ignores the request keeps its server ACTIVE and without a task, as libvirt shows it."""
    part = cloud._context.driver.compute.servers
    stop = part.stop

    def ignoring(id: str, hard: bool) -> None:
        stop(id, hard)
        if not hard:
            cloud.native.state.update(server.kind, id, task=None)

    part.stop = ignoring  # type: ignore[method-assign]


def test_a_guest_that_did_not_hear_it_is_asked_again(cloud: Cloud, server: Server, fake_clock: Any) -> None:
    part = cloud._context.driver.compute.servers
    stop, asked_at = part.stop, list[float]()

    def booting(id: str, hard: bool) -> None:
        assert not hard
        asked_at.append(fake_clock.now())
        if len(asked_at) == 3:
            stop(id, hard)

    part.stop = booting  # type: ignore[method-assign]
    assert cloud.servers.stop(server, timeout_s=60).status is ServerStatus.SHUTOFF
    assert len(asked_at) == 3
    assert all(10 <= later - earlier < 12 for earlier, later in pairwise(asked_at))


def test_a_guest_that_is_shutting_down_is_given_its_time(
    cloud: Cloud, server: Server, fake_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud.native, "task_seconds", 25)
    assert cloud.servers.stop(server, timeout_s=60).status is ServerStatus.SHUTOFF
    assert fake_faults.calls["servers.stop"] == 3


def test_a_guest_that_shuts_down_in_the_last_moment_is_no_error(cloud: Cloud, server: Server) -> None:
    part = cloud._context.driver.compute.servers

    def too_late(id: str, hard: bool) -> None:
        if hard:
            cloud.native.state.update(server.kind, id, status=ServerStatus.SHUTOFF, native_status="SHUTOFF")
            raise InvalidState("it is off")

    part.stop = too_late  # type: ignore[method-assign]
    assert cloud.servers.stop(server, timeout_s=1).status is ServerStatus.SHUTOFF


def test_cutting_the_power_of_what_cannot_be_cut_is_an_error(
    cloud: Cloud, server: Server, fake_faults: Faults
) -> None:
    fake_faults.add("servers.stop", Raise(InvalidState("no")))
    with pytest.raises(InvalidState, match="no"):
        cloud.servers.stop(server, hard=True)


def test_the_verbs_lead_to_their_statuses(cloud: Cloud, server: Server) -> None:
    servers = cloud.servers
    assert servers.pause("web").status is ServerStatus.PAUSED
    assert servers.unpause("web").status is ServerStatus.ACTIVE
    assert servers.suspend(server).status is ServerStatus.SUSPENDED
    assert servers.resume(server.id).status is ServerStatus.ACTIVE
    assert servers.shelve(server).status is ServerStatus.SHELVED_OFFLOADED
    assert servers.unshelve(server).status is ServerStatus.ACTIVE
    assert servers.stop(server).status is ServerStatus.SHUTOFF
    assert servers.start(server).status is ServerStatus.ACTIVE
    assert servers.reboot(server).status is ServerStatus.ACTIVE
    assert servers.reboot(server, hard=True).status is ServerStatus.ACTIVE
    assert servers.rescue(server).status is ServerStatus.RESCUE
    assert servers.unrescue(server).status is ServerStatus.ACTIVE
    assert servers.lock(server).locked
    with pytest.raises(InvalidState, match="locked"):
        servers.stop(server)
    assert not servers.unlock(server).locked
    assert servers.rebuild(server, "blank").status is ServerStatus.ACTIVE


def test_a_verb_that_the_cloud_gives_up_is_told_when_it_does(
    cloud: Cloud, server: Server, monkeypatch: pytest.MonkeyPatch, fake_clock: Any
) -> None:
    """As Nova does that finds no host for the new size: it accepts, and the server is what it was."""

    def give_up(id: str, _flavor_id: str) -> None:
        with cloud.native as state:
            state.update(server.kind, id, task="resize_prep", status=ServerStatus.RESIZE)
            cloud.native.later(server.kind, id, 3.0, task=None, status=ServerStatus.ACTIVE)

    monkeypatch.setattr(cloud._context.driver.compute.servers, "resize", give_up)
    before = fake_clock.now()
    with pytest.raises(ResourceFailed, match="gave it up: the server 'web' is ACTIVE again") as raised:
        cloud.servers.resize(server, "m1.small")
    assert raised.value.operation == "servers.resize"
    assert fake_clock.now() - before < 5


def test_a_rebuild_of_a_stopped_server_is_awaited_until_it_is_off_again(
    cloud: Cloud, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Nova does it: the new guest runs, for a moment without any task, before it is powered off."""
    server = cloud.servers.stop(server, hard=True)

    part = cloud._context.driver.compute.servers
    shown = iter([("REBUILD", "rebuild_spawning"), ("ACTIVE", None), ("ACTIVE", "powering-off"), ("SHUTOFF", None)])

    def get(_id: str) -> Server:
        status, task = next(shown)
        return replace(server, status=ServerStatus(status), task=task)

    monkeypatch.setattr(part, "rebuild", lambda _id, _image_id: monkeypatch.setattr(part, "get", get))
    assert cloud.servers.rebuild(server, "blank").status is ServerStatus.SHUTOFF


def test_resize_confirms_itself_unless_told_not_to(cloud: Cloud, server: Server) -> None:
    bigger = cloud.servers.resize(server, "m1.small")
    assert (bigger.status, bigger.flavor_id) == (ServerStatus.ACTIVE, "2")
    waiting = cloud.servers.resize(server, "m1.medium", confirm=False)
    assert waiting.status is ServerStatus.VERIFY_RESIZE
    back = cloud.servers.revert_resize(server)
    assert (back.status, back.flavor_id) == (ServerStatus.ACTIVE, "2")
    cloud.servers.stop(server)
    assert cloud.servers.resize(server, "m1.large").status is ServerStatus.SHUTOFF


def test_attach_and_detach_are_waited_for(cloud: Cloud, server: Server) -> None:
    volume = cloud.volumes.create("data", size_gib=1)
    attachment = cloud.volumes.attach("data", "web")
    assert isinstance(attachment, Attachment)
    assert (attachment.volume_id, attachment.server_id) == (volume.id, server.id)
    assert cloud.volumes.get(volume).status is VolumeStatus.IN_USE
    with pytest.raises(InvalidState):
        cloud.volumes.attach(volume, server)
    assert cloud.volumes.extend(volume, 2).size_gib == 2
    assert cloud.volumes.detach(volume).status is VolumeStatus.AVAILABLE
    with pytest.raises(InvalidState, match="attached to no server"):
        cloud.volumes.detach(volume)
    with pytest.raises(InvalidState, match="not attached to this server"):
        cloud.volumes.detach(volume, server)


def test_one_is_looked_at_by_get_and_several_by_list(
    cloud: Cloud, server_args: dict[str, Any], calls: Counter[str]
) -> None:
    cloud.servers.create("web", **server_args)
    assert calls["servers.list"] == 0
    assert calls["servers.get"] <= 2


def test_console_log(cloud: Cloud, server: Server) -> None:
    log = cloud.servers.console_log("web")
    assert "web login:" in log
    assert len(cloud.servers.console_log(server, 1).splitlines()) == 1
    for lines in (0, -1, "all"):
        with pytest.raises(InvalidRequest, match="lines"):
            cloud.servers.console_log(server, lines)  # type: ignore[arg-type]


def test_an_image_of_a_server(cloud: Cloud, server: Server) -> None:
    image = cloud.servers.create_image(server, "snapshot", metadata={"a": "1"}, tags=["t"])
    assert (image.status, image.server_id, image.tags) == ("active", server.id, ("t",))
    assert image.metadata == {"a": "1"}


def test_update_changes_what_may_change(cloud: Cloud, server: Server) -> None:
    changed = cloud.servers.update("web", name="db", metadata={"a": "b"}, tags=["x"], description="d")
    assert (changed.name, changed.metadata, changed.tags, changed.description) == ("db", {"a": "b"}, ("x",), "d")
    with pytest.raises(InvalidRequest, match="'flavor_id' of a server cannot be changed"):
        cloud.servers.update(server, flavor_id="x")
    with pytest.raises(InvalidRequest, match="nothing is to be changed"):
        cloud.servers.update(server)
    with pytest.raises(InvalidRequest, match="name: text is expected"):
        cloud.servers.update(server, name=5)
    assert cloud.volumes.update(cloud.volumes.create("v", size_gib=1), name="w").name == "w"
    assert cloud.networks.update("private", tags=["t"]).tags == ("t",)
    assert cloud.images.update("blank", protected=True).protected
    with pytest.raises(InvalidState, match="protected"):
        cloud.images.delete("blank")


def test_a_server_that_is_busy_is_not_there_yet(cloud: Cloud, server: Server) -> None:
    state = cloud.native.state
    state.update(server.kind, server.id, task="rebooting")
    with pytest.raises(WaitTimeout, match="is ACTIVE and not ACTIVE"):
        cloud.servers.wait(server, "ACTIVE", timeout_s=1)
    state.update(server.kind, server.id, status=ServerStatus.ERROR)
    with pytest.raises(WaitTimeout):
        cloud.servers.wait(server, timeout_s=1)


def test_what_is_shown_as_deleted_is_gone(cloud: Cloud, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    state = cloud.native.state
    monkeypatch.setattr(
        cloud._context.driver.compute.servers,
        "delete",
        lambda id: state.update(server.kind, id, status=ServerStatus.DELETED),
    )
    cloud.servers.delete(server, timeout_s=0)


def test_a_deletion_whose_looks_fail_tells_the_trouble(cloud: Cloud, server: Server, fake_faults: Faults) -> None:
    fake_faults.add("servers.delete", Hang())
    fake_faults.add("servers.get", Disconnect(), times=None)
    with pytest.raises(WaitTimeout) as raised:
        cloud.servers.delete(server, timeout_s=2)
    assert raised.value.resource == server.id
    assert "the connection was refused" in (raised.value.fault or "")
    assert raised.value.hint == "Its deletion may go on: look again later."


def test_a_deadline_without_trouble_tells_none(cloud: Cloud, server: Server, fake_faults: Faults) -> None:
    with pytest.raises(WaitTimeout) as raised:
        cloud.servers.wait(server, "SHUTOFF", timeout_s=2)
    assert raised.value.fault is None
    fake_faults.add("servers.delete", Hang())
    with pytest.raises(WaitTimeout) as raised:
        cloud.servers.delete(server, timeout_s=2)
    assert raised.value.fault is None


def test_several_that_are_late_are_counted(cloud: Cloud, server_args: dict[str, Any], fake_faults: Faults) -> None:
    fake_faults.add("volumes.create", Hang(), times=None)
    volumes = [cloud.volumes.create(f"v{number}", size_gib=1, wait=False) for number in range(3)]
    part = cloud.volumes
    with pytest.raises(
        WaitTimeout, match="the volume 'v0' is creating and not available after 4 s, and 2 more"
    ) as raised:
        part._await(volumes, part._goal(part._ready), 4)
    assert raised.value.resource == cloud.volumes.get("v0")


def test_two_are_looked_at_by_one_list(cloud: Cloud, calls: Counter[str]) -> None:
    volumes = [cloud.volumes.create(f"v{number}", size_gib=1, wait=False) for number in range(2)]
    calls.clear()
    part = cloud.volumes
    settled = part._await(volumes, part._goal(part._ready), 10)
    assert {value.status for value in settled.values() if value} == {VolumeStatus.AVAILABLE}
    assert calls["volumes.get"] == 0
    assert calls["volumes.list"] == 2


def test_a_value_that_is_fresh_needs_no_look(
    cloud: Cloud, calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[object] = []
    wait_change = cloud._context.driver.wait_change
    monkeypatch.setattr(
        cloud._context.driver,
        "wait_change",
        lambda kind, timeout_s: (waited.append(kind), wait_change(kind, timeout_s)),
    )
    cloud.volumes.create("data", size_gib=1)
    assert calls == {"volumes.create": 1, "volumes.get": 1}
    assert waited == [cloud.volumes.kind]


def test_a_failure_says_what_to_do(cloud: Cloud, fake_faults: Faults) -> None:
    fake_faults.add("volumes.create", Fail())
    with pytest.raises(ResourceFailed) as raised:
        cloud.volumes.create("data", size_gib=1)
    assert raised.value.hint == "Look at its fault and what it was made from, then create it anew."
    assert raised.value.fault is None
    assert raised.value.console_tail is None
    assert raised.value.message == "the volume 'data' went to the status error"
    assert getattr(raised.value.resource, "name", None) == "data"


def test_one_that_vanishes_is_named(cloud: Cloud, server: Server) -> None:
    def delete(_value: object) -> None:
        cloud.servers.delete(server, wait=False)

    with pytest.raises(NotFound) as raised:
        cloud.servers.wait(server, "SHUTOFF", on_progress=delete)
    assert raised.value.message == "the server 'web' was deleted while it was waited for"
    assert getattr(raised.value.resource, "id", None) == server.id
