from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import cloudkit
from cloudkit import Busy, Closed, Cloud, CloudError, Conflict, InvalidRequest
from cloudkit._scope_mark import current_owner, new_scope
from cloudkit.testing import Faults, LoseAnswer, Raise
from cloudkit.types import Kind


def everything(cloud: Cloud) -> set[str]:
    return {f"{kind.value}/{value.name}" for kind in Kind for value in getattr(cloud, kind.value).list()}


@pytest.fixture(autouse=True)
def _default_group(cloud: Cloud) -> None:
    """Made when somebody first looks."""
    everything(cloud)


def make_all(cloud: Cloud, folder: Path) -> None:
    """One of each kind, using each other."""
    network = cloud.networks.create("net", cidr="172.16.1.0/24")
    cloud.subnets.create("second", network=network, cidr="172.16.2.0/24")
    cloud.routers.create("router", external="public", networks=[network])
    cloud.images.upload("image", data=bytes(1 << 20))
    cloud.flavors.create("flavor", vcpus=1, ram_mib=64, disk_gib=1)
    cloud.key_pairs.generate("key", folder / "key")
    cloud.security_groups.create("group")
    cloud.server_groups.create("servers", policy="affinity")
    port = cloud.ports.create("port", network=network, security_groups=["group"])
    server = cloud.servers.create(
        "server", image="image", flavor="flavor", networks=[port], key_pair="key", server_group="servers"
    )
    volume = cloud.volumes.create("volume", size_gib=1)
    cloud.volumes.attach(volume, server)
    cloud.snapshots.create("snapshot", volume=volume, force=True)
    cloud.floating_ips.create(server=server)
    cloud.servers.create_image(server, "copy")


def test_all_that_a_scope_made_is_gone_at_its_end(cloud: Cloud, tmp_path: Path) -> None:
    cloud.volumes.create("mine", size_gib=1)
    before = everything(cloud)
    with cloud.scope("ci") as scoped:
        make_all(scoped, tmp_path)
        assert len(everything(cloud) - before) == 16
    assert everything(cloud) == before


def test_what_a_thread_made_and_what_a_lost_answer_hid_is_found(cloud: Cloud, fake_faults: Faults) -> None:
    fake_faults.add("volumes.create", LoseAnswer(), where={"name": "lost"})
    fake_faults.add("volumes.list", Raise(CloudError("cannot look")))
    with cloud.scope("ci") as scoped:
        thread = threading.Thread(target=scoped.volumes.create, args=("by-thread",), kwargs={"size_gib": 1})
        thread.start()
        thread.join()
        with pytest.raises(CloudError):
            scoped.volumes.create("lost", size_gib=1)
        assert len(list(cloud.volumes.list())) == 2
    assert list(cloud.volumes.list()) == []


def test_what_has_no_room_for_a_mark_is_remembered(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    part: Any = cloud._context.driver.compute.server_groups  # type: ignore[attr-defined]

    def unmarked(method: Any) -> Any:
        return lambda *args: replace(method(*args), mark=None)

    for name in ("create", "get"):
        monkeypatch.setattr(part, name, unmarked(getattr(part, name)))
    list_all = part.list
    monkeypatch.setattr(part, "list", lambda query: (replace(each, mark=None) for each in list_all(query)))
    stays = cloud.server_groups.create("stays", policy="affinity")
    with cloud.scope("scope") as mine:
        mine.server_groups.create("goes", policy="affinity")
        gone = mine.server_groups.create("gone", policy="affinity")
        mine.server_groups.create_many([{"name": "goes-too", "policy": "affinity"}])
        cloud.server_groups.delete(gone)
    assert [each.id for each in cloud.server_groups.list()] == [stays.id]


def test_a_volume_in_a_server_that_stays_is_taken_out(cloud: Cloud, server_args: dict[str, Any]) -> None:
    server = cloud.servers.create("stays", **server_args)
    with cloud.scope("ci") as scoped:
        scoped.volumes.attach(scoped.volumes.create("scratch", size_gib=1), server)
    assert cloud.servers.get(server).volume_ids == ()
    assert list(cloud.volumes.list()) == []


def test_the_bodys_error_goes_on_and_all_is_deleted(cloud: Cloud) -> None:
    with pytest.raises(ZeroDivisionError), cloud.scope("ci") as scoped:
        scoped.volumes.create("scratch", size_gib=1)
        raise ZeroDivisionError
    assert list(cloud.volumes.list()) == []


def test_what_cannot_be_deleted_is_raised(cloud: Cloud, fake_faults: Faults) -> None:
    fake_faults.add("volumes.delete", Raise(Conflict("held")), times=None)
    message = "1 things of the scope 'ci' could not be deleted: volume scratch"
    with pytest.raises(CloudError, match=message) as raised, cloud.scope("ci") as scoped:
        scoped.volumes.create("scratch", size_gib=1)
        scoped.networks.create("net")
    assert raised.value.fault == "held"
    assert "cloudkit sweep --name ci --delete" in raised.value.hint
    assert isinstance(raised.value.__cause__, Conflict)
    assert [network.name for network in cloud.networks.list()] == ["public"]


def test_several_failures_are_told_together(cloud: Cloud, fake_faults: Faults) -> None:
    fake_faults.add("volumes.delete", Raise(Conflict("held")), times=None)
    with pytest.raises(CloudError, match="2 things") as raised, cloud.scope("ci") as scoped:
        scoped.volumes.create("a", size_gib=1)
        scoped.volumes.create("b", size_gib=1)
    assert isinstance(raised.value.__cause__, ExceptionGroup)
    assert len(raised.value.__cause__.exceptions) == 2


def test_a_failing_end_never_replaces_the_bodys_error(
    cloud: Cloud, fake_faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    fake_faults.add("volumes.delete", Raise(Conflict("held")), times=None)
    with pytest.raises(ZeroDivisionError) as raised, cloud.scope("ci") as scoped:
        scoped.volumes.create("scratch", size_gib=1)
        raise ZeroDivisionError
    assert any("could not be deleted: volume scratch" in note for note in raised.value.__notes__)
    assert "could not be deleted" in caplog.text


def test_conflicts_that_pass_are_tried_again(cloud: Cloud, fake_faults: Faults) -> None:
    fake_faults.add("volumes.delete", Raise(Busy("a moment")), times=2)
    with cloud.scope("ci") as scoped:
        scoped.volumes.create("scratch", size_gib=1)
    assert list(cloud.volumes.list()) == []


def test_a_scopes_cloud_is_of_no_use_after_its_end_and_the_other_one_is(cloud: Cloud) -> None:
    with cloud.scope("ci") as scoped:
        assert scoped.name == cloud.name
        assert scoped.story == cloud.story
    with pytest.raises(Closed):
        scoped.volumes.list()
    assert list(cloud.volumes.list()) == []


def test_closing_the_scopes_cloud_early_does_not_leave_its_things(cloud: Cloud) -> None:
    with cloud.scope("ci") as scoped:
        scoped.volumes.create("scratch", size_gib=1)
        scoped.close()
    assert list(cloud.volumes.list()) == []


def test_only_the_kinds_that_were_made_are_looked_at(cloud: Cloud, calls: Counter[str]) -> None:
    with cloud.scope("ci") as scoped:
        scoped.volumes.create("scratch", size_gib=1)
    assert {name for name in calls if name.endswith(".list")} == {"volumes.list"}


def test_scopes_do_not_touch_each_other(cloud: Cloud) -> None:
    with cloud.scope("ci") as first:
        first.volumes.create("first", size_gib=1)
        with cloud.scope("ci") as second:
            second.volumes.create("second", size_gib=1)
        assert [volume.name for volume in cloud.volumes.list()] == ["first"]


@pytest.mark.parametrize("name", ["", "n" * 65, 5])
def test_a_scope_needs_a_name(cloud: Cloud, name: Any) -> None:
    with pytest.raises(InvalidRequest):
        cloud.scope(name)


def test_a_name_of_64_characters_is_taken(cloud: Cloud) -> None:
    assert cloud.scope("n" * 64).info.name == "n" * 64


def test_the_marks_are_not_seen_in_what_users_wrote(cloud: Cloud) -> None:
    with cloud.scope("ci/1") as scoped:
        network = scoped.networks.create("net", description="mine", tags=["t"])
        volume = scoped.volumes.create("data", size_gib=1, metadata={"a": "b"})
        assert (network.description, network.tags, volume.metadata) == ("mine", ("t",), {"a": "b"})
        assert network.mark is not None
        assert network.mark.scope is not None
        assert network.mark.scope.startswith("ci%2F1/")


# ---------------------------------------------------------------- the sweep


@pytest.fixture
def crashed(cloud: Cloud) -> Generator[Any]:
    """Opens scopes and never ends them."""

    def open_scope(name: str = "ci", **info: Any) -> Cloud:
        scope = cloud.scope(name, expires_in_s=info.pop("expires_in_s", 3600))
        for field, value in info.items():
            object.__setattr__(scope.info, field, value)
        return scope.__enter__()

    return open_scope


def test_nothing_is_swept_where_nothing_is_left(cloud: Cloud) -> None:
    cloud.volumes.create("mine", size_gib=1)
    assert cloud.sweep() == []
    assert cloud.sweep(delete=True) == []


def test_a_living_process_keeps_its_things(cloud: Cloud, crashed: Any) -> None:
    crashed().volumes.create("scratch", size_gib=1)
    (leftover,) = cloud.sweep(delete=True)
    assert (leftover.value.name, leftover.removable, leftover.deleted, leftover.error) == (
        "scratch",
        False,
        False,
        None,
    )
    assert leftover.reason == "its scope may be in use"
    assert leftover.scope.owner == current_owner()
    assert leftover.scope.expires_at - datetime.now(UTC) > timedelta(minutes=59)
    assert cloud.volumes.find("scratch") is not None


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"owner": f"{current_owner().rpartition(':')[0]}:1"}, "the process that opened its scope is dead"),
        ({"expires_in_s": 0}, "its scope has expired"),
        ({"expires_in_s": 0, "owner": "elsewhere:x:1:1"}, "its scope has expired"),
    ],
)
def test_what_may_go_is_listed_first_and_deleted_when_asked_for(
    cloud: Cloud, crashed: Any, info: dict[str, Any], reason: str
) -> None:
    crashed(**info).volumes.create("scratch", size_gib=1)
    (leftover,) = cloud.sweep()
    assert (leftover.removable, leftover.reason, leftover.deleted) == (True, reason, False)
    assert cloud.volumes.find("scratch") is not None
    (leftover,) = cloud.sweep(delete=True)
    assert (leftover.deleted, leftover.error) == (True, None)
    assert cloud.sweep() == []
    assert cloud.volumes.find("scratch") is None


def test_a_process_elsewhere_keeps_its_things_until_they_expire(cloud: Cloud, crashed: Any) -> None:
    crashed(owner="elsewhere:x:1:1").volumes.create("scratch", size_gib=1)
    (leftover,) = cloud.sweep(delete=True)
    assert not leftover.deleted


def test_a_named_scope_goes_whatever_else(cloud: Cloud, crashed: Any) -> None:
    crashed("one").volumes.create("one", size_gib=1)
    crashed("two").volumes.create("two", size_gib=1)
    found = cloud.sweep(delete=True, names=["one"])
    assert {(leftover.value.name, leftover.deleted) for leftover in found} == {("one", True), ("two", False)}
    assert [leftover.reason for leftover in found if leftover.deleted] == ["its scope was named"]
    assert [volume.name for volume in cloud.volumes.list()] == ["two"]


def test_what_cannot_be_swept_is_told(cloud: Cloud, crashed: Any, fake_faults: Faults) -> None:
    fake_faults.add("volumes.delete", Raise(Conflict("held")), times=None)
    crashed().volumes.create("scratch", size_gib=1)
    (leftover,) = cloud.sweep(delete=True, names=["ci"])
    assert not leftover.deleted
    assert isinstance(leftover.error, Conflict)


def test_a_whole_story_is_swept(cloud: Cloud, crashed: Any, tmp_path: Path) -> None:
    before = everything(cloud)
    make_all(crashed(), tmp_path)
    found = cloud.sweep(delete=True, names=["ci"])
    assert len(found) >= 14
    assert [leftover for leftover in found if leftover.error] == []
    assert everything(cloud) == before


def test_what_is_in_the_middle_of_a_task_is_swept_after_it(
    cloud: Cloud, crashed: Any, server_args: dict[str, Any]
) -> None:
    scoped = crashed()
    scoped.volumes.create("scratch", size_gib=1, wait=False)
    scoped.servers.create("server", **server_args, wait=False)
    assert all(leftover.deleted for leftover in cloud.sweep(delete=True, names=["ci"]))
    assert cloud.volumes.find("scratch") is None
    assert cloud.servers.find("server") is None


def test_other_projects_are_not_swept(cloud: Cloud) -> None:
    other = cloud.for_project("other")
    other.scope("ci").__enter__().volumes.create("theirs", size_gib=1)
    assert cloud.sweep(delete=True, names=["ci"]) == []
    assert [leftover.value.name for leftover in other.sweep()] == ["theirs"]


def test_a_damaged_mark_is_no_mark(cloud: Cloud, crashed: Any) -> None:
    crashed(id="").volumes.create("scratch", size_gib=1)
    assert cloud.sweep(delete=True, names=["ci"]) == []
    assert cloud.volumes.find("scratch") is not None


@pytest.mark.parametrize("names", ["ci", [5], [""]])
def test_wrong_names(cloud: Cloud, names: Any) -> None:
    with pytest.raises(InvalidRequest, match="names"):
        cloud.sweep(names=names)


def test_another_process_finds_what_a_dead_one_left(tmp_path: Path) -> None:
    url = f"fake://?path={tmp_path / 'cloud.json'}"
    with cloudkit.connect(url) as cloud:
        scope = cloud.scope("ci")
        object.__setattr__(scope.info, "owner", f"{current_owner().rpartition(':')[0]}:1")
        scope.__enter__().volumes.create("scratch", size_gib=1)
    with cloudkit.connect(url) as cloud:
        assert [leftover.value.name for leftover in cloud.sweep(delete=True)] == ["scratch"]
        assert list(cloud.volumes.list()) == []


def test_scope_marks_expire_when_they_say(cloud: Cloud) -> None:
    assert new_scope("x", 0).expires_at <= datetime.now(UTC)
    assert cloud.scope("x").info.expires_at - datetime.now(UTC) > timedelta(hours=23)
