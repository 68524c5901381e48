"""The bed as another host: an sshd of its own on loopback, whose users' libvirt is the bed's."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bed import LibvirtBed
from host_packages import BedError

from cloudkit._keys import generate_key_pair, write_private_key

HOST, PORT = "127.0.0.1", 2222
SSHD_CONFIG = """\
ListenAddress {host}:{port}
HostKey "{folder}/host_key"
AuthorizedKeysFile "{folder}/authorized_keys"
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
SetEnv OVS_RUNDIR={folder_of_switch}
"""


@dataclass(frozen=True)
class RemoteHost:
    """How to get in: files that the user's own ssh knows nothing of."""

    key: Path
    known_hosts: Path

    def uri(self, port: int = PORT, transport: str = "ssh", **query: object) -> str:
        """libvirt's URI; ``query`` is beside or instead of keyfile and known_hosts."""
        settings = {"keyfile": self.key, "known_hosts": self.known_hosts, **query}
        text = "&".join(f"{name}={quote(str(value))}" for name, value in settings.items() if value is not None)
        return f"qemu+{transport}://root@{HOST}:{port}/system?{text}"


@contextmanager
def remote_host(bed: LibvirtBed, folder: Path) -> Generator[RemoteHost]:
    """Run an sshd in the bed."""
    host_private, host_public = generate_key_pair()
    private, public = generate_key_pair()
    remote = RemoteHost(folder / "id_ed25519", folder / "known_hosts")
    write_private_key(folder / "host_key", host_private)
    write_private_key(remote.key, private)
    (folder / "authorized_keys").write_text(f"{public}\n")
    remote.known_hosts.write_text(known_line(host_public))
    config = folder / "sshd_config"
    config.write_text(
        SSHD_CONFIG.format(host=HOST, port=PORT, folder=folder, folder_of_switch=bed.open_vswitch.folder)
    )
    # libvirt's helper at the other end looks for the socket where it is on an ordinary host.
    for command in (
        ["mkdir", "-p", "/run/sshd", "/run/libvirt"],
        ["ln", "-sf", f"{bed.folder}/run/libvirt-sock", "/run/libvirt/libvirt-sock"],
    ):
        subprocess.run(bed.inner_command(command), check=True)
    with (folder / "sshd.log").open("w") as log:
        daemon = subprocess.Popen(
            bed.inner_command(["/usr/sbin/sshd", "-D", "-e", "-f", config]), stdin=subprocess.DEVNULL, stderr=log
        )
    try:
        _await_sshd(daemon, folder / "sshd.log")
        yield remote
    finally:
        bed.kill("sshd")
        daemon.wait(10)


def known_line(public_key: str) -> str:
    """The host's line of a file of known hosts."""
    return f"[{HOST}]:{PORT} {public_key}\n"


def _await_sshd(daemon: subprocess.Popen[bytes], log: Path, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection((HOST, PORT), timeout=1).close()
        except OSError:
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise BedError(f"sshd does not answer: {log.read_text()}") from None
            time.sleep(0.05)
        else:
            return
