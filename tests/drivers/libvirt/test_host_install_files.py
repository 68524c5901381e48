"""What ``cloudkit host install`` writes, below the test's own folder; and the hook, with tools that note calls."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudkit.driver import OpenRequest
from cloudkit.errors import AlreadyExists, CloudError, ConfigError, PermissionDenied, Unsupported
from cloudkit.host import Level
from cloudkit_libvirt import PLUGIN
from cloudkit_libvirt.host_upkeep import LibvirtHost
from cloudkit_libvirt.hostnet.installation import HOOKS, Installation
from cloudkit_libvirt.hostnet.installation_check import host_install

GUEST = "ck-0f0f0f0f-aaaa-4bbb-8ccc-ffffffffffff"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc/libvirt/hooks").mkdir(parents=True)
    (tmp_path / "etc/modules-load.d").mkdir()
    (tmp_path / "var/lib").mkdir(parents=True)
    return tmp_path


def tree(root: Path) -> dict[str, str]:
    """All files and folders below it, and what is in them."""
    return {str(path.relative_to(root)): path.read_text() if path.is_file() else "" for path in root.rglob("*")}


def test_it_is_there_once_it_was_installed_and_leaves_nothing(root: Path) -> None:
    before, installation = tree(root), Installation(root)
    assert installation.missing == list(installation.files)
    installation.install(["true"])
    assert installation.missing == []
    once = tree(root)
    installation.install(["true"])
    assert tree(root) == once
    assert [path.stat().st_mode & 0o777 for path in installation.files] == [0o755, 0o755, 0o755, 0o644]
    installation.keep("rules", "links")
    assert len(installation.uninstall()) == 5
    assert tree(root) == before
    assert installation.uninstall() == []


def test_what_is_kept_is_private_and_written_as_a_whole(root: Path) -> None:
    installation = Installation(root)
    installation.keep("rules", "links")
    assert not installation.folder.exists()
    installation.install(["true"])
    installation.keep("first", "links")
    installation.keep("second", "links")
    assert {path.name: path.stat().st_mode & 0o777 for path in installation.folder.iterdir()} == {
        "rules.nft": 0o600,
        "links.ip": 0o600,
    }
    assert (installation.folder / "rules.nft").read_text() == "second"


@pytest.mark.parametrize(
    "name", [*(f"libvirt/hooks/{hook}.d/cloudkit" for hook in HOOKS), "modules-load.d/cloudkit.conf"]
)
def test_what_others_have_written_stays(root: Path, name: str) -> None:
    foreign = root / "etc" / name
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("of others")
    before, installation = tree(root), Installation(root)
    with pytest.raises(AlreadyExists, match="not written by cloudkit"):
        installation.install(["true"])
    assert installation.uninstall() == []
    assert tree(root) == before


def test_what_the_doctor_is_told(root: Path) -> None:
    installation = Installation(root)
    check = host_install(installation, "lab")
    assert (check.level, check.details["installed"]) == (Level.INFO, False)
    assert "cloudkit host install --cloud lab" in check.hint
    installation.install(["true"])
    assert host_install(installation, "lab").level is Level.OK
    installation.log.write_text("Traceback …\ncloudkit: no libvirt\n\n")
    check = host_install(installation, "lab")
    assert (check.level, check.details["complaint"]) == (Level.WARN, "cloudkit: no libvirt")
    assert str(installation.log) in check.hint
    installation.files[0].unlink()
    check = host_install(installation, "lab")
    assert (check.level, check.details["missing"]) == (Level.WARN, [str(installation.files[0])])


class Hook:
    """The hook with tools that note how they are called; those that are named fail."""

    def __init__(self, root: Path) -> None:
        self.tools = root / "tools"
        self.tools.mkdir()
        self.noted = root / "noted"
        self.noted.touch()
        self.path = Installation(root).files[0]
        Installation(root).install([str(self.tools / "command"), "with blanks", "$(touch injected)"])
        for name in ("nft", "ip", "command"):
            self.tool(name)

    def tool(self, name: str, body: str = "") -> None:
        path = self.tools / name
        path.write_text(f'#!/bin/sh\necho "{name}" "$@" >>{self.noted}\n{body}\n')
        path.chmod(0o755)

    def run(self, *arguments: str) -> int:
        done = subprocess.run(
            [self.path, *arguments],
            env={"PATH": f"{self.tools}:/usr/bin:/bin"},
            cwd=self.tools.parent,
            capture_output=True,
            check=False,
            timeout=20,
        )
        return done.returncode

    def calls(self) -> list[str]:
        """What was called by now, without paths."""
        return [line.partition(" /")[0] for line in self.noted.read_text().splitlines()]


@pytest.fixture
def hook(root: Path) -> Hook:
    return Hook(root)


@pytest.mark.parametrize("arguments", ["default started", "vm prepare", "- shutdown", f"{GUEST} stopped"])
def test_the_hook_leaves_alone_what_is_not_ours(hook: Hook, arguments: str) -> None:
    assert hook.run(*arguments.split()) == 0
    assert hook.calls() == []


def test_a_guest_starts_at_once_where_its_filters_are_there(hook: Hook) -> None:
    assert hook.run(GUEST, "prepare", "begin", "-") == 0
    assert hook.calls() == ["nft -t list table inet cloudkit"]


def test_a_guest_does_not_start_where_there_are_no_filters(hook: Hook) -> None:
    hook.tool("nft", "exit 1")
    assert hook.run(GUEST, "prepare", "begin", "-") == 1
    assert hook.run("-", "start", "-", "start") == 0
    assert hook.run(GUEST, "started", "begin", "-") == 0


def test_the_last_rules_are_restored_where_there_are_none(hook: Hook) -> None:
    hook.tool("nft", '[ "$1" = -f ]')
    assert hook.run("-", "start", "-", "start") == 0
    assert hook.calls()[:3] == ["nft -t list table inet cloudkit", "nft -f", "ip -force -batch"]


def test_one_command_serves_all_who_wait_and_is_started_as_it_was_given(hook: Hook) -> None:
    hook.tool("flock", f'{shutil.which("flock")} "$@"; got=$?; echo got $got >>{hook.noted}; exit $got')
    folder = hook.path.parents[4] / "var/lib/cloudkit/hostnet"
    with (folder / "running").open("w") as running:
        fcntl.flock(running, fcntl.LOCK_EX)
        for _ in range(5):
            assert hook.run("ck-net", "started", "begin", "-") == 0
        until(lambda: hook.calls().count("got 1") == 4)
        assert hook.calls().count("got 0") == 1
    until(lambda: "command with blanks $(touch injected)" in hook.calls())
    assert not (hook.tools.parent / "injected").exists()
    until(lambda: _is_free(folder / "running"))
    assert sum(call.startswith("command") for call in hook.calls()) == 1


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_free(lock: Path) -> bool:
    return subprocess.run(["flock", "-n", lock, "true"], check=False).returncode == 0


def host(address: str, root: Path, **options: Any) -> LibvirtHost:
    defaults: dict[str, Any] = {option.name: option.default for option in PLUGIN.options}
    return LibvirtHost(OpenRequest(address, {**defaults, **options}, None, "test"), Installation(root))


class TestRefusals:
    @pytest.fixture(autouse=True)
    def _as_root(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 0)

    @pytest.mark.parametrize(
        ("address", "options", "error"),
        [
            ("qemu+ssh://root@far/system", {}, Unsupported),
            ("qemu:///session", {}, Unsupported),
            ("qemu:///system", {"host_network": "off"}, ConfigError),
        ],
    )
    def test_hosts_that_need_none(
        self, root: Path, address: str, options: dict[str, str], error: type[CloudError]
    ) -> None:
        before = tree(root)
        with pytest.raises(error) as raised:
            host(address, root, **options).install([sys.executable])
        assert raised.value.driver == "libvirt"
        assert tree(root) == before

    def test_an_ordinary_user(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        with pytest.raises(PermissionDenied, match="root") as raised:
            host("qemu:///system", root).install([sys.executable])
        assert "sudo" in raised.value.hint
        with pytest.raises(PermissionDenied):
            host("qemu:///system", root).uninstall()
