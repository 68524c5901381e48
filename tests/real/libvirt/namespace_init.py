"""The first process of a bed's PID namespace: give it private folders, then adopt and reap orphans.

Run by `bed.py` as `unshare --mount --pid --fork … python namespace_init.py FOLDER`. Prints its own pid as the
world outside sees it once the namespace is ready. When this process is killed, the kernel kills the daemon,
the guests and whatever else runs in the namespace.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

PRIVATE_FOLDERS = {
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
    "kept": "/var/lib/cloudkit",
    "modules": "/etc/modules-load.d",
}


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


def reap_forever() -> None:
    """Collect every process that ends here: libvirt waits on each destroy until the guest is reaped."""
    while True:
        signal.sigwait({signal.SIGCHLD})
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            continue


def main() -> None:
    """Prepare the namespace, report, reap."""
    # Read while the outer proc is still mounted: the pid by which the bed's owner knows this process.
    outer_pid = os.readlink("/proc/self")
    prepare(Path(sys.argv[1]))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    print(outer_pid, flush=True)
    os.close(sys.stdout.fileno())
    reap_forever()


if __name__ == "__main__":
    main()
