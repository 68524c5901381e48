"""``cloudkit doctor`` on a real libvirt: it passes, tells what is not ours, and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from bed import LibvirtBed
from conftest import profile_text
from saved_guest import connect, deleting_all

from cloudkit import Cloud, CloudError, host
from cloudkit.host import Level

FOREIGN = """
<domain type='qemu'>
  <name>somebody-elses</name><memory unit='MiB'>64</memory><os><type>hvm</type></os>
</domain>
"""
TORN = "ck1.server.0f0f0f0f-aaaa-4bbb-8ccc-ffffffffffff.1"


def doctor(profile: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "cloudkit.cli", "doctor", "--cloud", profile, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    data = json.loads(done.stdout)
    return done.returncode, {check["name"]: check for check in data["checks"]}


@pytest.fixture
def virt(bed: LibvirtBed) -> Generator[Any]:
    connection = libvirt.open(bed.uri)
    yield connection
    connection.close()


def everything(virt: Any) -> list[str]:
    """The XML of all there is but sizes and times."""
    things = [*virt.listAllDomains(), *virt.listAllNetworks()]
    pools = [f"{pool.name()} {pool.isActive()}" for pool in virt.listAllStoragePools()]
    return sorted([*(thing.XMLDesc() for thing in things), *pools])


def test_a_new_host_can_be_used_and_nothing_is_made(
    bed: LibvirtBed, virt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "new.toml"
    config.write_text(profile_text(bed).replace("pool_path =", 'pool = "never-made"\npool_path ='))
    monkeypatch.setenv("CLOUDKIT_CONFIG", str(config))
    before = everything(virt)
    status, checks = doctor("bed")
    assert status == 0, checks
    assert everything(virt) == before
    assert checks["libvirt.pool"]["level"] == "info"
    assert checks["libvirt.connection"]["level"] == "ok"
    # Where these tests run, KVM is mostly not to be had; that is told and does no harm.
    assert checks["libvirt.virt_type"]["level"] == ("ok" if checks["kvm"]["level"] == "ok" else "warn")
    assert ("emulation" in checks["libvirt.virt_type"]["summary"]) == (checks["kvm"]["level"] != "ok")


def test_records_of_every_kind_are_read(cloud: Cloud, profile: str, tmp_path: Path) -> None:
    with cloud.scope("doctor") as mine:
        mine.images.upload("blank", data=bytes(1 << 20), disk_format="raw")
        mine.flavors.create("small", vcpus=1, ram_mib=64, disk_gib=1)
        mine.key_pairs.generate("me", tmp_path / "key")
        network = mine.networks.create("private", cidr="10.213.0.0/24")
        mine.ports.create("port", network=network)
        if cloud.supports("routers"):
            mine.routers.create("router", networks=[network])
            mine.security_groups.create("open")
        volume = mine.volumes.create("data", size_gib=1)
        mine.snapshots.create("copy", volume=volume)
        status, checks = doctor(profile)
    assert status == 0, checks
    assert checks["libvirt.records"]["level"] == "ok", checks["libvirt.records"]
    assert checks["libvirt.records"]["details"]["count"] >= 9
    assert checks["libvirt.networks"]["details"]["ours"] >= 1


@pytest.mark.usefixtures("cloud")
def test_what_is_not_ours_and_what_is_torn_is_named(bed: LibvirtBed, profile: str, virt: Any) -> None:
    pool = virt.storagePoolLookupByName("cloudkit")
    domain = virt.defineXML(FOREIGN)
    volumes = [
        pool.createXML(f"<volume><name>{name}</name><capacity>64</capacity></volume>")
        for name in (TORN, "somebody-elses.raw")
    ]
    try:
        stream = virt.newStream()
        volumes[0].upload(stream, 0, 0)
        stream.send(b"cloudkit 9 0123\ntorn")
        stream.finish()
        before = everything(virt)
        status, checks = doctor(profile)
        assert everything(virt) == before
        assert status == 0, checks
        assert checks["libvirt.foreign"]["details"] == {
            "domains": ["somebody-elses"],
            "volumes": ["somebody-elses.raw"],
        }
        assert checks["libvirt.records"]["level"] == "warn"
        assert checks["libvirt.records"]["details"]["damaged"] == [TORN]
    finally:
        domain.undefine()
        for volume in volumes:
            volume.delete()


def test_a_create_that_kvm_cannot_serve_names_the_check(bed: LibvirtBed) -> None:
    if host.examine("kvm").level is Level.OK:
        pytest.skip("KVM looks usable here")
    with connect(bed, virt_type="kvm") as cloud, deleting_all(cloud):
        image = cloud.images.upload("blank", data=bytes(1 << 20), disk_format="raw")
        flavor = cloud.flavors.create("small", vcpus=1, ram_mib=64, disk_gib=1)
        network = cloud.networks.create("private", cidr="10.213.0.0/24")
        # Without /dev/kvm libvirt refuses; in a para-virtual KVM QEMU ends, or the guest is halted.
        with pytest.raises(CloudError, match="check kvm"):
            cloud.servers.create("web", image=image, flavor=flavor, networks=[network])
        assert list(cloud.servers.list()) == []


def test_a_dead_daemon_makes_it_fail(bed: LibvirtBed, profile: str) -> None:
    bed.kill_libvirtd()
    try:
        status, checks = doctor(profile)
    finally:
        bed.start_libvirtd()
    assert status == 1
    assert checks["libvirt.connection"]["level"] == "fail"
    assert "libvirtd" in checks["libvirt.connection"]["hint"]
