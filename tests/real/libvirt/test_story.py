"""The story that the demo tells, on a real guest."""

from __future__ import annotations

import subprocess
import sys

from cloudkit import Cloud
from cloudkit.cli.steps import StepNotOffered, StepPassed
from cloudkit.cli.story import run_story

NOT_OFFERED_YET = {
    "router to the outside",
    "security group for ssh and ping",
    "floating IP",
    "ssh by the floating IP",
}


def test_every_step_that_is_offered_passes_and_the_guest_shows_the_disk(cloud: Cloud) -> None:
    result = run_story(cloud, lambda _event: None)
    passed = {outcome.step.title: outcome for outcome in result.outcomes if isinstance(outcome, StepPassed)}
    left_out = {outcome.step.title for outcome in result.outcomes if isinstance(outcome, StepNotOffered)}
    assert result.ok, result.outcomes
    assert left_out == NOT_OFFERED_YET
    assert len(passed) == len(result.outcomes) - len(left_out) >= 9
    assert passed["disk seen over ssh"].detail == "Disk /dev/vdb: 1 GiB, 1073741824 bytes, 2097152 sectors"
    assert not result.folder.exists()
    assert cloud.sweep() == []


def test_the_demo_tells_the_story(profile: str) -> None:
    command = [sys.executable, "-m", "cloudkit.cli", "demo", "--cloud", profile]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("not offered") >= len(NOT_OFFERED_YET)
    assert "Disk /dev/vdb: 1 GiB" in done.stdout
    assert done.stderr == ""
