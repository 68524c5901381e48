from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cloudkit import config
from cloudkit._plugins import load_plugin
from cloudkit.cli import main


class Upkeep:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Sequence[str]] = []

    def install(self, command: Sequence[str]) -> Sequence[str]:
        self.told.append(command)
        return ["written: a file"]

    def uninstall(self) -> Sequence[str]:
        return []

    def reconcile(self) -> None:
        self.told.append(["reconcile"])


@pytest.fixture
def upkeep(monkeypatch: pytest.MonkeyPatch) -> Upkeep:
    """The fake, as if it had something to keep."""
    upkeep = Upkeep()
    plugin = replace(load_plugin("fake"), host_upkeep=lambda _request: upkeep)
    monkeypatch.setattr(config, "load_plugin", lambda _name: plugin)
    return upkeep


def test_a_cloud_without_a_host_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["host", "install", "--cloud", "fake://"]) == 1
    assert "nothing of the cloud 'fake://' has to be kept on a host" in capsys.readouterr().err


def test_the_machine_is_given_a_command_that_works_from_anywhere(
    upkeep: Upkeep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "my cloud.toml"
    file.write_text('[clouds.lab]\nurl = "fake://"\n')
    monkeypatch.setenv("CLOUDKIT_CONFIG", file.name)
    assert main(["host", "install", "--cloud", "lab"]) == 0
    tail = [sys.executable, "-P", "-m", "cloudkit.cli", "host", "reconcile", "--cloud"]
    assert main(["host", "install", "--cloud", "fake://"]) == 0
    assert upkeep.told == [["env", f"CLOUDKIT_CONFIG={file}", *tail, "lab"], [*tail, "fake://"]]
    assert capsys.readouterr().out == "written: a file\n" * 2


def test_the_other_actions(upkeep: Upkeep, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["host", "reconcile", "--cloud", "fake://"]) == 0
    assert upkeep.told == [["reconcile"]]
    assert main(["host", "uninstall", "--cloud", "fake://"]) == 0
    assert capsys.readouterr().out == "Nothing was installed.\n"
