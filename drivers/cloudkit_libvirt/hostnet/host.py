"""Running commands where libvirt runs: here, or at the other end of its ssh."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from cloudkit.errors import CloudError
from cloudkit.host.routing import BRIDGE_FILTER
from cloudkit_libvirt.connection import Connection
from cloudkit_libvirt.ssh_transport import is_openssh, ssh_arguments

_SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_TIMEOUT_S = 60.0


class Host:
    """Where commands run, and with which rights."""

    def __init__(self, rights: Sequence[str] = (), way: Sequence[str] | None = None) -> None:
        """Put ``rights`` before each command; ``way`` takes a line for the shell of another host as last argument."""
        self._rights = tuple(rights)
        self._way = way

    def run(self, argv: Sequence[str], *, input: str | None = None) -> str:
        """Run one to its end; what it printed.

        Raises:
            CloudError: it failed, or is not there.
        """
        try:
            done = subprocess.run(
                self._whole(argv),
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

    def has(self, path: str) -> bool:
        """Whether there is such a file or folder, which takes no rights."""
        try:
            Host((), self._way).run(["ls", "-d", path])
        except CloudError:
            return False
        return True

    def _whole(self, argv: Sequence[str]) -> list[str]:
        whole = [*self._rights, *argv]
        if self._way is None:
            return whole
        # Through a shell of POSIX whatever the login's is, in which quotes mean something else.
        line = f"PATH=$PATH:{_SYSTEM_PATH} LC_ALL=C; export PATH LC_ALL; exec {shlex.join(whole)}"
        return [*self._way, shlex.join(["sh", "-c", line])]


def find_host(connection: Connection) -> Host | None:
    """The host of a connection, if its network may be changed from here; else None.

    With the caller's own rights, else by ``sudo`` without a password; on another host through ssh, as libvirt is.
    """
    if connection.host is not None and not is_openssh(connection.uri):
        return None
    way = None if connection.host is None else ssh_arguments(connection.uri)
    # Without it no rule would see what passes between guests of one network.
    if not Host((), way).has(f"/{BRIDGE_FILTER}"):
        return None
    for rights in ((), ("sudo", "-n")):
        host = Host(rights, way)
        with suppress(CloudError):
            # Both are needed, and the first does nothing without the right to change.
            host.run(["nft", "list", "tables"])
            host.run(["ip", "-V"])
            return host
    return None


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
