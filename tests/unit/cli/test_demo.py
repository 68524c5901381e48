from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import cloudkit
from cloudkit.cli import main


def test_without_a_configured_cloud_it_names_the_fake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "No cloud is configured: this runs on the fake" in out
    assert "passed       server" in out
    assert "1073741824 bytes" in out
    assert "14 passed, 0 failed" in out


def test_with_a_configured_cloud_it_takes_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLOUDKIT_CLOUD", "nowhere")
    assert main(["demo"]) == 1
    assert "there is no profile 'nowhere'" in capsys.readouterr().err


def test_it_fails_when_a_step_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cloudkit.toml").write_text(
        f"[clouds.lab]\nurl = 'fake://'\nstory.image = '{tmp_path}/missing.qcow2'\n"
    )
    (tmp_path / "cloudkit.toml").chmod(0o600)
    assert main(["demo", "--cloud", "lab"]) == 1
    out = capsys.readouterr().out
    assert "failed       image" in out
    assert "missing.qcow2" in out
    assert "not reached" in out
    assert "passed       delete all" in out


def test_kept_things_are_deleted_by_the_command_it_prints(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--cloud", store, "--keep"]) == 0
    command = capsys.readouterr().out.splitlines()[-1].strip()
    assert command.startswith("cloudkit sweep ")
    scope = command.split()[command.split().index("--name") + 1]
    assert main(["sweep", "--cloud", store, "--name", scope, "--delete"]) == 0
    assert "0 left" in capsys.readouterr().out
    assert main(["sweep", "--cloud", store]) == 0
    assert capsys.readouterr().out == "Nothing is left.\n"


def test_ctrl_c_deletes_all_and_ends_with_130(store: str, start: Any, capsys: pytest.CaptureFixture[str]) -> None:
    slow = f"{store}&boot_seconds=60"
    process = start("-m", "cloudkit.cli", "demo", "--cloud", slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    with cloudkit.connect(store) as cloud:
        # The server boots for a minute.
        while not any(cloud.servers.list()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "interrupted  server" in out
    assert "passed       delete all" in out
    assert "cloudkit: interrupted" in err
    assert "Traceback" not in err
    assert main(["sweep", "--cloud", store]) == 0
    assert capsys.readouterr().out == "Nothing is left.\n"
