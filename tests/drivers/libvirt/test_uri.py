"""What libvirt's URIs say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloudkit.errors import ConfigError, Unsupported
from cloudkit_libvirt.uri import default_pool_path, is_session, jump_of


@pytest.mark.parametrize(
    ("uri", "jump"),
    [
        ("qemu:///system", None),
        ("qemu+unix:///system?socket=/s", None),
        ("qemu+ssh://host/system", "host"),
        ("qemu+ssh://me@host:2222/system", "me@host:2222"),
        ("qemu+libssh2://me@[fe80::1]:22/system", "me@[fe80::1]:22"),
        ("qemu+ssh://[fe80::1]/system", "[fe80::1]"),
        # The ports of these are libvirtd's, and their users are SASL's.
        ("qemu+tls://me@host:16514/system", "host"),
        ("qemu+tcp://host:16509/system", "host"),
    ],
)
def test_where_guests_are_reached_from(uri: str, jump: str | None) -> None:
    assert jump_of(uri) == jump


def test_where_the_pool_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_pool_path("qemu:///system") == "/var/lib/libvirt/cloudkit"
    assert default_pool_path("qemu:///session") == "/home/me/.local/share/cloudkit/libvirt"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_pool_path("qemu:///session?socket=/s") == "/data/cloudkit/libvirt"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert Path(default_pool_path("qemu:///session")).is_absolute()


def test_a_session_elsewhere_must_be_told_its_folder() -> None:
    with pytest.raises(ConfigError, match="not known") as raised:
        default_pool_path("qemu+ssh://me@host/session")
    assert "pool_path" in raised.value.hint


def test_root_has_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(Unsupported) as raised:
        default_pool_path("qemu:///session")
    assert "qemu:///system" in raised.value.hint


@pytest.mark.parametrize(
    ("uri", "session"),
    [("qemu:///session", True), ("qemu+ssh://h/session?keyfile=/k", True), ("qemu:///system", False)],
)
def test_sessions(uri: str, session: bool) -> None:
    assert is_session(uri) is session
