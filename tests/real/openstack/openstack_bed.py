"""A real OpenStack for tests: Keystone, Glance, Placement, Nova, Neutron and Cinder in one pod, from packages.

    bed = OpenStackBed(folder)
    bed.start()
    ...             # run_client(bed, ["openstack", "server", "list"])
    bed.stop()      # what it knows is kept; bed.reset() forgets it

The first start of all makes databases and accounts, in about a minute; what it made is kept in the user's cache and
copied by each later bed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from command_line import progress, run_to_its_end, tool
from environments import CACHE, environment, only_one
from guest_image import guest_image
from host_packages import BedError, install_packages
from layout import HERE, PRIVATE_FOLDERS, Layout
from pod import Pod
from settings import write_settings

DEFAULT_FOLDER = CACHE / "bed"
PACKAGES = (HERE / "packages.txt", HERE.parent / "libvirt/packages.txt", HERE / "packages-guests.txt")
PRISTINE = ("mysql", "data", "etc/keystone")
"""What a bed is made of: its databases, Nova's identity of the node, Keystone's keys."""
SOURCES = ("services.lock", "guest_settings.py", "initialise.py", "layout.py", "seed.py", "settings.py")
"""What the pristine copy depends on."""


@dataclass(frozen=True)
class Status:
    """What runs of a bed: how much memory each service takes, without the processes that it starts, and all do."""

    services_mb: Mapping[str, int | None]
    pod_mb: int

    @property
    def down(self) -> list[str]:
        """The services that do not run."""
        return [name for name, memory in self.services_mb.items() if memory is None]


class OpenStackBed:
    """The bed in one folder; see the module's text. Its methods need root."""

    def __init__(self, folder: Path = DEFAULT_FOLDER) -> None:
        """Make a handle; nothing is started."""
        self.folder = folder
        self.pod = Pod(folder)

    def start(self, *, guests: bool = False, ends_with_us: bool = False) -> None:
        """Start what does not run of it, from what it knew when it was stopped or else as new.

        With `guests`, servers are machines under libvirt and QEMU; a bed that is kept stays as it is.
        """
        made = (self.folder / "complete").exists()
        if made and guests and self.layout.guests is None:
            raise BedError(f"the bed in {self.folder} was made without guests; reset it first")
        guests = guests or (made and self.layout.guests is not None)
        with progress("packages are installed"), only_one("packages"):
            for packages in PACKAGES[: 3 if guests else 1]:
                install_packages(packages)
        with progress("virtual environments are there"):
            environments = environment("services"), environment("guests") if guests else None
            environment("client")
        if made and self.layout.environment != environments[0]:
            raise BedError(f"the bed in {self.folder} was made with other versions of the services; reset it first")
        if not made:
            # Whatever half of it there is.
            self.reset()
        if not self.pod.running:
            self.pod.start(ends_with_us=ends_with_us, private_folders=PRIVATE_FOLDERS if guests else ())
        if made:
            with progress("services run"):
                self._start_services(*environments)
        else:
            self._make(*environments)

    def stop(self) -> None:
        """End the services in order, then all that is left of the pod."""
        if self.pod.running:
            try:
                self.control("stop")
            finally:
                self.pod.stop()

    def reset(self) -> None:
        """Stop it and forget all that it knew; the next start is as new."""
        self.pod.remove()

    def status(self) -> Status:
        """Tell what runs."""
        if not self.pod.running:
            raise BedError(f"the bed in {self.folder} does not run")
        return Status(*json.loads(self.control("status")))

    def check(self) -> None:
        """Raise BedError with the end of its log for a service that has died."""
        if dead := self.status().down:
            logs = "\n".join(f"-- {name}:\n{self.log_tail(name)}" for name in dead)
            raise BedError(f"these services of the bed are down: {', '.join(dead)}\n{logs}")

    def log_tail(self, service: str, size: int = 4000) -> str:
        """Return the end of a service's log."""
        log = self.folder / f"log/{service}.log"
        return log.read_text(errors="replace")[-size:] if log.exists() else "it has no log"

    def control(self, *arguments: str) -> str:
        """Do a verb of `services.py` inside the pod and return what it prints."""
        return self._inside("services.py", *arguments)

    def variables(self) -> dict[str, str]:
        """Return the environment of a client: the official command in PATH, the bed's clouds.yaml, user `demo`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        guests = {}
        if self.layout.guests is not None:
            guests = {"CLOUDKIT_BED_GUESTS": "1", "CLOUDKIT_TEST_GUEST_IMAGE": str(guest_image())}
        return {
            **kept,
            **guests,
            "PATH": os.pathsep.join([str(environment("client") / "bin"), os.environ["PATH"]]),
            "OS_CLIENT_CONFIG_FILE": str(self.layout.clouds_yaml),
            "OS_CLOUD": "bed-demo",
            "CLOUDKIT_TEST_BED": str(self.folder),
        }

    @property
    def layout(self) -> Layout:
        """Where everything of it is."""
        try:
            return Layout.load(self.folder)
        except FileNotFoundError:
            raise BedError(f"there is no bed in {self.folder}") from None

    # -- how it is made

    def _make(self, services: Path, guests: Path | None) -> None:
        pristine = CACHE / f"pristine-{_pristine_key(guests is not None)}"
        with only_one(pristine.name):
            if not pristine.exists():
                with progress("databases, accounts and catalog are made"):
                    write_settings(Layout.create(self.folder, services, guests))
                    self._inside("initialise.py")
                    self.control("stop")
                with progress("they are kept for later beds"):
                    _keep(self.folder, pristine)
            else:
                with progress("databases are copied"):
                    Layout.create(self.folder, services, guests, secret=Layout.load(pristine).secret)
                    _copy(pristine, self.folder)
        with progress("services run"):
            self._start_services(services, guests)
        (self.folder / "complete").touch()

    def _start_services(self, services: Path, guests: Path | None) -> None:
        write_settings(Layout.create(self.folder, services, guests, secret=self.layout.secret))
        self.control("start")

    def _inside(self, script: str, *arguments: str) -> str:
        argv = self.pod.inside([sys.executable, HERE / script, self.folder, *arguments])
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BedError(f"{script} {' '.join(arguments)} failed:\n{done.stderr}")
        return done.stdout


def _pristine_key(guests: bool) -> str:
    key = hashlib.sha256(repr(guests).encode())
    for name in SOURCES:
        key.update((HERE / name).read_bytes())
    key.update(subprocess.run(["mariadbd", "--version"], capture_output=True, check=True).stdout)
    return key.hexdigest()[:12]


def _keep(folder: Path, pristine: Path) -> None:
    unfinished = pristine.with_name(f"{pristine.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    _copy(folder, unfinished)
    shutil.copy2(folder / "layout.json", unfinished)
    unfinished.rename(pristine)


def _copy(source: Path, target: Path) -> None:
    for name in PRISTINE:
        (target / name).mkdir(parents=True, exist_ok=True)
        tool("cp", "--archive", "--sparse=always", "--reflink=auto", f"{source / name}/.", target / name)


def run_client(bed: OpenStackBed, command: Sequence[str | Path]) -> int:
    """Run a command as a client of the bed; a service that is down before or after makes it fail."""
    bed.check()
    status = run_to_its_end(bed.pod.command(command), bed.variables())
    bed.check()
    return status
