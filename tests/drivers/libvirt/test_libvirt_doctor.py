"""What the doctor is told of a libvirt cloud, on libvirt's test hypervisor."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import libvirt
import pytest
from specs import mark

from cloudkit.driver import OpenRequest
from cloudkit.host import Check, Level, Need
from cloudkit.host.kvm import Decision, Missing
from cloudkit.types import FlavorSpec
from cloudkit_libvirt import PLUGIN, doctor, opening
from cloudkit_libvirt.blobs import MemoryBlobs
from cloudkit_libvirt.record_bytes import encode

SYSTEM, SOCKET, SESSION, KVM = Need.LIBVIRT_SYSTEM, Need.LIBVIRT_SOCKET, Need.LIBVIRT_SESSION, Need.KVM
NODE = """\
<node>
  <domain type="test"><name>test</name><memory>1024</memory><os><type>hvm</type></os></domain>
  <network><name>default</name><ip address="192.168.122.1" netmask="255.255.255.0"/></network>
</node>
"""
RECORD = "ck1.flavor.0f0f0f0f-aaaa-4bbb-8ccc-ffffffffffff.1"


def request(address: str, **options: Any) -> OpenRequest:
    defaults: dict[str, Any] = {option.name: option.default for option in PLUGIN.options}
    return OpenRequest(address, {**defaults, **options}, None, "test")


def look(address: str, **options: Any) -> dict[str, Check]:
    assert PLUGIN.examine is not None
    return {check.name: check for check in PLUGIN.examine(request(address, **options))}


@pytest.fixture
def uri(tmp_path: Path) -> str:
    node = tmp_path / "doctor.xml"
    node.write_text(NODE)
    return f"test://{node}"


def test_it_changes_nothing(uri: str) -> None:
    """The connection that is kept open keeps the hypervisor of this file alive."""
    virt = libvirt.open(uri)
    try:
        checks = look(uri)
        assert [pool.name() for pool in virt.listAllStoragePools()] == []
    finally:
        virt.close()
    assert list(checks) == ["libvirt.connection", "libvirt.networks", "libvirt.pool", "libvirt.foreign"]
    assert checks["libvirt.connection"].level is Level.OK
    assert str(checks["libvirt.connection"].details["hypervisor"]).startswith("TEST ")
    assert checks["libvirt.networks"].details == {"ours": 0, "others": ["default"], "inactive": []}
    assert checks["libvirt.pool"].summary == "there is no pool 'cloudkit' yet; the first connection makes it"
    assert checks["libvirt.foreign"].details == {"domains": ["test"], "volumes": []}
    assert "1 domains (test)" in checks["libvirt.foreign"].summary


def test_a_libvirt_that_does_not_answer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checks = look(f"qemu+unix:///system?socket={tmp_path}/nothing")
    (check,) = checks.values()
    assert (check.name, check.level, check.needed_by) == ("libvirt.connection", Level.FAIL, (Need.CLOUD,))
    assert "libvirt does not answer" in check.summary
    assert "libvirtd" in check.hint
    assert str(check.details["uri"]) == "qemu+unix:///system"
    assert capfd.readouterr().err == ""


def test_a_libvirt_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPEN_TIMEOUT_S", 0.2)
    # The path of a Unix socket has at most 107 characters.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/s")
        server.listen()
        (check,) = look(f"qemu+unix:///system?socket={folder}/s").values()
    assert check.level is Level.FAIL
    assert "does not answer" in check.summary
    assert "restart" in check.hint


def test_a_remote_libvirt_is_asked_for_as_the_driver_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh, scripts = tmp_path / "ssh", tmp_path / "scripts"
    ssh.write_text(f"#!/bin/sh\necho \"$@\" > {tmp_path}/told\necho 'Permission denied (publickey).' >&2\nexit 255\n")
    ssh.chmod(0o700)
    scripts.mkdir()
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(tempfile, "tempdir", str(scripts))
    (check,) = look("qemu+ssh://me@host/system").values()
    assert check.level is Level.FAIL
    assert "refused the login" in check.summary
    told = (tmp_path / "told").read_text()
    assert "ConnectTimeout=" in told
    assert "BatchMode=yes" in told
    assert list(scripts.iterdir()) == []


def test_a_remote_libvirt_that_is_named_wrongly() -> None:
    (check,) = look("qemu+ssh://host/system?known_hosts=/k&no_verify=1").values()
    assert (check.level, check.hint) == (Level.FAIL, "Leave out no_verify.")


def test_a_profile_that_names_no_libvirt() -> None:
    (check,) = look("").values()
    assert check.level is Level.FAIL
    assert "qemu:///system" in check.hint


@pytest.mark.parametrize(
    ("uri", "options", "needs"),
    [
        ("qemu:///system", {}, {SYSTEM, SOCKET}),
        ("qemu:///system", {"virt_type": "kvm"}, {SYSTEM, SOCKET, KVM}),
        ("qemu:///system", {"host_network": "on"}, {SYSTEM, SOCKET, Need.HOST_NETWORK}),
        ("qemu+unix:///system?socket=/run/other", {}, {SYSTEM}),
        ("", {"uri": "qemu:///session"}, {SESSION}),
        ("qemu+ssh://root@host/system", {"virt_type": "kvm"}, set()),
        ("test:///default", {}, set()),
        ("", {}, set()),
    ],
)
def test_what_the_machine_must_have(uri: str, options: dict[str, Any], needs: set[Need]) -> None:
    assert PLUGIN.host_needs is not None
    assert PLUGIN.host_needs(request(uri, **options)) == needs


class TestRecords:
    def store(self, **blobs: bytes) -> MemoryBlobs:
        store = MemoryBlobs()
        for name, data in blobs.items():
            store.create(name, data)
        return store

    def test_all_whole(self, driver: Any) -> None:
        driver.compute.flavors.create(FlavorSpec(name="m1.tiny", mark=mark(), vcpus=1, ram_mib=64, disk_gib=1))
        store = driver._context.records._store
        check = doctor.records(store, store.names())
        assert (check.level, check.details) == (Level.OK, {"count": len(store.names()), "damaged": []})

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "nothing is written"),
            (b"cloudkit 3 00\nabc", "checksum"),
            (b"\x00garbage", "does not start as a record does"),
            (encode({"phase": "ready"}), ""),
        ],
    )
    def test_torn_and_strange_ones_are_named(self, data: bytes, reason: str) -> None:
        store = self.store(**{RECORD: data, "ck-disk": b"", "somebody's": b""})
        check = doctor.records(store, store.names())
        assert (check.level, check.details) == (Level.WARN, {"count": 1, "damaged": [RECORD]})
        assert reason in check.summary
        assert check.needed_by == ()

    def test_one_that_goes_meanwhile_is_none(self) -> None:
        check = doctor.records(self.store(), [RECORD])
        assert check.level is Level.OK


class TestVirtType:
    OFFERS = "<capabilities><guest><domain type='kvm'/></guest></capabilities>"

    @pytest.mark.parametrize(
        ("wanted", "usable", "level", "chosen"),
        [
            ("auto", True, Level.OK, "kvm"),
            ("auto", False, Level.WARN, "qemu"),
            ("qemu", True, Level.WARN, "qemu"),
            ("qemu", False, Level.WARN, "qemu"),
            ("kvm", True, Level.OK, "kvm"),
            ("kvm", False, Level.FAIL, "kvm"),
        ],
    )
    def test_what_servers_are_run_by(
        self, monkeypatch: pytest.MonkeyPatch, wanted: str, usable: bool, level: Level, chosen: str
    ) -> None:
        decision = Decision(None if usable else Missing.FLAG, "so it is")
        monkeypatch.setattr("cloudkit_libvirt.virt_type.decide", lambda _facts: decision)
        check = doctor.virt_type(wanted, self.OFFERS, "qemu:///system")
        assert (check.level, check.details["chosen"]) == (level, chosen)
        assert wanted == "qemu" or "so it is" in check.summary
