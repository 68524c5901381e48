from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloudkit.cli import main
from cloudkit.cli.examination import SCHEMA
from cloudkit.driver import DRIVER_API, DriverPlugin, OpenRequest, Option
from cloudkit.errors import Unauthenticated
from cloudkit.host import Check, HostReport, Level, Need

BAD_DISK = Check(
    name="disk", level=Level.FAIL, summary="it is full", hint="Make room.", needed_by=(Need.LIBVIRT_SYSTEM,)
)
NO_KVM = Check(name="kvm", level=Level.FAIL, summary="no KVM", needed_by=(Need.KVM,))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes every cloud the given plug-in's, and this machine a bad one."""

    def refuse(_request: OpenRequest) -> Any:
        raise Unauthenticated("the password is wrong", fault="401")

    def use(**fields: Any) -> None:
        plugin = DriverPlugin(name="toy", api=DRIVER_API, **{"open": refuse, **fields})
        monkeypatch.setattr("cloudkit.config.load_plugin", lambda _name: plugin)

    def look(pool_path: str | None) -> HostReport:
        return HostReport((replace(BAD_DISK, details={"path": pool_path}), NO_KVM))

    monkeypatch.setattr("cloudkit.cli.examination.inspect", look)
    return use


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    status = main(["doctor", "--json", *arguments])
    out, err = capsys.readouterr()
    assert err == ""
    return status, json.loads(out)


def levels(data: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["level"] for check in data["checks"]}


def test_the_fake_needs_nothing_of_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    status, data = report(capsys, "--cloud", "fake://")
    assert status == 0
    assert (data["schema"], data["cloud"], data["driver"], data["ok"]) == (SCHEMA, "fake://", "fake", True)
    assert levels(data) == {"python.modules": "ok", "python.ssh": "ok", "cloud": "ok"}
    for check in data["checks"]:
        assert check.keys() == {"name", "level", "summary", "details", "hint", "needed_by"}


def test_it_is_told_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--cloud", "fake://"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "The cloud fake:// (driver fake)"
    assert lines[-1] == "The cloud fake:// can be used."
    assert "ok    cloud              it answers: project default" in "\n".join(lines)


def test_what_the_cloud_needs_fails_and_the_rest_warns(toy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    good = Check(name="cloud", level=Level.OK, summary="good")
    toy(host_needs=lambda _: {Need.LIBVIRT_SYSTEM}, examine=lambda _: [good])
    status, data = report(capsys, "--cloud", "toy://")
    assert status == 1
    assert data["ok"] is False
    assert levels(data) == {"disk": "fail", "kvm": "warn", "python.modules": "ok", "python.ssh": "ok", "cloud": "ok"}

    assert main(["doctor", "--cloud", "toy://"]) == 1
    out = capsys.readouterr().out
    assert "→ Make room." in out
    assert out.endswith("The cloud toy:// cannot be used as it is: disk.\n")


def test_a_cloud_elsewhere_needs_nothing_of_the_machine(toy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    toy(host_needs=lambda _: set[Need](), examine=lambda _: [])
    assert report(capsys, "--cloud", "toy://")[0] == 0


def test_warnings_are_named_and_do_no_harm(toy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    toy(host_needs=lambda _: {Need.LIBVIRT_SESSION}, examine=lambda _: [])
    assert main(["doctor", "--cloud", "toy://"]) == 0
    assert capsys.readouterr().out.endswith("can be used. Warnings: disk, kvm.\n")


def test_a_cloud_that_cannot_be_opened_is_told_with_its_hint(toy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    toy()
    status, data = report(capsys, "--cloud", "toy://")
    assert status == 1
    cloud = data["checks"][-1]
    assert (cloud["level"], cloud["summary"]) == ("fail", "the password is wrong (401)")
    assert cloud["hint"] == Unauthenticated.default_hint
    assert cloud["details"] == {"error": "Unauthenticated"}


def test_a_missing_module_ends_the_look_at_the_cloud(toy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    toy(requires=("json", "no_such_module"), extra="libvirt")
    status, data = report(capsys, "--cloud", "toy://")
    assert status == 1
    assert levels(data) == {"python.modules": "fail", "python.ssh": "ok"}
    assert "'no_such_module'" in data["checks"][0]["summary"]
    assert "cloudkit-sdk[libvirt]" in data["checks"][0]["hint"]


def test_without_paramiko_there_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "paramiko", None)
    status, data = report(capsys, "--cloud", "fake://")
    assert status == 0
    assert levels(data)["python.ssh"] == "warn"


def test_the_configured_cloud_is_taken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CLOUDKIT_CLOUD", "fake://")
    assert report(capsys)[1]["driver"] == "fake"


def test_without_any_it_is_this_machines_libvirt(toy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    toy(host_needs=lambda _: {Need.LIBVIRT_SYSTEM}, examine=lambda _: [])
    status, data = report(capsys)
    assert status == 1
    assert data["cloud"] == "libvirt+qemu:///system"
    main(["doctor"])
    assert capsys.readouterr().out.startswith("This machine as a libvirt host (driver toy)\n")


@pytest.mark.parametrize(
    ("url", "needs", "path"),
    [
        ("toy://", {Need.LIBVIRT_SYSTEM}, None),
        ("toy://?pool_path=/srv", {Need.LIBVIRT_SYSTEM}, "/srv"),
        ("toy://?pool_path=/srv", {Need.LIBVIRT_SESSION}, "/srv"),
        ("toy://", {Need.LIBVIRT_SESSION}, "/home/me"),
    ],
)
def test_the_room_is_looked_for_where_the_pool_is(
    toy: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    needs: set[Need],
    path: str | None,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    toy(host_needs=lambda _: needs, examine=lambda _: [], options=(Option("pool_path", "where"),))
    data = report(capsys, "--cloud", url)[1]
    assert data["checks"][0]["details"] == {"path": path}


def test_lines_are_wrapped_on_a_terminal(
    toy: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long = Check(name="cloud", level=Level.WARN, summary="word " * 40, hint="do this " * 20)
    toy(examine=lambda _: [long])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "90")
    assert main(["doctor", "--cloud", "toy://"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 90
    assert sum(line.startswith(" " * 25) for line in lines) > 4


def test_the_command_stays_light_until_it_runs(tmp_path: Path) -> None:
    import subprocess

    code = "import sys, cloudkit.cli; print(*[name for name in sys.modules if name.startswith('cloudkit.host')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
