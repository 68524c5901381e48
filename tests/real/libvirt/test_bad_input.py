"""What goes wrong on a real host ends in one clear error, and leaves nothing half-made."""

from __future__ import annotations

import io
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest
from bed import LibvirtBed
from saved_guest import USER, Guest, connect, deleting_all

from cloudkit import Cloud
from cloudkit.cli.story import find_disk
from cloudkit.errors import (
    Conflict,
    HostKeyChanged,
    InUse,
    InvalidRequest,
    InvalidState,
    QuotaExceeded,
    SshAuthFailed,
    Unavailable,
    WaitTimeout,
)
from cloudkit.types import ServerStatus

MIB = 1 << 20


@pytest.fixture
def empty(cloud: Cloud) -> Generator[Cloud]:
    """A cloud of which nothing stays."""
    with deleting_all(cloud):
        yield cloud


def test_libvirt_not_running_is_told_and_the_same_cloud_goes_on_once_it_runs(bed: LibvirtBed, empty: Cloud) -> None:
    empty.networks.create("kept")
    bed.kill_libvirtd()
    try:
        with pytest.raises(Unavailable, match="libvirt does not answer") as raised:
            list(empty.networks.list())
        with pytest.raises(Unavailable):
            connect(bed)
    finally:
        bed.start_libvirtd()
    assert "systemctl start libvirtd" in raised.value.hint
    assert raised.value.retryable
    assert [network.name for network in empty.networks.list()] == ["kept"]


def test_a_full_pool_is_told_with_what_is_free(bed: LibvirtBed) -> None:
    with bed.restrict_pool(4) as folder, connect(bed, pool="small", pool_path=str(folder)) as cloud:
        with pytest.raises(QuotaExceeded, match="pool is full") as raised:
            cloud.images.upload("large", data=io.BytesIO(b"x" * (8 * MIB)), disk_format="raw")
        assert "Free now:" in raised.value.hint
        assert list(cloud.images.list()) == []
        assert list(folder.iterdir()) == []
        pool = cloud.native.storagePoolLookupByName("small")
        pool.destroy()
        pool.undefine()


def test_a_guest_that_never_boots_ends_by_a_time_out_that_says_so(empty: Cloud, tmp_path: Path) -> None:
    empty.networks.create("net", cidr="172.16.1.0/24")
    empty.images.upload("no-boot-sector", data=io.BytesIO(bytes(MIB)), disk_format="raw")
    empty.flavors.create("small", vcpus=1, ram_mib=128, disk_gib=1)
    key = tmp_path / "key"
    empty.key_pairs.generate("me", key)
    server = empty.servers.create("dead", image="no-boot-sector", flavor="small", key_pair="me")
    with pytest.raises(WaitTimeout, match="nothing spoke SSH for dead within 3 s at 172.16.1.2") as raised:
        empty.ssh(server, user=USER, key=key, timeout_s=3)
    assert "booted" in raised.value.hint
    # A time-out deletes nothing.
    assert empty.servers.get(server).status is ServerStatus.ACTIVE


def test_a_time_out_shows_the_tail_of_the_console(guest: Guest) -> None:
    with guest.cloud.ssh(guest.server, user=USER, key=guest.key_path) as shell:
        # A line of its own: the login prompt may stand on the console already, without a newline.
        say = r"printf '\nthe-last-line\n' >/dev/console"
        shell.run(f"{say}; (sleep 0.2; killall dropbear) >/dev/null 2>&1 &", check=True)
    with pytest.raises(WaitTimeout, match="nothing spoke SSH") as raised:
        while True:
            guest.cloud.ssh(guest.server, user=USER, key=guest.key_path, timeout_s=2).close()
    assert "the-last-line" in (raised.value.console_tail or "")
    assert "  | the-last-line" in str(raised.value)


def test_a_changed_host_key_is_refused(guest: Guest) -> None:
    with guest.cloud.ssh(guest.server, user=USER, key=guest.key_path) as shell:
        shell.run("dropbearkey -t ed25519 -f /tmp/other", check=True)
        # This login may end with it, before the command's status is told.
        with suppress(Unavailable):
            shell.run("(killall dropbear; sleep 0.2; dropbear -r /tmp/other -p 22) >/dev/null 2>&1 &")
    with pytest.raises(HostKeyChanged) as raised:
        while True:
            guest.cloud.ssh(guest.server, user=USER, key=guest.key_path, timeout_s=20).close()
    assert (guest.server.host_key or "?") in str(raised.value)
    assert "Do not log in" in raised.value.hint


def test_a_wrong_ssh_key_is_refused(guest: Guest, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    guest.cloud.key_pairs.generate("other", wrong)
    with pytest.raises(SshAuthFailed) as raised:
        guest.cloud.ssh(guest.server, user=USER, key=wrong, timeout_s=60)
    assert "key pair" in raised.value.hint


def test_what_is_in_use_stays(guest: Guest) -> None:
    cloud, server = guest.cloud, guest.server
    volume = cloud.volumes.create("data", size_gib=1)
    disk = cloud.volumes.attach(volume, server)
    with pytest.raises(InvalidState):
        cloud.volumes.attach(volume, server)
    for collection, name in ((cloud.volumes, "data"), (cloud.images, "guest"), (cloud.networks, "guest")):
        with pytest.raises(InUse):
            collection.delete(name)
        assert collection.get(name).name == name
    with guest.cloud.ssh(server, user=USER, key=guest.key_path) as shell:
        assert "1 GiB" in shell.run(f"fdisk -l {find_disk(shell, disk)}", check=True).stdout


def test_requests_that_cannot_be_met_leave_nothing(guest: Guest) -> None:
    cloud = guest.cloud
    with pytest.raises(Conflict, match=r"172.16.1.0/25 overlaps 172.16.1.0/24"):
        cloud.networks.create("overlapping", cidr="172.16.1.0/25")
    tiny = cloud.flavors.create("tiny", vcpus=1, ram_mib=64, disk_gib=1)
    cloud.images.upload("demanding", data=io.BytesIO(bytes(MIB)), disk_format="raw", min_disk_gib=2)
    with pytest.raises(InvalidRequest, match="has a disk of 1 GiB"):
        cloud.servers.create("small", image="demanding", flavor=tiny)
    with pytest.raises(InvalidState):
        cloud.servers.start(guest.server)
    assert [network.name for network in cloud.networks.list()] == ["guest"]
    assert [server.name for server in cloud.servers.list()] == ["guest"]
    assert len(list(cloud.ports.list())) == 1


def test_a_server_without_an_interface_runs_and_goes(empty: Cloud) -> None:
    empty.images.upload("blank", data=io.BytesIO(bytes(MIB)), disk_format="raw")
    empty.flavors.create("small", vcpus=1, ram_mib=64, disk_gib=1)
    server = empty.servers.create("lonely", image="blank", flavor="small", networks="none")
    assert server.status is ServerStatus.ACTIVE
    assert server.addresses == ()
    empty.servers.delete(server)
    assert empty.servers.find("lonely") is None
