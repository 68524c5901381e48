"""Running commands where libvirt runs, which is here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from cloudkit.errors import CloudError
from cloudkit.host.routing import TOOLS, may_administer
from cloudkit.host.tree import Tree
from cloudkit_libvirt.connection import Connection

_SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_TIMEOUT_S = 60.0


class Host:
    """Where commands run."""

    def run(self, argv: Sequence[str], *, input: str | None = None) -> str:
        """Run one to its end; what it printed.

        Raises:
            CloudError: it failed, or is not there.
        """
        try:
            done = subprocess.run(
                argv,
                input=input,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_S,
                env={**os.environ, "PATH": _path(), "LC_ALL": "C"},
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
    return Host() if all(shutil.which(tool, path=_path()) for tool in TOOLS) else None


def _path() -> str:
    """The tools of administrators are in no ordinary user's path."""
    return f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"


def _failed(argv: Sequence[str], fault: str) -> CloudError:
    return CloudError(
        f"the host's network could not be changed: {argv[0]} failed",
        driver="libvirt",
        fault=fault or None,
        hint="What was asked for is recorded; the next change that succeeds brings it about.",
    )
