"""A pod: namespaces in which all of a bed runs and with which all of it ends.

They are of network, mounts, host name and process ids. The bed's folder has the same path inside and outside. Nothing
outside the pod can reach a port of the bed but by entering its network namespace.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from host_packages import BedError
from layout import HERE
from processes import Process, enter_network

MARKER = "pod.json"


class Pod:
    """The namespaces of the bed in one folder. Its methods need root."""

    def __init__(self, folder: Path) -> None:
        """Make a handle; nothing is started."""
        self.folder = folder

    def start(self, *, ends_with_us: bool, private_folders: Iterable[str] = ()) -> None:
        """Make the namespaces; they end with this process, also where it is killed, or else by `stop` alone.

        Each of `private_folders`, keys of PRIVATE_FOLDERS, hides a folder of the host's inside the pod.
        """
        if os.geteuid() != 0:
            raise BedError("the OpenStack bed needs root: it makes namespaces")
        if self.running:
            raise BedError(f"the bed in {self.folder} runs already")
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in private_folders:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        log_path = self.folder / "log/pod.log"
        log_path.parent.mkdir(exist_ok=True)
        owner = ["setpriv", "--pdeathsig=KILL"] if ends_with_us else []
        namespaces = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child=SIGKILL", "--"]
        with log_path.open("w") as log:
            outer = subprocess.Popen(
                [*owner, *namespaces, sys.executable, HERE / "pod_init.py", self.folder],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd="/",
                start_new_session=True,
            )
        assert outer.stdout is not None
        with outer.stdout as report:
            pid = report.readline()
        if not pid:
            raise BedError(f"the bed's namespaces could not be made:\n{log_path.read_text()}")
        marker = {"init": asdict(Process.current(int(pid))), "outer": asdict(Process.current(outer.pid))}
        (self.folder / MARKER).write_text(json.dumps(marker))

    @property
    def running(self) -> bool:
        """Whether the namespaces are there."""
        init = self._process("init")
        return init is not None and init.alive

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """Return the command line that runs `argv` in the pod's network only, as a client of the bed."""
        return ["nsenter", f"--net={self._network()}", "--", *map(str, argv)]

    def enter_network(self) -> None:
        """Bring the calling thread into the pod's network, as a client of the bed."""
        enter_network(self._network())

    def inside(self, argv: Sequence[str | Path]) -> list[str]:
        """Return the command line that runs `argv` in all of the pod, as a part of the bed."""
        namespaces = ["--net", "--mount", "--uts", "--pid"]
        return ["nsenter", f"--target={self._init().pid}", *namespaces, "--wd=/", "--", *map(str, argv)]

    def stop(self) -> None:
        """Kill every process in it; harmless when it is gone already."""
        for name in ("init", "outer"):
            process = self._process(name)
            if process is not None:
                process.kill()
        (self.folder / MARKER).unlink(missing_ok=True)

    def remove(self) -> None:
        """Stop it and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _process(self, name: str) -> Process | None:
        try:
            marker = json.loads((self.folder / MARKER).read_text())
        except FileNotFoundError:
            return None
        return Process(**marker[name])

    def _network(self) -> str:
        return f"/proc/{self._init().pid}/ns/net"

    def _init(self) -> Process:
        init = self._process("init")
        if init is None or not init.alive:
            raise BedError(f"the bed in {self.folder} does not run")
        return init
