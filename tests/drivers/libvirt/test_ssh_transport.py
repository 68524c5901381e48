"""How libvirt's ssh is run, and what it says when it fails."""

from __future__ import annotations

import gc
import os
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkit.errors import CloudError, ConfigError, HostKeyChanged, HostKeyUnknown, Unauthenticated
from cloudkit_libvirt.ssh_transport import failure_of, query_of, remove_with, ssh_options, with_ssh_command
from cloudkit_libvirt.uri import endpoint

# OpenSSH 9.2, as libvirt 9.0 passes it on.
RECEIVING, UNVERIFIED = "Cannot recv data:", "Host key verification failed."
URI = "qemu+ssh://me@host:2222/system"


class Owner:
    """What a command lives as long as."""


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def run(uri: str, tmp_path: Path, *arguments: str) -> list[str]:
    """The arguments that ``ssh`` gets when libvirt runs a URI's command."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "ssh").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tools / "ssh").chmod(0o755)
    command = query_of(with_ssh_command(uri))["command"]
    env = {"PATH": f"{tools}:{os.environ['PATH']}"}
    done = subprocess.run([command, *arguments], env=env, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_ssh_is_told_what_libvirt_does_not_tell_it(tmp_path: Path) -> None:
    uri = f"{URI}?keyfile=/k&known_hosts={quote('/of mine/known 100%')}"
    words = run(uri, tmp_path, "-p", "2222", "--", "host", "sh -c 'x'")
    assert words[-5:] == ["-p", "2222", "--", "host", "sh -c 'x'"]
    assert set(words[1:-5:2]) == {
        "BatchMode=yes", "ConnectTimeout=15", "ServerAliveInterval=5", "ServerAliveCountMax=3", "IdentitiesOnly=yes",
        "StrictHostKeyChecking=yes", "GlobalKnownHostsFile=none", 'UserKnownHostsFile="/of mine/known 100%%"',
    }  # fmt: skip
    assert set(words[0:-5:2]) == {"-o"}


def test_host_keys_are_checked_as_the_user_has_it_where_no_file_is_named() -> None:
    assert not {word.partition("=")[0] for word in ssh_options({})} & {"StrictHostKeyChecking", "UserKnownHostsFile"}


def test_a_terminal_is_asked_only_where_that_is_named() -> None:
    assert "BatchMode=yes" in ssh_options({})
    assert "BatchMode=yes" not in ssh_options({"no_tty": "0"})


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\n\r"), min_size=1, max_size=20))
def test_no_path_breaks_the_command(path: str) -> None:
    uri = f"{URI}?known_hosts={quote(path, safe='')}"
    assert query_of(uri) == {"known_hosts": path}
    command = Path(query_of(with_ssh_command(uri))["command"])
    compile(command.read_text(), "command", "exec")
    assert repr(ssh_options({"known_hosts": path})) in command.read_text()


@pytest.mark.parametrize("uri", ["qemu:///system", "qemu+unix:///system", "qemu+tls://h/system", "qemu+libssh://h/s"])
def test_other_transports_stay_as_they_are(uri: str) -> None:
    assert with_ssh_command(uri) == uri


def test_a_command_of_the_users_own_is_left_alone() -> None:
    assert with_ssh_command(f"{URI}?command=/my/ssh") == f"{URI}?command=/my/ssh"


@pytest.mark.parametrize("query", ["command=/my/ssh&known_hosts=/k", "no_verify=1&known_hosts=/k"])
def test_contradictions_are_refused(query: str) -> None:
    with pytest.raises(ConfigError):
        with_ssh_command(f"{URI}?{query}")


def test_where_no_program_can_be_run_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(ConfigError, match="no program can be run") as raised:
        with_ssh_command(URI)
    assert "TMPDIR" in raised.value.hint
    assert list(tmp_path.iterdir()) == []


def test_the_command_goes_with_the_connection(tmp_path: Path) -> None:
    owner = Owner()
    remove_with(owner, with_ssh_command(URI))
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    del owner
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_users_own_command_stays(tmp_path: Path) -> None:
    mine = tmp_path / "ssh"
    mine.touch()
    owner = Owner()
    remove_with(owner, f"{URI}?command={mine}")
    del owner
    gc.collect()
    assert mine.exists()


def test_guests_are_reached_as_libvirt_is() -> None:
    found = endpoint(f"{URI}?keyfile=/k%20ey&known_hosts=/a+b", "10.0.0.2", 22)
    assert (found.host, found.port, found.jump) == ("10.0.0.2", 22, "me@host:2222")
    assert (found.jump_key, found.jump_known_hosts) == ("/k ey", "/a+b")
    assert endpoint("qemu:///system", "10.0.0.2", 22).jump is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"{RECEIVING} @@@@\nWARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\n{UNVERIFIED}", HostKeyChanged),
        (f"{RECEIVING} No ED25519 host key is known for [127.0.0.1]:2222.\n{UNVERIFIED}", HostKeyUnknown),
        (f"{RECEIVING} root@127.0.0.1: Permission denied (publickey).: Connection reset by peer", Unauthenticated),
        ("End of file while reading data: ssh: connect to host 127.0.0.1 port 9: Connection refused", None),
        ("Permission denied", None),
    ],
)  # fmt: skip
def test_failures(text: str, kind: type[CloudError] | None) -> None:
    failure = failure_of(text)
    assert type(failure) is (kind or type(None))
    if failure is not None:
        assert failure.fault == text
        assert failure.hint
        assert not failure.retryable
