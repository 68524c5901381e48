"""A fake in a file: it comes back as it was, is shared by processes, and survives any of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cloudkit
from cloudkit import Cloud, ConfigError, NotFound
from cloudkit.types import Kind
from cloudkit_fake.images import empty_qcow2
from cloudkit_fake.state import State
from cloudkit_fake.storage import ORPHAN_AGE_S, decode, encode


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cloud.json"


def open_cloud(file: Path, **options: Any) -> Cloud:
    return cloudkit.connect(f"fake://?path={file}", **options)


def fill(cloud: Cloud, folder: Path) -> None:
    """One thing of each kind, and something that is to happen."""
    network = cloud.networks.create("n", cidr="172.16.1.0/24")
    cloud.routers.create("r", external="public", networks=[network])
    image = cloud.images.upload("i", data=empty_qcow2(1 << 20), tags=["x"], metadata={"os": "none"})
    key_pair = cloud.key_pairs.generate("k", folder / "key")
    group = cloud.server_groups.create("g", policy="affinity")
    server = cloud.servers.create(
        "s",
        image=image,
        flavor="m1.tiny",
        networks=[network],
        key_pair=key_pair,
        server_group=group,
        user_data=b"\xff",
        inject_host_key=True,
    )
    cloud.floating_ips.create(server=server)
    volume = cloud.volumes.create("v", size_gib=1)
    cloud.volumes.attach(volume, server)
    cloud.snapshots.create("t", volume=volume, force=True)
    cloud.backups.create("b", volume=volume, force=True)
    cloud._context.driver.compute.servers.pause(server.id)  # type: ignore[attr-defined]


def dump(state: State) -> Any:
    return state.tables, {id: (change.due, change.fields) for id, change in state.later.items()}, state.secrets


@pytest.fixture
def filled(tmp_path: Path) -> Generator[State]:
    with cloudkit.connect("fake://") as cloud:
        fill(cloud, tmp_path)
        yield cloud.native.state


def test_a_state_survives_the_round_trip(filled: State) -> None:
    loaded = decode(json.loads(json.dumps(encode(filled))))
    assert dump(loaded) == dump(filled)
    assert {id: ips for id, ips in loaded.taken.items() if ips} == {
        id: ips for id, ips in filled.taken.items() if ips
    }
    assert loaded.plugged == filled.plugged
    assert loaded.next_due() == filled.next_due()


def test_another_process_would_see_the_same_cloud(file: Path, tmp_path: Path) -> None:
    with open_cloud(file) as cloud:
        fill(cloud, tmp_path)
        before = {kind: list(getattr(cloud, kind.value).list()) for kind in Kind}
        cloud_id = cloud.cloud_id
    assert file.stat().st_mode & 0o777 == 0o600
    with open_cloud(file) as cloud:
        assert cloud.cloud_id == cloud_id
        assert {kind: list(getattr(cloud, kind.value).list()) for kind in Kind} == before
        cloud.images.download("i", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == empty_qcow2(1 << 20)


def test_two_clouds_on_one_file_see_each_others_changes(file: Path) -> None:
    with open_cloud(file) as one, open_cloud(file) as other:
        network = one.networks.create("n")
        assert other.networks.get("n") == network
        other.networks.delete(network)
        with pytest.raises(NotFound):
            one.networks.get(network)


def test_what_was_not_changed_is_not_read_or_written_again(file: Path) -> None:
    with open_cloud(file) as cloud:
        before = file.stat()
        state = cloud.native.state
        list(cloud.networks.list())
        assert cloud.native.state is state
        after = file.stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_change_is_due_in_the_other_process_too(file: Path) -> None:
    with open_cloud(file, boot_seconds=0.2) as one, open_cloud(file) as other:
        image = one.images.upload("i", data=empty_qcow2(512))
        server = one.servers.create("s", image=image, flavor="m1.tiny", networks="none", wait=False)
        assert other.servers.get(server).status == "BUILD"
        assert other.servers.wait(server, timeout_s=5).status == "ACTIVE"


def test_images_bytes_that_nobody_has_are_dropped_when_they_are_old(file: Path, tmp_path: Path) -> None:
    with open_cloud(file) as cloud:
        image = cloud.images.upload("i", data=b"abc", disk_format="raw")
    folder = tmp_path / "cloud.json.images"
    (folder / "old").write_bytes(b"x")
    (folder / "young").write_bytes(b"x")
    then = (folder / "old").stat().st_mtime - ORPHAN_AGE_S - 1
    for name in ("old", image.id):
        os.utime(folder / name, (then, then))
    with open_cloud(file) as cloud:
        assert sorted(each.name for each in folder.iterdir()) == sorted(["young", image.id])
        cloud.images.delete(image)
        assert [each.name for each in folder.iterdir()] == ["young"]


def test_bytes_that_are_gone_are_told(file: Path, tmp_path: Path) -> None:
    with open_cloud(file) as cloud:
        image = cloud.images.upload("i", data=b"abc", disk_format="raw")
        (tmp_path / "cloud.json.images" / image.id).unlink()
        with pytest.raises(NotFound, match="bytes of the image"):
            cloud.images.download(image, tmp_path / "copy")


# ---------------------------------------------------------------- damaged files


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"format": "cloudkit-fake-99"}',
        '{"format": "cloudkit-fake-1"}',
        "\xff\xfe",
        "[" * 9999,
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_and_left_alone(file: Path, text: str) -> None:
    file.write_text(text, "latin-1")
    with pytest.raises(ConfigError) as caught:
        open_cloud(file)
    assert str(file) in caught.value.message
    assert "delete the file" in caught.value.hint
    assert file.read_text("latin-1") == text


@given(data=st.data())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_refused_or_harmless(filled: State, data: st.DataObject, tmp_path: Path) -> None:
    file = tmp_path / "damaged.json"
    tree: Any = json.loads(json.dumps(encode(filled)))
    node = tree
    while True:
        key = data.draw(st.sampled_from(sorted(node, key=str) if isinstance(node, dict) else range(len(node))))
        child = node[key]
        if not isinstance(child, dict | list) or not child or data.draw(st.integers(0, 3)) == 0:
            break
        node = child
    node[key] = data.draw(st.sampled_from([None, 7, "x", [], {}, [None], {"x": None}, True]))
    file.write_text(json.dumps(tree))
    try:
        cloud = open_cloud(file)
    except ConfigError:
        return
    # Within one request of the file, for speed.
    with cloud, cloud.native:
        for kind in Kind:
            for each in getattr(cloud, kind.value).list(all_projects=True):
                assert each.kind is kind
        cloud.limits()


def test_a_file_that_goes_away_is_told(file: Path) -> None:
    with open_cloud(file) as cloud:
        file.unlink()
        with pytest.raises(ConfigError, match="is gone"):
            list(cloud.networks.list())


def test_what_cannot_be_written_did_not_happen(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_cloud(file) as cloud:
        with monkeypatch.context() as patch:

            def full(*_: object) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr("cloudkit_fake.storage.os.replace", full)
            with pytest.raises(ConfigError, match="No space left"):
                cloud.networks.create("n")
        assert [network.name for network in cloud.networks.list()] == ["public"]
    assert sorted(each.name for each in file.parent.iterdir()) == ["cloud.json", "cloud.json.lock"]


def test_a_folder_in_its_place_or_in_the_locks_is_told(file: Path) -> None:
    file.mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        open_cloud(file)
    other = file.parent / "other.json"
    (file.parent / "other.json.lock").mkdir()
    with pytest.raises(ConfigError, match="cannot be opened"):
        open_cloud(other)


# ---------------------------------------------------------------- several processes


def start(file: Path, code: str) -> subprocess.Popen[str]:
    program = f"import cloudkit, sys\ncloud = cloudkit.connect('fake://?path={file}&quotas=networks=-1')\n{code}"
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def test_two_processes_at_once_lose_nothing(file: Path) -> None:
    code = "for n in range(40): cloud.networks.create(f'{sys.argv[0]}-{n}')"
    with start(file, code) as one, start(file, code) as other:
        assert (one.wait(20), other.wait(20)) == (0, 0)
    with open_cloud(file) as cloud:
        assert sum(1 for _ in cloud.networks.list()) == 1 + 80


def test_threads_of_one_process_lose_nothing(file: Path) -> None:
    with open_cloud(file, quotas={"networks": -1}) as cloud:
        threads = [threading.Thread(target=lambda: [cloud.networks.create("n") for _ in range(10)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(1 for _ in cloud.networks.list()) == 1 + 40
        assert cloud.native.faults.calls["networks.create"] == 40


def test_a_killed_process_leaves_a_file_that_loads_with_all_it_reported(file: Path) -> None:
    code = "while True: print(cloud.networks.create('n').id, flush=True)"
    known: set[str] = set()
    for rounds in range(4):
        with start(file, code) as process:
            assert process.stdout is not None
            known |= {process.stdout.readline().strip() for _ in range(3 + rounds)}
            process.send_signal(signal.SIGKILL)
            process.wait()
            known |= {line.strip() for line in process.stdout if line.endswith("\n")}
        with open_cloud(file) as cloud:
            assert known <= {network.id for network in cloud.networks.list()}
            cloud.networks.create("after")
