"""A private libvirt for tests: an own libvirtd in own network, mount and PID namespaces.

Bridges, DHCP servers and firewall rules live in the bed's network namespace, so that no address of the host can
collide with a test's; files and sockets live below one folder, which has the same path inside and outside.

    with LibvirtBed.start() as bed:
        connection = libvirt.open(bed.uri)
        ...
        assert bed.leftovers() == []
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from command_line import tool
from host_packages import BedError
from namespace_init import CRASHES_LOG, libvirtd_command
from open_vswitch import OpenVSwitch
from processes import Process, alone_in, enter_network, is_polling, start_time

HERE = Path(__file__).resolve().parent
# Not the temporary folder of the environment: stale beds must be found whatever TMPDIR says, and disks need space.
PARENT = Path("/var/tmp")
PREFIX = "cloudkit-bed-"
MARKER = "bed.json"
# The namespace is named after its owner, so that a second run beside this one has another.
NETNS_PREFIX = "ckbed"

LIBVIRTD_CONF = """\
unix_sock_dir = "{folder}/run"
unix_sock_rw_perms = "0700"
auth_unix_rw = "none"
auth_unix_ro = "none"
log_outputs = "3:file:{folder}/log/libvirtd.log"
"""
# Without controllers a guest gets no cgroup on the host that a killed bed would leave behind.
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = []
"""

_running: list[object] = []
"""What a reboot has started: it ends with the bed, and not with the test."""

IPTABLES_TABLES = {"filter", "nat", "mangle", "raw"}
IPTABLES_CHAINS = {"INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"}


class LibvirtBed:
    """A private libvirtd; see the module's text. Its methods need root."""

    def __init__(self, folder: Path, netns: str) -> None:
        """Make a handle for the bed in `folder`; `start` and `attach` are what callers use."""
        self.folder = folder
        self.netns = netns
        self.pool_path = folder / "pool"
        self.open_vswitch = OpenVSwitch(self)
        self.uri = f"qemu+unix:///system?socket={folder}/run/libvirt-sock"
        self._outer: subprocess.Popen[str] | None = None

    @classmethod
    def start(cls, parent: Path = PARENT) -> LibvirtBed:
        """Start a bed below `parent`, after removing those whose owner died."""
        if os.geteuid() != 0:
            raise BedError("the libvirt bed needs root: it makes namespaces and bridges")
        remove_stale(parent)
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
        bed = cls(folder, f"{NETNS_PREFIX}{folder.name.removeprefix(PREFIX)}")
        try:
            bed._mark(init=None)
            bed._lay_out()
            bed._start_namespaces()
            bed.open_vswitch.start()
            bed.start_libvirtd()
        except BaseException:
            bed.stop()
            raise
        return bed

    @classmethod
    def attach(cls, folder: Path | str) -> LibvirtBed:
        """Return a handle for a bed that another process started."""
        folder = Path(folder)
        if not (folder / MARKER).exists():
            raise BedError(f"no bed in {folder}")
        return cls(folder, f"{NETNS_PREFIX}{folder.name.removeprefix(PREFIX)}")

    def __enter__(self) -> LibvirtBed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- what tests do with it

    def run(
        self, argv: Sequence[str | Path], *, check: bool = True, timeout_s: float = 60, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the bed's network namespace, from where guests can be reached."""
        done = subprocess.run(
            self.command(argv), input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if check and done.returncode != 0:
            raise BedError(f"{' '.join(map(str, argv))} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """Return the command line that runs `argv` inside the bed's network namespace."""
        return ["nsenter", f"--net=/run/netns/{self.netns}", "--", *map(str, argv)]

    def user_command(self, argv: Sequence[str | Path], keep: Sequence[str | Path] = ()) -> list[str]:
        """Return the command line that runs `argv` inside the bed as an ordinary user, who can read `keep`.

        It is in the bed's PID namespace, so that a daemon that libvirt starts for the user ends with the bed.
        """
        private = ["unshare", "--mount", "--propagation=private", "--"]
        become = [sys.executable, HERE / "ordinary_user.py", self.folder, ":".join(map(str, keep))]
        return self.inner_command([*private, *become, *argv], os.getcwd())

    def inner_command(self, argv: Sequence[str | Path], directory: str | Path = "/") -> list[str]:
        """Return the command line that runs `argv` in all namespaces of the bed, where it ends with the bed."""
        namespaces = [f"--target={self._init().pid}", "--mount", "--pid", "--net", f"--wd={directory}"]
        return ["nsenter", *namespaces, "--", *map(str, argv)]

    def kill_libvirtd(self) -> None:
        """Kill the daemon as a crash would; guests and DHCP servers stay."""
        self.kill("libvirtd")
        # QEMU takes one monitor at a time. A daemon that is back before QEMU has seen the last one go is thrown out
        # by it, and kills the guest that it cannot speak to. When the last connection is closed, QEMU still has to
        # listen for the next: that is done once it waits for something again.
        deadline = time.monotonic() + 10
        while (self._monitors() or not self._guests_wait()) and time.monotonic() < deadline:
            time.sleep(0.005)

    def restart_libvirtd(self) -> None:
        """Kill the daemon as a crash would, and start it again."""
        self.kill_libvirtd()
        self.start_libvirtd()

    def _guests_wait(self) -> bool:
        """Whether the main thread of every QEMU is in the system call in which it waits for events."""
        for process, name in self._processes():
            if name.startswith("qemu") and not is_polling(process.pid):
                return False
        return True

    def _monitors(self) -> list[str]:
        sockets = Path(f"/proc/{self._init().pid}/net/unix").read_text().splitlines()
        connected = "03"
        return [line for line in sockets if line.endswith("/monitor.sock") and line.split()[5] == connected]

    def kill_guests(self) -> None:
        """Kill every guest's QEMU as a crash would."""
        self.kill("qemu")

    def libvirtd_pid(self) -> int | None:
        """The daemon's pid, as the world outside the bed sees it; None when it does not run."""
        return next((process.pid for process, name in self._processes() if name == "libvirtd"), None)

    def kill(self, prefix: str) -> None:
        """Kill the programs whose names begin so and that run in the bed's PID namespace."""
        for process, name in self._processes():
            if name.startswith(prefix):
                process.kill()

    def start_libvirtd(self) -> None:
        """Start the daemon; it answers when this returns."""
        daemon = self.inner_command(libvirtd_command(self.folder))
        # The daemon keeps what it inherits: a pipe would never reach its end.
        with (self.folder / "log/start.log").open("a") as log:
            done = subprocess.run(daemon, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=30, check=False)
        if done.returncode != 0:
            raise BedError(f"libvirtd did not start:\n{self.log_tail()}")

    @contextmanager
    def restrict_pool(self, size_mib: int) -> Generator[Path]:
        """Give a folder that holds no more than `size_mib`, for a pool that gets full.

        The folder is a file system of its own, seen by daemon and test alike under the path that is yielded.
        """
        folder = Path(tempfile.mkdtemp(prefix="small-pool-", dir=self.folder))
        # The bed's folder is a shared mount of which the daemon's namespace has a slave: this reaches it.
        tool("mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", folder)
        try:
            yield folder
        finally:
            # Lazily, for a test that failed may have left a guest with its disk there.
            tool("umount", "--lazy", folder)
            folder.rmdir()

    def leftovers(self, settle_s: float = 1.0) -> list[str]:
        """Return what tests have left in the bed, one readable line each; empty when clean.

        What libvirt takes down in the background gets `settle_s` to vanish.
        """
        deadline = time.monotonic() + settle_s
        while (left := list(self._leftovers())) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def crashes(self) -> list[str]:
        """What has crashed by itself, one line each."""
        log = self.folder / CRASHES_LOG
        return log.read_text().splitlines() if log.exists() else []

    def log_tail(self, size: int = 4000) -> str:
        """Return the end of what the daemon and the namespace logged."""
        texts = [path.read_text(errors="replace") for path in sorted((self.folder / "log").glob("*.log"))]
        return "".join(texts)[-size:]

    def reboot(self) -> None:
        """Switch the host off and on: what is on its disk stays. This thread comes along into the new network."""
        self._switch_off()
        shutil.rmtree(self.folder / "run")
        (self.folder / "run").mkdir()
        self._start_namespaces()
        _running.append(self._outer)
        enter_network(f"/run/netns/{self.netns}")
        self.open_vswitch.start()
        self.start_libvirtd()

    def stop(self) -> None:
        """Remove the bed: processes, network namespace, mounts, folder. Harmless when it is gone already."""
        self._switch_off()
        for mount_point in reversed(_mounts_below(self.folder)):
            tool("umount", "--lazy", mount_point)
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _switch_off(self) -> None:
        init = self._marker().get("init")
        if init is not None:
            Process(**init).kill()
        if self._outer is not None:
            self._outer.kill()
            self._outer.wait()
        if Path(f"/run/netns/{self.netns}").exists():
            tool("ip", "netns", "delete", self.netns)

    # -- how it is made

    def _marker(self) -> dict[str, dict[str, int] | None]:
        try:
            marker: dict[str, dict[str, int] | None] = json.loads((self.folder / MARKER).read_text())
        except FileNotFoundError:
            return {}
        return marker

    def _mark(self, init: Process | None) -> None:
        marker = {"owner": asdict(Process.current(os.getpid())), "init": asdict(init) if init else None}
        unfinished = self.folder / f"{MARKER}.new"
        unfinished.write_text(json.dumps(marker))
        unfinished.replace(self.folder / MARKER)

    def _init(self) -> Process:
        init = self._marker().get("init")
        if init is None:
            raise BedError(f"the bed in {self.folder} does not run")
        return Process(**init)

    def _lay_out(self) -> None:
        # QEMU of other users than root must get through to sockets and disks.
        self.folder.chmod(0o755)
        for name in ("etc/qemu", "etc/hooks", "lib", "cache", "log", "run", "pool", "kept", "modules"):
            (self.folder / name).mkdir(parents=True)
        filters = Path("/etc/libvirt/nwfilter")
        if filters.exists():
            shutil.copytree(filters, self.folder / "etc/nwfilter")
        (self.folder / "etc/libvirtd.conf").write_text(LIBVIRTD_CONF.format(folder=self.folder))
        (self.folder / "etc/qemu.conf").write_text(QEMU_CONF)
        tool("mount", "--bind", self.folder, self.folder)
        tool("mount", "--make-shared", self.folder)

    def _start_namespaces(self) -> None:
        tool("ip", "netns", "add", self.netns)
        namespaces = ["unshare", "--mount", "--propagation=slave", "--pid", "--fork", "--kill-child=SIGKILL", "--"]
        init = [sys.executable, HERE / "namespace_init.py", self.folder]
        with (self.folder / "log/init.log").open("w") as log:
            self._outer = subprocess.Popen(
                self.command([*namespaces, *init]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd="/",
                start_new_session=True,
            )
        assert self._outer.stdout is not None
        with self._outer.stdout as report:
            pid = report.readline()
        if not pid:
            raise BedError(f"the bed's namespaces could not be made:\n{self.log_tail()}")
        self._mark(Process.current(int(pid)))

    # -- what is left

    def _processes(self) -> Iterator[tuple[Process, str]]:
        init = self._init()
        namespace = os.readlink(f"/proc/{init.pid}/ns/pid")
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(entry / "ns/pid") == namespace and int(entry.name) != init.pid:
                    yield Process.current(int(entry.name)), (entry / "comm").read_text().strip()
            except (OSError, BedError):
                # It has ended meanwhile, or is none of ours to look into.
                continue

    def _leftovers(self) -> Iterator[str]:
        yield from self._left_in_libvirt()
        for process, name in self._processes():
            if name.startswith(("qemu", "dnsmasq")):
                yield f"process {name} {process.pid}"
        for link in json.loads(self.run(["ip", "-json", "link"]).stdout):
            if link["ifname"] != "lo":
                yield f"network device {link['ifname']}"
        yield from _left_in_firewall(self.run(["nft", "list", "ruleset"]).stdout)
        for path in sorted(self.pool_path.rglob("*")):
            yield f"file {path.relative_to(self.folder)}"

    def _left_in_libvirt(self) -> Iterator[str]:
        import libvirt  # type: ignore[import-untyped, unused-ignore]

        connection = libvirt.open(self.uri)
        try:
            for domain in connection.listAllDomains():
                yield f"domain {domain.name()}"
            for network in connection.listAllNetworks():
                yield f"network {network.name()}"
            for pool in connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
                for volume in pool.listVolumes():
                    yield f"volume {pool.name()}/{volume}"
        finally:
            connection.close()


def remove_stale(parent: Path = PARENT) -> None:
    """Remove the beds below `parent` whose owner is dead; runs that start at the same time take turns."""
    with alone_in(parent):
        for folder in parent.glob(f"{PREFIX}*"):
            bed = LibvirtBed(folder, f"{NETNS_PREFIX}{folder.name.removeprefix(PREFIX)}")
            owner = bed._marker().get("owner")
            pid = int(folder.name.removeprefix(PREFIX).partition("-")[0])
            # A bed that crashed before its first mark has only the pid in its name.
            alive = Process(**owner).alive if owner else start_time(pid) is not None
            if not alive:
                bed.stop()


def _mounts_below(folder: Path) -> list[Path]:
    points = (Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [point for point in points if point.is_relative_to(folder)]


def _left_in_firewall(ruleset: str) -> Iterator[str]:
    """Name all that is more than the frame of empty chains which libvirt keeps once it had a network."""
    table = chain = ""
    foreign = False
    for line in map(str.strip, ruleset.splitlines()):
        if match := re.fullmatch(r"table (\S+ (\S+)) \{", line):
            table, foreign = match[1], match[2] not in IPTABLES_TABLES
            if foreign:
                yield f"firewall table {table}"
        elif foreign or line in ("", "}") or line.startswith(("#", "type ")):
            continue
        elif match := re.fullmatch(r"chain (\S+) \{", line):
            chain = match[1]
            if chain not in IPTABLES_CHAINS and not chain.startswith("LIBVIRT_"):
                yield f"firewall chain {table} {chain}"
        elif not re.search(r"\bjump LIBVIRT_\w+$", line):
            yield f"firewall rule {table} {chain}: {line}"
