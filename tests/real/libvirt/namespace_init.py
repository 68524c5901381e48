"""The first process of a bed's PID namespace: give it private folders, adopt and reap orphans, revive libvirtd.

Run by `bed.py` as `unshare --mount --pid --fork … python namespace_init.py FOLDER`. Prints its own pid as the
world outside sees it once the namespace is ready. When this process is killed, the kernel kills the daemon,
the guests and whatever else runs in the namespace.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

PRIVATE_FOLDERS = {
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
    "kept": "/var/lib/cloudkit",
    "modules": "/etc/modules-load.d",
}
CRASHES_LOG = "log/crashes.txt"
CRASHES = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}
RESTART_S = 0.1
"""systemd's own RestartSec; its unit of libvirtd has Restart=on-failure."""


def mount(*arguments: str | Path) -> None:
    """Run mount."""
    subprocess.run(["mount", *arguments], check=True)


def prepare(folder: Path) -> None:
    """Hide the host's libvirt, /run and network devices behind the bed's own."""
    mount("-t", "proc", "proc", "/proc")
    # A sysfs shows the network devices of the namespace that mounted it.
    mount("-t", "sysfs", "sysfs", "/sys")
    # No path to the host's D-Bus, firewalld or Open vSwitch.
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    # Where libvirt notes which consoles are open.
    Path("/run/lock").mkdir()
    # Where what libvirt starts looks for Open vSwitch.
    Path("/run/openvswitch").symlink_to(folder / "openvswitch")
    for name, target in PRIVATE_FOLDERS.items():
        Path(target).mkdir(parents=True, exist_ok=True)
        mount("--bind", folder / name, target)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def libvirtd_command(folder: Path) -> list[str]:
    """The command line of the bed's libvirtd."""
    return [
        "libvirtd",
        "--daemon",
        "--config",
        f"{folder}/etc/libvirtd.conf",
        "--pid-file",
        f"{folder}/run/libvirtd.pid",
    ]


def reap_forever(on_crash: Callable[[str, signal.Signals], None] | None = None) -> None:
    """Collect every process that ends here: libvirt waits on each destroy until the guest is reaped."""
    while True:
        signal.sigwait({signal.SIGCHLD})
        with suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if on_crash is not None and ended.si_code != os.CLD_EXITED and ended.si_status in CRASHES:
                    # Its name is there until it is reaped.
                    name = Path(f"/proc/{ended.si_pid}/comm").read_text().strip()
                    on_crash(name, signal.Signals(ended.si_status))
                os.waitpid(ended.si_pid, 0)


def crashed(folder: Path, name: str, how: signal.Signals) -> None:
    """Tell it, and do what systemd does on a host; a daemon that a test kills stays down."""
    with (folder / CRASHES_LOG).open("a") as log:
        log.write(f"{name} crashed by {how.name}\n")
    if name == "libvirtd":
        time.sleep(RESTART_S)
        with (folder / "log/start.log").open("a") as log:
            subprocess.Popen(libvirtd_command(folder), stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def main() -> None:
    """Prepare the namespace, report, reap."""
    # Read while the outer proc is still mounted: the pid by which the bed's owner knows this process.
    outer_pid = os.readlink("/proc/self")
    folder = Path(sys.argv[1])
    prepare(folder)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    print(outer_pid, flush=True)
    os.close(sys.stdout.fileno())
    reap_forever(partial(crashed, folder))


if __name__ == "__main__":
    main()
