from __future__ import annotations

import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

import cloudkit
from cloudkit._scope_mark import current_owner
from cloudkit.cli.steps import Outcome, StepFailed, StepNotOffered, StepNotReached, StepPassed, StepStarted
from cloudkit.cli.story import blank_image, find_disk, remove_folders, run_story
from cloudkit.errors import CloudError
from cloudkit.types import Attachment

Event = StepStarted | Outcome


def marked(cloud: Any) -> list[str]:
    return [f"{leftover.value.kind.value}/{leftover.value.name}" for leftover in cloud.sweep()]


def test_every_step_passes_on_the_fake_and_nothing_is_left() -> None:
    events: list[Event] = []
    with cloudkit.connect("fake://") as cloud:
        result = run_story(cloud, events.append)
        assert marked(cloud) == []
    assert [event for event in events if isinstance(event, StepFailed)] == []
    assert all(isinstance(outcome, StepPassed) for outcome in result.outcomes)
    assert len(result.outcomes) == 14
    assert result.ok
    assert not result.folder.exists()


def test_the_guest_shows_the_disk() -> None:
    with cloudkit.connect("fake://") as cloud:
        outcomes = run_story(cloud, lambda _: None).outcomes
    (seen,) = [outcome for outcome in outcomes if outcome.step.title == "disk seen over ssh"]
    assert isinstance(seen, StepPassed)
    assert "1073741824 bytes" in seen.detail


def test_kept_things_are_swept_by_their_scopes_name() -> None:
    with cloudkit.connect("fake://") as cloud:
        result = run_story(cloud, lambda _: None, keep=True)
        kept = marked(cloud)
        assert f"servers/{result.scope}-server" in kept
        assert len(kept) >= 9
        key = result.folder / "id_ed25519"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        with cloud.ssh(f"{result.scope}-server", user=cloud.story["user"], key=key) as shell:
            assert shell.run("hostname").stdout.strip() == f"{result.scope}-server"
        assert all(leftover.deleted for leftover in cloud.sweep(delete=True, names=[result.scope]))
        assert marked(cloud) == []


def test_folders_of_living_stories_and_of_others_stay() -> None:
    temporary = Path(tempfile.gettempdir())
    dead = f"{current_owner().rpartition(':')[0]}:1"
    for name in (f"one@{current_owner()}@x", f"two@{dead}@x", f"three@{current_owner()}@x", "elsewhere"):
        (temporary / f"cloudkit-{name}").mkdir()
    remove_folders(["three"])
    assert sorted(path.name.split("@")[0] for path in temporary.iterdir()) == ["cloudkit-elsewhere", "cloudkit-one"]


def test_a_failed_step_ends_the_story_and_all_is_deleted(tmp_path: Path) -> None:
    broken = tmp_path / "broken.qcow2"
    broken.write_bytes(b"QFI\xfb" + bytes(600))
    with cloudkit.connect("fake://") as cloud:
        cloud = StoryCloud(cloud, image=str(broken))
        result = run_story(cloud, lambda _: None)
        assert marked(cloud) == []
    ends = {outcome.step.title: type(outcome) for outcome in result.outcomes}
    assert ends["network with a subnet"] is StepPassed
    assert ends["image"] is StepFailed
    assert ends["server"] is StepNotReached
    assert ends["delete all"] is StepPassed
    assert not result.ok


@pytest.mark.parametrize("title", ["network with a subnet", "server", "snapshot of the server"])
def test_an_interrupt_is_raised_when_all_is_deleted(title: str) -> None:
    events: list[Event] = []

    def interrupt(event: Event) -> None:
        events.append(event)
        if isinstance(event, StepPassed) and event.step.title == title:
            raise KeyboardInterrupt

    with cloudkit.connect("fake://") as cloud:
        with pytest.raises(KeyboardInterrupt):
            run_story(cloud, interrupt)
        assert marked(cloud) == []
    assert isinstance(events[-1], StepPassed)
    assert events[-1].step.title == "delete all"


class StoryCloud:
    """A cloud with other capabilities or settings than it has."""

    def __init__(self, cloud: Any, without: frozenset[str] = frozenset(), **settings: Any) -> None:
        self._cloud = cloud
        self.capabilities = cloud.capabilities - without
        self.story = {**cloud.story, **settings}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cloud, name)


def test_what_is_not_offered_is_told_and_the_rest_passes() -> None:
    lacking = frozenset({"routers", "floating_ips", "security_groups", "servers.create:security_group_ids"})
    with cloudkit.connect("fake://") as cloud:
        # What has no security groups keeps nobody out.
        cloud.security_groups.add_rule("default", "tcp", port=22)
        result = run_story(StoryCloud(cloud, lacking), lambda _: None)
    left_out = {
        outcome.step.title: outcome.missing for outcome in result.outcomes if isinstance(outcome, StepNotOffered)
    }
    assert left_out == {
        "router to the outside": ("routers",),
        "security group for ssh and ping": ("security_groups", "servers.create:security_group_ids"),
        "floating IP": ("floating_ips",),
        "ssh by the floating IP": ("floating_ips",),
    }
    assert sum(isinstance(outcome, StepPassed) for outcome in result.outcomes) == 10
    assert result.ok


def test_a_story_without_a_ready_made_flavor_makes_one() -> None:
    with cloudkit.connect("fake://") as cloud:
        outcomes = run_story(StoryCloud(cloud, flavor=None), lambda _: None).outcomes
    (flavor,) = [outcome for outcome in outcomes if outcome.step.title == "flavor"]
    assert isinstance(flavor, StepPassed)
    assert "256 MiB" in flavor.detail


def test_the_blank_image_is_a_whole_number_of_sectors_with_a_boot_signature(tmp_path: Path) -> None:
    content = blank_image(tmp_path).read_bytes()
    assert len(content) == 2**20
    assert content[510:512] == b"\x55\xaa"


class Guest:
    """A shell whose lsblk prints one listing after the other."""

    def __init__(self, *listings: str) -> None:
        self.listings = list(listings)

    def run(self, command: str, **_: Any) -> Any:
        assert command.startswith("lsblk")
        listing = self.listings.pop(0) if len(self.listings) > 1 else self.listings[0]
        return type("Result", (), {"stdout": listing})


DISK = Attachment(id="a", volume_id="v", server_id="s", device_hint="/dev/vdb", serial="4711")


@pytest.mark.parametrize(
    ("listings", "device"),
    [
        (["vda\nvdb 4711\n"], "/dev/vdb"),
        (["vda\nvdb other\nvdc 4711\n"], "/dev/vdc"),
        (["vda\nvdb\n"], "/dev/vdb"),
        (["vda\n", "vda\nvdb 4711\n"], "/dev/vdb"),
    ],
)
def test_the_disk_is_found_by_its_serial(listings: list[str], device: str) -> None:
    assert find_disk(Guest(*listings), DISK) == device  # type: ignore[arg-type]


def test_a_disk_that_does_not_appear_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudkit.cli.story.PLUG_TIMEOUT_S", 0.3)
    with pytest.raises(CloudError, match="does not show the disk 4711"):
        find_disk(Guest("vda\nvdb other\n"), DISK)  # type: ignore[arg-type]
