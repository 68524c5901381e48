from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from cloudkit.cli import main
from cloudkit.errors import ConfigError


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cloudkit {version('cloudkit-sdk')}\n"


def test_version_starts_lightly() -> None:
    code = (
        "import sys; from cloudkit.cli import main; status = main(['--version'])\n"
        "print(status, *{'dataclasses', 'logging', 'rich', 'tomllib', 'cloudkit.types'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"


@pytest.mark.parametrize("arguments", [[], ["dance"], ["demo", "--clout", "x"], ["sweep", "--name"], ["demo", "x"]])
def test_wrong_usage_is_told_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage: cloudkit" in capsys.readouterr().err


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "demo" in out
    assert "sweep" in out


@pytest.mark.parametrize("command", ["demo", "sweep"])
def test_an_error_is_one_message_and_status_1(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--cloud", "nowhere"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("cloudkit: there is no profile 'nowhere'")
    assert "Traceback" not in out + err


def test_debug_lets_the_error_out() -> None:
    with pytest.raises(ConfigError, match="there is no profile 'nowhere'"):
        main(["sweep", "--cloud", "nowhere", "--debug"])


def test_the_sweep_never_takes_a_cloud_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep"]) == 1
    assert "no cloud is named" in capsys.readouterr().err


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "cloudkit.cli", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"cloudkit {version('cloudkit-sdk')}\n")
