from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from ssh_parts import Clock, new_key
from ssh_server import SshServer

from cloudkit._keys import generate_key_pair, parse_public_key, write_private_key
from cloudkit.errors import InvalidRequest, SshAuthFailed, SshError
from cloudkit.ssh import Shell, user_keys
from cloudkit.ssh.user_keys import load_key

Open = Callable[..., Shell]


@pytest.fixture(autouse=True)
def no_cache() -> None:
    user_keys._cache.clear()


def pem(key: Any, form: str = "PKCS8", password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), encryption)
    )


def write(home: Path, data: bytes) -> Path:
    path = home / "id"
    path.write_bytes(data)
    return path


def test_a_key_file_logs_in(ssh_server: SshServer, open_to: Open, home: Path) -> None:
    private, public = generate_key_pair("me")
    write_private_key(home / "id", private)
    ssh_server.known = {parse_public_key(public).blob}
    for key in (home / "id", str(home / "id"), "~/id"):
        with open_to(ssh_server, key=key) as shell:
            assert shell.run("true").exit_status == 0


@pytest.mark.parametrize("form", ["OpenSSH", "PKCS8", "TraditionalOpenSSL"])
@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_a_key_is_read_in_each_format(home: Path, request: pytest.FixtureRequest, kind: str, form: str) -> None:
    key = request.getfixturevalue(kind)
    native = key.key if kind == "rsa" else key.signing_key
    assert load_key(write(home, pem(native, form))).asbytes() == key.asbytes()


def test_an_rsa_key_of_another_size_logs_in_too(ssh_server: SshServer, open_to: Open, rsa: Any) -> None:
    ssh_server.known = {rsa.asbytes()}
    with open_to(ssh_server, key=rsa) as shell:
        assert shell.run("true").exit_status == 0


def test_a_file_is_parsed_once_until_it_changes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(home, generate_key_pair()[0].encode())
    first = load_key(path)
    assert load_key(path) is first
    path.write_bytes(generate_key_pair()[0].encode())
    os.utime(path, ns=(1, 1))
    assert load_key(path).asbytes() != first.asbytes()


def test_the_cache_does_not_grow_without_end(home: Path) -> None:
    for number in range(user_keys._MAX_CACHED + 3):
        path = home / str(number)
        path.write_bytes(generate_key_pair()[0].encode())
        load_key(path)
    assert len(user_keys._cache) <= user_keys._MAX_CACHED


@pytest.mark.parametrize("form", ["OpenSSH", "PKCS8"])
def test_an_encrypted_key_says_to_use_the_agent(home: Path, ecdsa: Any, form: str) -> None:
    path = write(home, pem(ecdsa.signing_key, form, b"s3cret"))
    with pytest.raises(SshError, match="is encrypted") as caught:
        load_key(path)
    assert "ssh-add" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"", "OpenSSH's or PEM format"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\ngarbage\n-----END OPENSSH PRIVATE KEY-----\n", "PEM format"),
        pytest.param(generate_key_pair()[1].encode(), "without .pub", id="ed25519"),
        (b"ecdsa-sha2-nistp256 AAAA", "without .pub"),
        (b"ssh-rsa AAAA", "without .pub"),
    ],
)
def test_a_file_without_a_private_key_says_what_to_give(home: Path, data: bytes, hint: str) -> None:
    with pytest.raises(InvalidRequest, match="holds no private key") as caught:
        load_key(write(home, data))
    assert hint in caught.value.hint
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("make", [ed448.Ed448PrivateKey.generate, lambda: ec.generate_private_key(ec.SECP256K1())])
def test_a_key_of_a_type_that_ssh_does_not_have_is_refused(home: Path, make: Any) -> None:
    path = write(home, pem(make()))
    with pytest.raises(InvalidRequest, match="of a type that is not supported"):
        load_key(path)


@pytest.mark.parametrize("key", [42, b"bytes", ["list"]])
def test_what_is_neither_a_path_nor_a_key_is_refused(key: Any) -> None:
    with pytest.raises(InvalidRequest, match="neither a path nor a paramiko key"):
        load_key(key)


def test_a_key_s_text_in_the_place_of_its_path_is_not_repeated() -> None:
    private = generate_key_pair()[0]
    with pytest.raises(InvalidRequest) as caught:
        load_key(private)
    assert private.splitlines()[1] not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize("place", ["nothing", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_refused(home: Path, place: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read") as caught:
        load_key(os.path.join(home, place))
    assert caught.value.hint


class Agent:
    """An SSH agent with keys; closed when it is no longer asked."""

    keys: tuple[Any, ...] = ()
    closed = 0

    def get_keys(self) -> tuple[Any, ...]:
        return self.keys

    def close(self) -> None:
        Agent.closed += 1


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> type[Agent]:
    monkeypatch.setattr(Agent, "closed", 0)
    monkeypatch.setattr(Agent, "keys", ())
    monkeypatch.setattr(paramiko, "Agent", Agent)
    return Agent


def test_without_a_key_those_of_the_agent_are_offered_in_turn(
    ssh_server: SshServer, open_to: Open, agent: type[Agent], user_key: Any, clock: Clock
) -> None:
    agent.keys = (new_key(), new_key(), user_key)
    with open_to(ssh_server, key=None) as shell:
        assert shell.run("true").exit_status == 0
    assert [result for _, result in ssh_server.logins] == ["refused", "refused", "in"]
    assert (agent.closed, clock.sleeps) == (1, [])


def test_not_more_keys_of_the_agent_are_offered_than_servers_stand(
    ssh_server: SshServer, open_to: Open, agent: type[Agent], clock: Clock
) -> None:
    agent.keys = tuple(new_key() for _ in range(9))
    with pytest.raises(SshAuthFailed, match=r"5 key\(s\) refused"):
        open_to(ssh_server, key=None, auth_grace_s=0.0)
    assert len(ssh_server.logins) == 5
    assert agent.closed == 1


def test_without_a_key_and_without_an_agent_the_argument_is_named(
    ssh_server: SshServer, open_to: Open, agent: type[Agent]
) -> None:
    with pytest.raises(InvalidRequest, match="no SSH agent with a key") as caught:
        open_to(ssh_server, key=None)
    assert "key=" in caught.value.hint
    assert (ssh_server.accepted, agent.closed) == (0, 1)
