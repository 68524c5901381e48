from __future__ import annotations

import io
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paramiko
import pytest
from ssh_server import SshServer

from cloudkit._keys import generate_key_pair
from cloudkit.ssh import Shell, open_shell
from cloudkit.ssh import connect as connect_module
from cloudkit.types import Server, ServerStatus


def new_key() -> Any:
    return paramiko.Ed25519Key(file_obj=io.StringIO(generate_key_pair()[0]))


def public_line(key: Any) -> str:
    return f"{key.get_name()} {key.get_base64()}"


class Clock:
    """Real time, in which sleeping takes none; ``on_sleep`` is called before each sleep."""

    def __init__(self) -> None:
        self.sleeps: list[float] = []
        self.on_sleep: Callable[[], object] = lambda: None
        self._ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def sleep(self, seconds: float) -> None:
        self.on_sleep()
        self.sleeps.append(seconds)
        self._ahead += seconds


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


def a_server(**fields: Any) -> Server:
    return Server(
        id="5f1e", name="web", project_id="p", cloud_id="c", created_at=datetime(2026, 1, 1, tzinfo=UTC),
        status=ServerStatus.ACTIVE, native_status="ACTIVE", **fields,
    )  # fmt: skip


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
