"""Running commands where libvirt runs: here, or through ssh to the host of the URI."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from cloudkit.errors import CloudError
from cloudkit.host.routing import TOOLS, may_administer
from cloudkit.host.tree import Tree
from cloudkit_libvirt.connection import Connection

_SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Host:
    """Where commands run; ``prefix`` leads there."""

    prefix: tuple[str, ...] = ()
    remote: bool = False

    def run(self, argv: Sequence[str], *, input: str | None = None) -> str:
        """Run one to its end; what it printed.

        Raises:
            CloudError: it failed, or is not there.
        """
        command = [*self.prefix, shlex.join(argv)] if self.remote else [*self.prefix, *argv]
        path = f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"
        try:
            done = subprocess.run(
                command,
                input=input,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_S,
                env={**os.environ, "PATH": path, "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _failed(argv, str(error)) from error
        if done.returncode != 0:
            raise _failed(argv, done.stderr.strip())
        return done.stdout


def find_host(connection: Connection) -> Host | None:
    """The host of a connection, if its network may be changed from here; else None."""
    return _local_host() if connection.host is None else None


def _local_host() -> Host | None:
    if not may_administer(Tree()):
        return None
    path = f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"
    return Host() if all(shutil.which(tool, path=path) for tool in TOOLS) else None


def _failed(argv: Sequence[str], fault: str) -> CloudError:
    return CloudError(
        f"the host's network could not be changed: {argv[0]} failed",
        driver="libvirt",
        fault=fault or None,
        hint="What was asked for is recorded; the next change that succeeds brings it about.",
    )
