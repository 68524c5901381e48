from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from ssh_parts import Clock, a_server, new_key, public_line
from ssh_server import SshServer

from cloudkit.errors import (
    HostKeyChanged,
    HostKeyUnknown,
    InvalidRequest,
    PermissionDenied,
    Unavailable,
    Unsupported,
    WaitTimeout,
)
from cloudkit.ssh import Shell
from cloudkit.types import Endpoint

Open = Callable[..., Shell]
Start = Callable[..., SshServer]


def digest(key: Any) -> str:
    return str(key.fingerprint)


def console(*keys: Any) -> str:
    lines = "\n".join(public_line(key) for key in keys)
    return f"booting\n-----BEGIN SSH HOST KEY KEYS-----\n{lines}\n-----END SSH HOST KEY KEYS-----\nlogin:"


def no_console() -> str:
    raise AssertionError("the console was asked, where another source comes first")


# ---------------------------------------------------------------- the sources, in their order


@pytest.mark.parametrize("form", ["{line}", "{line} root@web", "{digest}", "{type} {digest}"])
def test_a_given_host_key_is_accepted_in_each_form(ssh_server: SshServer, open_to: Open, form: str) -> None:
    key = ssh_server.host_keys[0]
    given = form.format(line=public_line(key), digest=digest(key), type=key.get_name())
    with open_to(ssh_server, host_key=given) as shell:
        assert shell.host_key == f"ssh-ed25519 {digest(key)}"


def test_a_given_host_key_comes_before_the_recorded_one_and_the_console(ssh_server: SshServer, open_to: Open) -> None:
    key = ssh_server.host_keys[0]
    other = a_server(host_key=public_line(new_key()))
    with open_to(ssh_server, host_key=public_line(key), server=other, console_log=no_console) as shell:
        assert shell.run("true").exit_status == 0


def test_the_recorded_host_key_comes_before_the_console(ssh_server: SshServer, open_to: Open) -> None:
    server = a_server(host_key=f"ssh-ed25519 {digest(ssh_server.host_keys[0])}")
    with open_to(ssh_server, server=server, console_log=no_console) as shell:
        assert shell.run("true").exit_status == 0


def test_the_console_s_first_block_is_the_last_source(ssh_server: SshServer, open_to: Open) -> None:
    later = console(new_key())
    with open_to(ssh_server, console_log=lambda: console(ssh_server.host_keys[0]) + later) as shell:
        assert shell.run("true").exit_status == 0


def test_keys_that_are_printed_after_the_first_block_are_not_believed(ssh_server: SshServer, open_to: Open) -> None:
    forged = console(ssh_server.host_keys[0])
    with pytest.raises(HostKeyChanged, match="printed to the console at boot"):
        open_to(ssh_server, console_log=lambda: console(new_key()) + forged)


def test_a_console_is_waited_for_until_it_has_the_whole_block(
    ssh_server: SshServer, open_to: Open, clock: Clock
) -> None:
    whole = console(ssh_server.host_keys[0])
    stages = ["", "booting\n", whole[: whole.index("-----END")], whole]
    with open_to(ssh_server, console_log=lambda: stages[len(clock.sleeps)]) as shell:
        assert shell.run("true").exit_status == 0
    assert (len(clock.sleeps), ssh_server.accepted) == (3, 1)


def test_a_console_that_does_not_answer_is_asked_again(ssh_server: SshServer, open_to: Open, clock: Clock) -> None:
    def log() -> str:
        if not clock.sleeps:
            raise Unavailable("busy")
        return console(ssh_server.host_keys[0])

    with open_to(ssh_server, console_log=log) as shell:
        assert shell.run("true").exit_status == 0


# ---------------------------------------------------------------- nothing to compare with


def raising(error: Exception) -> Callable[[], str]:
    def log() -> str:
        raise error

    return log


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (None, "its console log is not available"),
        (raising(Unsupported("no")), "this back-end has no console log"),
        (lambda: console(), "holds no whole key"),
    ],
)
def test_without_any_source_the_host_key_is_unknown_at_once(
    ssh_server: SshServer, open_to: Open, log: Any, reason: str
) -> None:
    with pytest.raises(HostKeyUnknown, match=reason) as caught:
        open_to(ssh_server, console_log=log)
    assert "host_key=" in caught.value.hint
    assert ssh_server.accepted == 0


def test_a_console_that_may_not_be_read_ends_the_wait(ssh_server: SshServer, open_to: Open) -> None:
    with pytest.raises(PermissionDenied):
        open_to(ssh_server, console_log=raising(PermissionDenied("no")))


def test_a_server_that_answers_and_tells_no_key_is_unknown_at_the_deadline(
    ssh_server: SshServer, open_to: Open, clock: Clock
) -> None:
    with pytest.raises(HostKeyUnknown, match="its console log told none within 60 s") as caught:
        open_to(ssh_server, console_log=lambda: "a\nb", timeout_s=60.0)
    assert caught.value.console_tail == "a\nb"
    assert ssh_server.logins == []


@pytest.mark.parametrize("answer", [None, b"", b"HTTP"])
def test_a_server_that_does_not_speak_ssh_either_is_a_time_out(
    ssh_server: SshServer, open_to: Open, clock: Clock, answer: bytes | None
) -> None:
    def step(sock: socket.socket) -> None:
        sock.sendall(answer or b"")
        sock.close()

    ssh_server.script = [step]
    place = ssh_server.endpoint if answer is not None else Endpoint(host="127.0.0.1", port=1)
    with pytest.raises(WaitTimeout, match="nothing spoke SSH for web"):
        open_to(ssh_server, console_log=lambda: "", endpoints=lambda: [place], timeout_s=60.0)


def test_a_damaged_record_is_unknown_and_says_so(ssh_server: SshServer, open_to: Open) -> None:
    with pytest.raises(HostKeyUnknown, match="recorded with web is damaged"):
        open_to(ssh_server, server=a_server(host_key="ssh-ed25519 SHA256:short"))


@pytest.mark.parametrize(
    "given", ["", "nonsense", "SHA256:short", "ssh-dss SHA256:" + "A" * 43, "a b SHA256:" + "A" * 43]
)
def test_a_given_host_key_that_is_none_is_refused(ssh_server: SshServer, open_to: Open, given: str) -> None:
    with pytest.raises(InvalidRequest):
        open_to(ssh_server, host_key=given)
    assert ssh_server.accepted == 0


# ---------------------------------------------------------------- another key than the server's


def test_another_host_key_ends_the_wait_before_anything_is_sent(
    ssh_server: SshServer, open_to: Open, clock: Clock
) -> None:
    expected = new_key()
    with pytest.raises(HostKeyChanged) as caught:
        open_to(ssh_server, host_key=public_line(expected))
    text = caught.value.message
    assert f"expected ssh-ed25519 {digest(expected)} (given as host_key=)" in text
    assert f"got ssh-ed25519 {digest(ssh_server.host_keys[0])}" in text
    assert caught.value.resource == a_server()
    assert (clock.sleeps, ssh_server.logins, ssh_server.accepted) == ([], [], 1)


def test_a_key_of_another_type_than_expected_is_another_key(start: Start, open_to: Open, ecdsa: Any) -> None:
    server = start(ecdsa)
    with pytest.raises(HostKeyChanged, match="got ecdsa-sha2-nistp256 SHA256:"):
        open_to(server, host_key=public_line(new_key()))


@pytest.mark.parametrize("name", ["ed25519", "ecdsa", "rsa"])
def test_of_several_host_keys_the_expected_type_is_asked_for(
    start: Start, open_to: Open, request: pytest.FixtureRequest, name: str
) -> None:
    keys = {each: request.getfixturevalue(each) for each in ("ed25519", "ecdsa", "rsa")}
    with open_to(start(*keys.values()), host_key=public_line(keys[name])) as shell:
        assert shell.host_key == f"{keys[name].get_name()} {digest(keys[name])}"


@pytest.mark.parametrize("name", ["ed25519", "ecdsa", "rsa"])
def test_a_fingerprint_alone_is_compared_with_the_server_s_keys_of_all_types(
    start: Start, open_to: Open, request: pytest.FixtureRequest, name: str
) -> None:
    keys = {each: request.getfixturevalue(each) for each in ("ed25519", "ecdsa", "rsa")}
    server = start(*keys.values())
    with open_to(server, host_key=digest(keys[name])) as shell:
        assert shell.host_key == f"{keys[name].get_name()} {digest(keys[name])}"
    assert server.accepted == ["ed25519", "ecdsa", "rsa"].index(name) + 1


def test_a_fingerprint_of_none_of_the_server_s_keys_is_another_key(
    start: Start, open_to: Open, ed25519: Any, ecdsa: Any
) -> None:
    server = start(ed25519, ecdsa)
    with pytest.raises(HostKeyChanged) as caught:
        open_to(server, host_key=digest(new_key()))
    assert "any type SHA256:" in caught.value.message
    assert digest(ed25519) in caught.value.message
    assert digest(ecdsa) in caught.value.message
    assert server.logins == []


def test_each_key_of_the_console_is_good(start: Start, open_to: Open, ecdsa: Any, ed25519: Any) -> None:
    with open_to(start(ecdsa), console_log=lambda: console(ed25519, ecdsa)) as shell:
        assert shell.host_key.startswith("ecdsa-sha2-nistp256 ")
