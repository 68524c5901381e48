"""The `openstack` command, as a person would type it."""

from __future__ import annotations

import atexit
import json
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 180
POLL_S = 0.3


class CommandFailed(AssertionError):
    """The command ended with another status than 0."""


class OpenStackCommand:
    """Runs commands as one cloud of the bed's clouds.yaml; what a placeholder stands for is quoted."""

    def __init__(self, cloud: str) -> None:
        """Take the name in clouds.yaml; nothing is run."""
        self._cloud = cloud

    def run(self, line: str, **words: str | Path) -> str:
        """Run a command and return what it prints."""
        argv = ["--os-cloud", self._cloud, *_split(line, words)]
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(argv) + "\n")
        server.stdin.flush()
        status, output, errors = json.loads(server.stdout.readline())
        if status != 0:
            raise CommandFailed(f"openstack {shlex.join(argv)} failed with {status}:\n{errors[-2000:]}")
        return str(output)

    def json(self, line: str, **words: str | Path) -> Any:
        """Run a command and return what it shows, as the parsed JSON."""
        return json.loads(self.run(f"{line} -f json", **words))

    def names(self, what: str, column: str = "Name") -> set[str]:
        """Return the names that a list shows."""
        return {row[column] for row in self.json(f"{what} list")}

    def wait(self, what: str, name: str, status: str, field: str = "status") -> None:
        """Wait until a field of one thing is as told; an error status fails at once."""

        def reached() -> bool:
            now = str(self.json(f"{what} show {{name}}", name=name)[field])
            assert "error" not in now.lower(), f"{what} {name} is {now}"
            return now == status

        until(reached, f"{what} {name} is {status}")


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"not so after {TIMEOUT_S} s: {what}"
        time.sleep(POLL_S)


@cache
def _server() -> subprocess.Popen[str]:
    """The one process of the client; it ends with its standard input."""
    command = shutil.which("openstack")
    assert command is not None, "the openstack command is in PATH only where the bed runs the tests"
    server = HERE / "official_client_server.py"
    argv = [Path(command).with_name("python"), server]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    process.communicate()


def _split(line: str, words: dict[str, str | Path]) -> list[str]:
    return [word.format(**words) for word in shlex.split(line)]
