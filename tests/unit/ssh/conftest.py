from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import paramiko
import pytest
from ssh_parts import Clock, a_server, new_key, public_line
from ssh_server import SshServer

from cloudkit.ssh import Shell, open_shell
from cloudkit.ssh import connect as connect_module


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, without an agent."""
    place = tmp_path / "home"
    (place / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return place


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(connect_module, "time", clock)
    return clock


@pytest.fixture(scope="session")
def ed25519() -> Any:
    return new_key()


@pytest.fixture(scope="session")
def ecdsa() -> Any:
    return paramiko.ECDSAKey.generate()


@pytest.fixture(scope="session")
def rsa() -> Any:
    return paramiko.RSAKey.generate(2048)


@pytest.fixture(scope="session")
def user_key() -> Any:
    return new_key()


@pytest.fixture
def start(ed25519: Any, user_key: Any) -> Generator[Callable[..., SshServer]]:
    """Starts servers; without arguments one with an ed25519 host key that lets the user in."""
    with ExitStack() as stack:

        def start_server(*host_keys: Any, **options: Any) -> SshServer:
            server = SshServer(*(host_keys or (ed25519,)), **{"known": (user_key,), **options})
            stack.callback(server.close)
            return server

        yield start_server


@pytest.fixture
def ssh_server(start: Callable[..., SshServer]) -> SshServer:
    return start()


@pytest.fixture
def open_to(user_key: Any) -> Callable[..., Shell]:
    """Opens a shell into a server; what is not given fits it."""

    def open_(sshd: SshServer | None, **changes: Any) -> Shell:
        arguments: dict[str, Any] = {
            "server": a_server(),
            "endpoints": lambda: [sshd.endpoint] if sshd else [],
            "user": "cirros",
            "key": user_key,
            "timeout_s": 10.0,
            **changes,
        }
        if sshd and not {"host_key", "console_log", "server"} & changes.keys():
            arguments["host_key"] = public_line(sshd.host_keys[0])
        return open_shell(**arguments)

    return open_


@pytest.fixture
def shell(ssh_server: SshServer, open_to: Callable[..., Shell]) -> Generator[Shell]:
    with open_to(ssh_server) as shell:
        yield shell
