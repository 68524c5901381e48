"""The story that the demo tells, on a real guest."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from cloudkit import Cloud
from cloudkit._keys import generate_key_pair
from cloudkit.cli.steps import StepNotOffered, StepPassed
from cloudkit.cli.story import run_story

NEED_THE_HOSTS_NETWORK = {
    "router to the outside",
    "security group for ssh and ping",
    "floating IP",
    "ssh by the floating IP",
}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of each private key that is made."""
    lines: list[str] = []

    def generate_and_tell(comment: str = "") -> tuple[str, str]:
        private, public = generate_key_pair(comment)
        lines.extend(line for line in private.splitlines() if line and "PRIVATE KEY" not in line)
        return private, public

    monkeypatch.setattr("cloudkit._compute.generate_key_pair", generate_and_tell)
    monkeypatch.setattr("cloudkit_libvirt.seed.generate_key_pair", generate_and_tell)
    return lines


def test_every_step_passes_and_the_guest_shows_the_disk(
    routed: Cloud, secrets: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        result = run_story(routed, lambda _event: None)
    logged = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
    # The user's key and the host's.
    assert len(secrets) >= 8
    assert "servers.create" in logged
    assert [secret for secret in secrets if secret in logged] == []
    passed = {outcome.step.title: outcome for outcome in result.outcomes if isinstance(outcome, StepPassed)}
    assert result.ok, result.outcomes
    assert len(passed) == len(result.outcomes) >= 14
    assert set(passed) >= NEED_THE_HOSTS_NETWORK
    assert passed["disk seen over ssh"].detail == "Disk /dev/vdb: 1 GiB, 1073741824 bytes, 2097152 sectors"
    assert not result.folder.exists()
    assert {left.scope.name for left in routed.sweep() if left.scope} == {"external"}


def test_what_needs_the_hosts_network_is_left_out_without_it(cloud: Cloud) -> None:
    result = run_story(cloud, lambda _event: None)
    assert result.ok, result.outcomes
    left_out = {outcome.step.title for outcome in result.outcomes if isinstance(outcome, StepNotOffered)}
    assert left_out == NEED_THE_HOSTS_NETWORK


def test_the_demo_tells_the_story(routed: Cloud) -> None:
    command = [sys.executable, "-m", "cloudkit.cli", "demo", "--cloud", "routed"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not offered" not in done.stdout
    assert "Disk /dev/vdb: 1 GiB" in done.stdout
    assert done.stderr == ""
