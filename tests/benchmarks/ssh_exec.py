"""A command on an open connection: Shell.run against OpenSSH's ssh with a ControlMaster, on the same sshd.

Run by hand: ``python tests/benchmarks/ssh_exec.py``. It starts an sshd of its own on loopback, prints both medians
and their ratio, and ends with 1 when that is too high. It needs openssh-server and openssh-client.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cloudkit._keys import generate_key_pair, write_private_key
from cloudkit.ssh import Shell, open_shell
from cloudkit.types import Endpoint, Server, ServerStatus

AT_MOST = 1.3
ROUNDS, RUNS_PER_ROUND = 10, 10
PRIVILEGE_SEPARATION = Path("/run/sshd")
"""An empty folder that an sshd of root's wants; Debian makes it when the service starts."""


def missing() -> str | None:
    """Why this cannot be measured here, or None."""
    for name, package in (("sshd", "openssh-server"), ("ssh", "openssh-client")):
        if find(name) is None:
            return f"{name} is not installed (Debian: apt-get install {package})"
    return None


def find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def running_sshd(folder: Path) -> Generator[tuple[int, str]]:
    """The port and the host key of an sshd that lets the user in with ``folder/id``."""
    for name in ("host", "id"):
        private, public = generate_key_pair()
        write_private_key(folder / name, private)
        (folder / f"{name}.pub").write_text(f"{public}\n")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "id.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        # Not the user's own, whose .bashrc may take longer than all the rest.
        "SetEnv": f"HOME={folder}",
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    made = os.geteuid() == 0 and not PRIVILEGE_SEPARATION.exists()
    if made:
        PRIVILEGE_SEPARATION.mkdir(mode=0o755)
    with (folder / "log").open("wb") as log:
        command = [str(find("sshd")), "-D", "-e", "-f", str(folder / "sshd_config")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
    try:
        yield port, (folder / "host.pub").read_text()
    finally:
        process.terminate()
        process.wait()
        if made:
            PRIVILEGE_SEPARATION.rmdir()


def open_to(folder: Path, port: int, host_key: str) -> Shell:
    server = Server(
        id="bench",
        name="bench",
        project_id="",
        cloud_id="",
        created_at=datetime.now(UTC),
        status=ServerStatus.ACTIVE,
        native_status="",
    )
    place = Endpoint(host="127.0.0.1", port=port)
    return open_shell(
        server=server,
        endpoints=lambda: [place],
        user=getpass.getuser(),
        key=folder / "id",
        host_key=host_key,
        timeout_s=20,
    )


@contextmanager
def control_master(folder: Path, port: int, host_key: str) -> Generator[list[str]]:
    """The command line of an ssh that uses an open connection, without the command to run."""
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    options = [f"ControlPath={folder / 'master'}", f"UserKnownHostsFile={folder / 'known_hosts'}", "BatchMode=yes"]
    ssh = [str(find("ssh")), "-F", "none", "-p", str(port), "-i", str(folder / "id")]
    ssh += [word for option in options for word in ("-o", option)]
    target = f"{getpass.getuser()}@127.0.0.1"
    subprocess.run([*ssh, "-M", "-N", "-f", target], check=True, stdin=subprocess.DEVNULL)
    try:
        yield [*ssh, target]
    finally:
        subprocess.run([*ssh, "-O", "exit", target], check=True, stderr=subprocess.DEVNULL)


def seconds(run: Callable[[], object]) -> list[float]:
    times = []
    for _ in range(RUNS_PER_ROUND):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return times


def measure(folder: Path) -> tuple[float, float]:
    """The medians of cloudkit and of OpenSSH in seconds, measured in turns: what others do slows both."""
    with (
        running_sshd(folder) as (port, host_key),
        open_to(folder, port, host_key) as shell,
        control_master(folder, port, host_key) as ssh,
    ):
        ours, theirs = list[float](), list[float]()
        for _ in range(ROUNDS):
            ours += seconds(lambda: shell.run("true", check=True))
            theirs += seconds(lambda: subprocess.run([*ssh, "true"], check=True, stdin=subprocess.DEVNULL))
    return statistics.median(ours), statistics.median(theirs)


def main() -> int:
    reason = missing()
    if reason is not None:
        print(f"ssh exec: not measured, {reason}")
        return 0
    with tempfile.TemporaryDirectory(prefix="ck-ssh-") as folder:
        ours, theirs = measure(Path(folder))
    ratio = ours / theirs
    print(
        f"ssh exec: cloudkit {ours * 1000:.1f} ms, OpenSSH ControlMaster {theirs * 1000:.1f} ms,"
        f" {ratio:.2f} x (at most {AT_MOST} x)"
    )
    return int(ratio > AT_MOST)


if __name__ == "__main__":
    sys.exit(main())
