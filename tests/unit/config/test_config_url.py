from __future__ import annotations

import pytest

from cloudkit.config import Profile, resolve
from cloudkit.errors import ConfigError


def address(url: str) -> str:
    return resolve(url).request.address


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("toy://", ""),
        ("toy://somewhere", "somewhere"),
        ("toy+qemu:///system", "qemu:///system"),
        ("toy+qemu+unix:///system?socket=/run/x", "qemu+unix:///system?socket=/run/x"),
        ("toy+qemu+ssh://root@host:22/system?keyfile=/a@b&port=1", "qemu+ssh://root@host:22/system?keyfile=/a@b"),
        ("toy+qemu+ssh://[::1]:22/system", "qemu+ssh://[::1]:22/system"),
        ("toy+qemu+ssh://root@[fe80::1]:22/system", "qemu+ssh://root@[fe80::1]:22/system"),
        ("toy+qemu:///system?keyfile=%2Fa%26b", "qemu:///system?keyfile=%2Fa%26b"),
    ],
)
def test_address(url: str, expected: str) -> None:
    assert address(url) == expected


def test_the_query_is_options_and_project() -> None:
    profile = resolve("toy://?port=7&host=a+b%20c&project=p1")
    assert profile.request.options == {"host": "a+b c", "port": 7, "password": None, "pin_secret": None}
    assert profile.request.project_id == "p1"


def test_the_name_is_the_url_without_its_query() -> None:
    profile: Profile = resolve("toy+qemu:///system?socket=/run/x")
    assert (profile.name, profile.request.profile) == ("toy+qemu:///system", "toy+qemu:///system")


@pytest.mark.parametrize(
    "url",
    [
        "toy://user:hunter2@host",
        "toy://:hunter2@host/",
        "toy+qemu+ssh://root:hunter2@host:22/system",
        "toy://user:hunt/er2@host",
        "toy://user:hunt?er2@host",
        "toy://user:22hunter2@host",
        "toy://?password=hunter2",
        "toy://?host=x&db_password=hunter2",
        "toy://?auth_token=hunter2",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(url)
    assert "hunt" not in str(caught.value)
    assert "er2" not in str(caught.value)
    assert "_env" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("://host", "names no driver"),
        ("+qemu://host", "names no driver"),
        ("toy+://host", "names no driver"),
        ("toy://?port", "not made of KEY=VALUE pairs"),
        ("toy://?=7", "not made of KEY=VALUE pairs"),
        ("toy://?port=1&port=2", "gives 'port' twice"),
        ("toy://?prot=1", "the driver 'toy' has no option 'prot'"),
        ("toy://?port=0", "port: '0' is not a valid value: it must be from 1 to 65535"),
        ("toy://?port=x", "port: 'x' is not a valid value"),
        ("toy://?password_command=id", "a list of arguments is expected"),
        ("toy://?project=", "project: a name or id is expected"),
        ("toi://", "there is no driver 'toi'"),
    ],
)
def test_what_is_wrong_in_a_url_is_named(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(url)
    assert message in str(caught.value)


def test_an_unknown_option_comes_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve("toy://?prot=1")
    assert caught.value.hint == "Did you mean 'port'? Known: host, password, pin_secret, port."


def test_a_url_reads_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDKIT_CONFIG", "/nowhere/cloudkit.toml")
    assert resolve("toy://").plugin.name == "toy"
