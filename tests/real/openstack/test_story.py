"""The story that the demo tells, unchanged, on real services: the official command sees what it makes."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from traceback import format_exception

import pytest
from conformance_projects import without_guests
from official_client import OpenStackCommand

import cloudkit
from cloudkit import Cloud
from cloudkit.cli.steps import Outcome, StepFailed, StepNotOffered, StepPassed, StepStarted
from cloudkit.cli.story import run_story

WITH_GUESTS = "CLOUDKIT_BED_GUESTS" in os.environ
NEED_GUESTS = {"disk seen over ssh", "ssh by the floating IP"}
MADE = {
    "network with a subnet": ("network", "net"),
    "router to the outside": ("router", "router"),
    "image": ("image", "image"),
    "key pair": ("keypair", "key"),
    "security group for ssh and ping": ("security group", "ssh"),
    "server": ("server", "server"),
    "volume of 1 GiB": ("volume", "data"),
    "snapshot of the server": ("image", "snapshot"),
}
"""Step → what the official command calls the thing that it makes, and the end of its name."""

pytestmark = [
    pytest.mark.guests,
    # openstacksdk warns of what it does itself.
    pytest.mark.filterwarnings("ignore:The 'service_type' parameter"),
]


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Cloud]:
    """The bed as a member of a project sees it, who finds its flavors ready-made."""
    story = {"flavor": "m1.tiny", "external_network": "public"}
    if WITH_GUESTS:
        story |= {"image": os.environ["CLOUDKIT_TEST_GUEST_IMAGE"], "user": "root"}
    config = tmp_path / "cloudkit.toml"
    settings = "\n".join(f"{name} = {json.dumps(value)}" for name, value in story.items())
    config.write_text(f'[clouds.member]\nurl = "openstack://bed-demo"\n[clouds.member.story]\n{settings}\n')
    monkeypatch.setenv("CLOUDKIT_CONFIG", str(config))
    with cloudkit.connect("member") as cloud:
        yield cloud if WITH_GUESTS else without_guests(cloud)


def test_the_official_command_sees_what_the_story_makes(cloud: Cloud) -> None:
    demo = OpenStackCommand("bed-demo")
    before = {what: demo.names(what) for what, _ in MADE.values()}
    seen: dict[str, set[str]] = {}

    def look(event: StepStarted | Outcome) -> None:
        if isinstance(event, StepPassed) and event.step.title in MADE:
            what, _ = MADE[event.step.title]
            seen[event.step.title] = demo.names(what) - before[what]

    result = run_story(cloud, look)
    failed = [(each.step.title, each.error) for each in result.outcomes if isinstance(each, StepFailed)]
    assert not failed, "".join(format_exception(failed[0][1]))
    assert result.ok
    left_out = {outcome.step.title for outcome in result.outcomes if isinstance(outcome, StepNotOffered)}
    assert left_out == (set() if WITH_GUESTS else NEED_GUESTS)
    assert set(seen) == set(MADE)
    for title, names in seen.items():
        assert f"{result.scope}-{MADE[title][1]}" in names
    assert {what: demo.names(what) for what, _ in MADE.values()} == before
    assert list(cloud.sweep()) == []
