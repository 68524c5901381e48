"""Open vSwitch in a bed: the database and the switch, without a module of the kernel's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from host_packages import BedError

if TYPE_CHECKING:
    from bed import LibvirtBed

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class OpenVSwitch:
    """The two daemons of Open vSwitch; what it was told stays when they are started again."""

    def __init__(self, bed: LibvirtBed, name: str = "openvswitch", enter: Sequence[str] = ()) -> None:
        """Nothing happens yet; ``enter`` stands before each command, and leads to another network than the bed's."""
        self._bed = bed
        self._name = name
        self._enter = enter
        self.folder = bed.folder / name

    @property
    def environment(self) -> Mapping[str, str]:
        """Where Open vSwitch's commands find it."""
        return {"OVS_RUNDIR": str(self.folder)}

    def start(self) -> None:
        """Start it; it answers when this returns."""
        self.folder.mkdir(exist_ok=True)
        database = self.folder / "conf.db"
        if not database.exists():
            self._run(["ovsdb-tool", "create", database, SCHEMA])
        socket = self.folder / "db.sock"
        common = ["--pidfile", "--detach", "--no-chdir", "-vconsole:off"]
        self._run(["ovsdb-server", database, f"--remote=punix:{socket}", *common, self._log("ovsdb-server")])
        self._run(["ovs-vsctl", "--no-wait", "init"])
        self._run(["ovs-vswitchd", f"unix:{socket}", *common, self._log("ovs-vswitchd")])

    def stop(self) -> None:
        """Kill both as a crash would."""
        self._bed.kill("ovs")

    def restart(self) -> None:
        """Kill both, and start them again."""
        self.stop()
        self.start()

    def vsctl(self, *words: str) -> str:
        """What `ovs-vsctl` prints."""
        return self._run(["ovs-vsctl", "--timeout=10", *words])

    def _log(self, name: str) -> str:
        return f"--log-file={self._bed.folder}/log/{self._name}-{name}.log"

    def _run(self, argv: Sequence[str | os.PathLike[str]]) -> str:
        done = subprocess.run(
            self._bed.inner_command([*self._enter, *(os.fspath(word) for word in argv)]),
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if done.returncode != 0:
            raise BedError(f"{argv[0]} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout
