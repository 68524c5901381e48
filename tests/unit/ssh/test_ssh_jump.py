from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ssh_parts import Clock, new_key, public_line
from ssh_server import SshServer

from cloudkit._keys import generate_key_pair, parse_public_key, write_private_key
from cloudkit.errors import HostKeyChanged, HostKeyUnknown, SshAuthFailed, WaitTimeout
from cloudkit.ssh import Shell
from cloudkit.ssh.jump import split_destination
from cloudkit.types import Endpoint

Open = Callable[..., Shell]
Start = Callable[..., SshServer]


@pytest.fixture
def jump(start: Start, home: Path) -> SshServer:
    """A host that the user's ssh knows and that lets the user's own key in."""
    private, public = generate_key_pair()
    write_private_key(home / ".ssh" / "id_ed25519", private)
    host = start(new_key(), known=())
    host.known = {parse_public_key(public).blob}
    know(home, host, host.host_keys[0])
    return host


def know(home: Path, host: SshServer, key: Any) -> None:
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{host.port} {public_line(key)}\n")


def through(jump: SshServer, server: SshServer) -> dict[str, Any]:
    place = Endpoint(host="127.0.0.1", port=server.port, jump=f"me@127.0.0.1:{jump.port}")
    return {"endpoints": lambda: [place]}


def test_a_server_behind_a_jump_host_is_reached_through_it(
    jump: SshServer, ssh_server: SshServer, open_to: Open
) -> None:
    with open_to(ssh_server, **through(jump, ssh_server)) as shell:
        assert shell.run("echo behind").stdout == "behind\n"
    assert jump.forwarded == [("127.0.0.1", ssh_server.port)]
    assert jump.logins == [("me", "in")]
    assert ssh_server.logins == [("cirros", "in")]


def test_closing_the_shell_closes_the_way_to_the_jump_host(
    jump: SshServer, ssh_server: SshServer, open_to: Open
) -> None:
    before = {thread for thread in threading.enumerate() if not thread.name.startswith("test-")}
    with open_to(ssh_server, **through(jump, ssh_server)) as shell:
        shell.run("true")
    for server in (jump, ssh_server):
        for transport in server.transports:
            transport.join(5)
    left = {thread for thread in threading.enumerate() if thread.is_alive() and not thread.daemon}
    assert left <= before


def test_the_server_s_own_host_key_is_verified_behind_a_jump_host(
    jump: SshServer, ssh_server: SshServer, open_to: Open
) -> None:
    with pytest.raises(
        HostKeyChanged, match=f"127.0.0.1:{ssh_server.port} through me@127.0.0.1:{jump.port} presents"
    ):
        open_to(ssh_server, host_key=public_line(new_key()), **through(jump, ssh_server))
    assert ssh_server.logins == []
    assert not any(transport.is_active() for transport in jump.transports if not transport.join(5))


def test_one_connection_to_the_jump_host_serves_all_tries(
    jump: SshServer, ssh_server: SshServer, open_to: Open, clock: Clock
) -> None:
    ssh_server.script = [socket.socket.close, socket.socket.close]
    with open_to(ssh_server, **through(jump, ssh_server)) as shell:
        assert shell.run("true").exit_status == 0
    assert (jump.accepted, ssh_server.accepted) == (1, 3)


def test_a_port_that_refuses_behind_a_jump_host_is_waited_for(
    jump: SshServer, ssh_server: SshServer, open_to: Open, clock: Clock
) -> None:
    with pytest.raises(WaitTimeout) as caught:
        open_to(ssh_server, endpoints=lambda: [Endpoint(host="127.0.0.1", port=1, jump=f"me@127.0.0.1:{jump.port}")])
    assert "through me@127.0.0.1" in str(caught.value.fault)
    assert jump.accepted == 1


def test_a_jump_host_that_has_gone_is_connected_again(
    jump: SshServer, ssh_server: SshServer, open_to: Open, clock: Clock
) -> None:
    def drop(sock: socket.socket) -> None:
        jump.hang_up()
        sock.close()

    ssh_server.script = [drop]
    with open_to(ssh_server, **through(jump, ssh_server)) as shell:
        assert shell.run("true").exit_status == 0
    assert jump.accepted == 2


def elsewhere(home: Path, folder: Path, jump: SshServer, server: SshServer) -> Endpoint:
    """The same way, with key and known hosts in files of their own."""
    key, known_hosts = folder / "jump_key", folder / "jump_hosts"
    (home / ".ssh/id_ed25519").rename(key)
    (home / ".ssh/known_hosts").rename(known_hosts)
    (place,) = through(jump, server)["endpoints"]()
    return replace(place, jump_key=str(key), jump_known_hosts=str(known_hosts))


def test_key_and_known_hosts_of_the_jump_host_may_be_files_of_their_own(
    jump: SshServer, ssh_server: SshServer, open_to: Open, home: Path, tmp_path: Path
) -> None:
    place = elsewhere(home, tmp_path, jump, ssh_server)
    with open_to(ssh_server, endpoints=lambda: [place]) as shell:
        assert shell.run("echo behind").stdout == "behind\n"
    # Where they are named, the user's own are not looked at.
    (tmp_path / "jump_hosts").rename(home / ".ssh/known_hosts")
    with pytest.raises(HostKeyUnknown, match="jump_hosts cannot be read"):
        open_to(ssh_server, endpoints=lambda: [place])


def test_another_key_than_the_named_one_is_not_tried(
    jump: SshServer, ssh_server: SshServer, open_to: Open, home: Path, tmp_path: Path
) -> None:
    place = elsewhere(home, tmp_path, jump, ssh_server)
    (tmp_path / "jump_key").rename(home / ".ssh/id_ed25519")
    write_private_key(tmp_path / "jump_key", generate_key_pair()[0])
    with pytest.raises(SshAuthFailed) as caught:
        open_to(ssh_server, endpoints=lambda: [place])
    assert f"ssh -i {tmp_path / 'jump_key'} -p {jump.port} me@127.0.0.1" in caught.value.hint
    assert jump.logins == [("me", "refused")]


def test_a_jump_host_may_be_an_alias_of_the_users_ssh_configuration(
    jump: SshServer, ssh_server: SshServer, open_to: Open, home: Path
) -> None:
    config = f"Host lab\n  HostName 127.0.0.1\n  Port {jump.port}\n  User me\n"
    (home / ".ssh/config").write_text(config)
    place = Endpoint(host="127.0.0.1", port=ssh_server.port, jump="lab")
    with open_to(ssh_server, endpoints=lambda: [place]) as shell:
        assert shell.run("echo behind").stdout == "behind\n"
    assert jump.logins == [("me", "in")]


def test_an_unknown_jump_host_says_how_to_get_to_know_it(
    jump: SshServer, ssh_server: SshServer, open_to: Open, home: Path
) -> None:
    (home / ".ssh" / "known_hosts").write_text("")
    with pytest.raises(HostKeyUnknown, match=r"jump host 127\.0\.0\.1 is not in known_hosts") as caught:
        open_to(ssh_server, **through(jump, ssh_server))
    assert caught.value.hint == f"Log in once with: ssh -p {jump.port} me@127.0.0.1"
    assert (jump.logins, ssh_server.accepted) == ([], 0)


def test_a_jump_host_with_another_key_is_refused(
    jump: SshServer, ssh_server: SshServer, open_to: Open, home: Path
) -> None:
    know(home, jump, new_key())
    with pytest.raises(HostKeyChanged, match="another host key than known_hosts has"):
        open_to(ssh_server, **through(jump, ssh_server))
    assert (jump.logins, ssh_server.accepted) == ([], 0)


def test_a_jump_host_that_refuses_the_user_ends_the_wait(
    jump: SshServer, ssh_server: SshServer, open_to: Open
) -> None:
    jump.known = set()
    with pytest.raises(SshAuthFailed, match=rf"jump host me@127\.0\.0\.1:{jump.port} refused the login"):
        open_to(ssh_server, **through(jump, ssh_server))


def test_a_jump_host_without_any_key_of_the_user_ends_the_wait(
    jump: SshServer, ssh_server: SshServer, open_to: Open, home: Path
) -> None:
    (home / ".ssh" / "id_ed25519").unlink()
    with pytest.raises(SshAuthFailed):
        open_to(ssh_server, **through(jump, ssh_server))


def test_a_jump_host_that_does_not_answer_is_waited_for_and_leaves_no_thread(
    jump: SshServer, ssh_server: SshServer, open_to: Open, clock: Clock
) -> None:
    before = set(threading.enumerate())
    jump.script = [lambda sock: (sock.sendall(b"HTTP\r\n"), sock.close())[1]]
    with open_to(ssh_server, **through(jump, ssh_server)) as shell:
        assert shell.run("true").exit_status == 0
    assert jump.accepted == 2
    assert not [thread for thread in set(threading.enumerate()) - before if isinstance(thread, threading.Timer)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("host", (None, "host", None)),
        ("me@host", ("me", "host", None)),
        ("me@host:2222", ("me", "host", 2222)),
        ("a@b@host", ("a@b", "host", None)),
        ("::1", (None, "::1", None)),
        ("fe80::1:2", (None, "fe80::1:2", None)),
        ("me@[::1]", ("me", "::1", None)),
        ("[::1]:2222", (None, "::1", 2222)),
    ],
)
def test_a_destination_has_a_user_a_host_and_a_port(text: str, parts: tuple[str | None, str, int | None]) -> None:
    assert split_destination(text) == parts
