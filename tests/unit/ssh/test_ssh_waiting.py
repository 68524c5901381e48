from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from ssh_parts import Clock, a_server, new_key, public_line
from ssh_server import SshServer

from cloudkit.errors import (
    InvalidRequest,
    MissingExtra,
    PermissionDenied,
    SshAuthFailed,
    SshError,
    Unavailable,
    WaitTimeout,
)
from cloudkit.ssh import Shell, open_shell
from cloudkit.ssh.paramiko_module import load_paramiko
from cloudkit.types import Endpoint

Open = Callable[..., Shell]
Start = Callable[..., SshServer]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def hang_up(sock: socket.socket) -> None:
    sock.close()


def say(text: bytes) -> Callable[[socket.socket], None]:
    def step(sock: socket.socket) -> None:
        sock.sendall(text)
        sock.close()

    return step


def stay_silent(sock: socket.socket) -> None:
    """Accept, as a port forwarder does whose guest has not booted."""


# ---------------------------------------------------------------- a guest that boots


@pytest.mark.parametrize("step", [hang_up, say(b"HTTP/1.0 400\r\n\r\n"), say(b"SSH-2.0-half"), say(b"")])
def test_a_port_that_accepts_is_not_taken_for_an_ssh_that_talks(
    ssh_server: SshServer, open_to: Open, clock: Clock, step: Any
) -> None:
    ssh_server.script = [step, step]
    with open_to(ssh_server) as shell:
        assert shell.run("echo up").stdout == "up\n"
    assert ssh_server.accepted == 3
    assert len(clock.sleeps) == 2


def test_a_port_that_refuses_is_tried_until_it_answers(
    start: Start, open_to: Open, clock: Clock, ed25519: Any
) -> None:
    late = Endpoint(host="127.0.0.1", port=free_port())
    clock.on_sleep = lambda: len(clock.sleeps) == 3 and start(port=late.port)
    with open_to(None, endpoints=lambda: [late], host_key=public_line(ed25519)) as shell:
        assert shell.endpoint == late
    assert len(clock.sleeps) == 4


def test_a_server_that_sends_no_banner_is_left_and_tried_again(
    ssh_server: SshServer, open_to: Open, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr("cloudkit.ssh.connect._Opening._within", lambda *_: 0.05)
    ssh_server.script = [stay_silent]
    with open_to(ssh_server) as shell:
        assert shell.run("true").exit_status == 0
    assert ssh_server.accepted == 2


def test_pauses_grow_with_the_wait_and_stay_within_the_deadline(open_to: Open, clock: Clock) -> None:
    place = Endpoint(host="127.0.0.1", port=free_port())
    with pytest.raises(
        WaitTimeout, match=rf"nothing spoke SSH for web within 100 s at 127\.0\.0\.1:{place.port}"
    ) as caught:
        open_to(None, endpoints=lambda: [place], host_key=public_line(new_key()), timeout_s=100.0)
    assert clock.sleeps[0] == pytest.approx(0.05)
    assert max(clock.sleeps) == 1.0
    assert sum(clock.sleeps) == pytest.approx(100, abs=1)
    assert "Connection refused" in str(caught.value.fault)
    assert "security group" in caught.value.hint


def test_a_time_out_tells_the_console_s_last_lines(open_to: Open, clock: Clock) -> None:
    lines = "\n".join(f"line {number}" for number in range(30))
    with pytest.raises(WaitTimeout) as caught:
        open_to(
            None,
            endpoints=lambda: [Endpoint(host="127.0.0.1", port=free_port())],
            console_log=lambda: lines,
            host_key=public_line(new_key()),
            timeout_s=1.0,
        )
    assert caught.value.console_tail == "\n".join(f"line {number}" for number in range(10, 30))
    assert caught.value.resource == a_server()


def test_a_console_that_cannot_be_read_does_not_hide_the_time_out(open_to: Open, clock: Clock) -> None:
    def console() -> str:
        raise Unavailable("gone")

    with pytest.raises(WaitTimeout) as caught:
        open_to(
            None,
            endpoints=lambda: [Endpoint(host="127.0.0.1", port=free_port())],
            console_log=console,
            host_key=public_line(new_key()),
            timeout_s=1.0,
        )
    assert caught.value.console_tail is None


# ---------------------------------------------------------------- where it may be reached


def test_endpoints_are_tried_in_their_order(start: Start, open_to: Open, clock: Clock) -> None:
    first, second = start(), start()
    dead = Endpoint(host="127.0.0.1", port=free_port())
    with open_to(first, endpoints=lambda: [dead, second.endpoint, first.endpoint]) as shell:
        assert shell.endpoint == second.endpoint
    assert (first.accepted, clock.sleeps) == (0, [])


def test_endpoints_are_asked_for_again_as_a_floating_ip_may_come_late(
    ssh_server: SshServer, open_to: Open, clock: Clock
) -> None:
    answers = [[Endpoint(host="127.0.0.1", port=free_port())], [ssh_server.endpoint]]
    with open_to(ssh_server, endpoints=lambda: answers.pop(0), timeout_s=60.0) as shell:
        assert shell.endpoint == ssh_server.endpoint
    assert sum(clock.sleeps) > 5


def test_endpoints_that_cannot_be_told_at_the_moment_are_asked_for_again(
    ssh_server: SshServer, open_to: Open, clock: Clock
) -> None:
    answers: list[Any] = [Unavailable("later"), [ssh_server.endpoint]]

    def endpoints() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with open_to(ssh_server, endpoints=endpoints) as shell:
        assert shell.endpoint == ssh_server.endpoint


def test_endpoints_that_may_not_be_told_end_the_wait(ssh_server: SshServer, open_to: Open) -> None:
    def endpoints() -> Any:
        raise PermissionDenied("no")

    with pytest.raises(PermissionDenied):
        open_to(ssh_server, endpoints=endpoints)


def test_a_server_without_an_address_says_so(ssh_server: SshServer, open_to: Open, clock: Clock) -> None:
    with pytest.raises(WaitTimeout, match="has had no address that can be reached from here for 2 s") as caught:
        open_to(ssh_server, endpoints=list, timeout_s=2.0)
    assert caught.value.hint


# ---------------------------------------------------------------- logging in


def test_a_key_that_is_put_in_place_late_is_tried_again(ssh_server: SshServer, open_to: Open, clock: Clock) -> None:
    ssh_server.refuse = 2
    with open_to(ssh_server) as shell:
        assert shell.user == "cirros"
    assert ssh_server.logins == [("cirros", "refused")] * 2 + [("cirros", "in")]
    # Not faster: sshd shuts out who is refused often.
    assert clock.sleeps == [1.0, 2.0]


def test_a_refused_key_is_an_error_after_its_grace(ssh_server: SshServer, open_to: Open, clock: Clock) -> None:
    ssh_server.known = set()
    with pytest.raises(SshAuthFailed, match=r"web does not let 'cirros' in: 1 key\(s\) refused") as caught:
        open_to(ssh_server, timeout_s=120.0)
    assert sum(clock.sleeps) == pytest.approx(10, abs=0.5)
    assert len(ssh_server.logins) == 5
    assert caught.value.fault == "tried 5 time(s) in 10 s"


def test_a_refused_key_stays_the_reason_when_the_time_is_up_first(
    ssh_server: SshServer, open_to: Open, clock: Clock
) -> None:
    ssh_server.known = set()
    with pytest.raises(SshAuthFailed):
        open_to(ssh_server, timeout_s=2.0)


def test_a_server_that_takes_no_keys_ends_the_wait(ssh_server: SshServer, open_to: Open, clock: Clock) -> None:
    ssh_server.methods = "password"
    with pytest.raises(SshAuthFailed, match="takes no keys, only password"):
        open_to(ssh_server)
    assert clock.sleeps == []


def test_a_server_that_wants_more_than_a_key_ends_the_wait(
    ssh_server: SshServer, open_to: Open, clock: Clock
) -> None:
    ssh_server.more = True
    ssh_server.methods = "publickey,keyboard-interactive"
    with pytest.raises(SshAuthFailed, match="took the key and wants more: publickey, keyboard-interactive"):
        open_to(ssh_server)
    assert clock.sleeps == []


def test_a_connection_that_breaks_during_the_login_is_tried_again(
    ssh_server: SshServer, open_to: Open, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = ssh_server.known

    class BreaksOnce(set[bytes]):
        def __contains__(self, key: object) -> bool:
            ssh_server.known = known
            ssh_server.hang_up()
            return False

    ssh_server.known = BreaksOnce()
    with open_to(ssh_server) as shell:
        assert shell.run("true").exit_status == 0
    assert ssh_server.accepted == 2


# ---------------------------------------------------------------- arguments, and what is left behind


@pytest.mark.parametrize("changes", [{"user": ""}, {"timeout_s": 0}, {"timeout_s": -1}, {"key": "/nowhere/id"}])
def test_a_wrong_argument_is_refused_before_any_connection(
    ssh_server: SshServer, open_to: Open, changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest):
        open_to(ssh_server, **changes)
    assert ssh_server.accepted == 0


def test_without_paramiko_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paramiko", None)
    load_paramiko.cache_clear()
    try:
        with pytest.raises(MissingExtra) as caught:
            open_shell(server=a_server(), endpoints=list, user="cirros", key="k")
    finally:
        load_paramiko.cache_clear()
    assert caught.value.hint == "Run: pip install 'cloudkit-sdk[ssh]'"


def test_a_failed_wait_leaves_no_thread_and_no_connection(start: Start, open_to: Open, clock: Clock) -> None:
    before = set(threading.enumerate())
    server = start(new_key(), known=())
    accepting = set(threading.enumerate()) - before
    with pytest.raises(SshAuthFailed):
        open_to(server, auth_grace_s=1.0)
    for transport in server.transports:
        transport.join(5)
    assert set(threading.enumerate()) - before == accepting


def test_an_interrupted_wait_closes_what_is_open(
    ssh_server: SshServer, open_to: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = set(threading.enumerate())
    monkeypatch.setattr("cloudkit.ssh.connect.log_in", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_to(ssh_server)
    ssh_server.hang_up()
    assert set(threading.enumerate()) == before


def test_a_server_with_no_algorithm_in_common_is_an_error_at_once(
    ssh_server: SshServer, open_to: Open, clock: Clock
) -> None:
    ssh_server.ciphers = ("nobody-has-this",)
    with pytest.raises(SshError, match="offers no algorithm that we accept"):
        open_to(ssh_server)
    assert clock.sleeps == []
