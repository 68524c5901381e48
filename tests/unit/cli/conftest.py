from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cloud named anywhere, in an empty working folder, with a temporary folder of its own."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    for variable in ("CLOUDKIT_CLOUD", "OS_CLOUD", "CLOUDKIT_CONFIG", "OS_CLIENT_CONFIG_FILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A fake that lives in a file, so that other processes see it."""
    return f"fake://?path={tmp_path / 'cloud.json'}"


Start = Callable[..., "Popen[str]"]


@pytest.fixture
def start() -> Any:
    """Starts Python in a process group of its own; whatever is left of it is killed at the end."""
    started: list[Popen[str]] = []

    def start(*arguments: str, **options: Any) -> Popen[str]:
        # A shell starts what runs in the background with Ctrl-C ignored, and children inherit that.
        listening = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = Popen([sys.executable, *arguments], text=True, start_new_session=True, **options)
        finally:
            signal.signal(signal.SIGINT, listening)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr, process.stdin):
            if stream:
                stream.close()
