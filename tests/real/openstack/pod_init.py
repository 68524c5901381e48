"""The first process of a pod: hide the host's sockets and devices, then adopt and reap orphans.

Run by `pod.py` as `unshare … python pod_init.py FOLDER`. Prints its own pid as the world outside sees it once the
namespaces are ready. When it is killed, the kernel kills all else that runs in the pod.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "libvirt"))
from layout import HOST, NODE, PRIVATE_FOLDERS
from namespace_init import mount, reap_forever


def prepare(folder: Path) -> None:
    """Give the pod a view of its own processes and network devices, a loopback, and a name."""
    mount("--make-rprivate", "/")
    mount("-t", "proc", "proc", "/proc")
    # A sysfs shows the network devices of the namespace that mounted it.
    mount("-t", "sysfs", "sysfs", "/sys")
    # No path to the host's D-Bus, libvirt, Open vSwitch or database.
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for name, target in PRIVATE_FOLDERS.items():
        if (folder / name).exists():
            Path(target).mkdir(parents=True, exist_ok=True)
            mount("--bind", folder / name, target)
    # libvirt tells it as the hypervisor's, which must stay the same. There is nobody else to ask for its address.
    socket.sethostname(NODE)
    hosts = folder / "hosts"
    hosts.write_text(f"{HOST} localhost {NODE}\n")
    mount("--bind", hosts, "/etc/hosts")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def main() -> None:
    """Prepare the namespaces, report, reap."""
    # Read while the outer proc is still mounted: the pid by which the bed's owner knows this process.
    outer_pid = os.readlink("/proc/self")
    prepare(Path(sys.argv[1]))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    print(outer_pid, flush=True)
    os.close(sys.stdout.fileno())
    reap_forever()


if __name__ == "__main__":
    main()
