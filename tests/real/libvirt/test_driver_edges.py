"""What the driver promises at its edges, where only a real hypervisor can tell: interruptions, crowds, no room."""

from __future__ import annotations

import io
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bare_driver import open_driver, until
from bed import LibvirtBed
from conftest import Guest
from saved_guest import NAME, USER, connect, deleting_all

from cloudkit import Cloud
from cloudkit.errors import InvalidState, QuotaExceeded
from cloudkit.types import ServerStatus, VolumeStatus
from cloudkit_libvirt.plugging import PluggableVolumes

MIB = 1 << 20
CLIENTS, SERVERS_EACH = 3, 4


@pytest.fixture
def empty(cloud: Cloud) -> Generator[Cloud]:
    """A cloud of which nothing stays."""
    with deleting_all(cloud):
        yield cloud


def test_an_attach_that_is_interrupted_after_the_fact_is_taken_back(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = guest.cloud.volumes.create("data", size_gib=1)
    plug_in = PluggableVolumes._plug_in

    def interrupted(self: Any, *arguments: Any) -> str:
        plug_in(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PluggableVolumes, "_plug_in", interrupted)
        with pytest.raises(KeyboardInterrupt):
            guest.cloud.volumes.attach(volume, guest.server)
    free = guest.cloud.volumes.wait(volume, VolumeStatus.AVAILABLE, timeout_s=20)
    assert free.attachments == ()
    assert volume.id not in guest.cloud.raw(guest.server)
    guest.cloud.volumes.attach(volume, guest.server)


def test_a_suspended_server_keeps_its_disks_and_a_hard_reboot_forgets_its_memory(guest: Guest) -> None:
    cloud, server = guest.cloud, guest.server
    volume = cloud.volumes.create("data", size_gib=1)
    cloud.volumes.attach(volume, server)
    with cloud.ssh(server, user=USER, key=guest.key_path) as shell:
        boot = shell.run("cat /proc/sys/kernel/random/boot_id", check=True).stdout
    cloud.servers.suspend(server)
    with pytest.raises(InvalidState, match="SUSPENDED"):
        cloud.volumes.detach(volume)
    with pytest.raises(InvalidState, match="SUSPENDED"):
        cloud.volumes.attach(cloud.volumes.create("other", size_gib=1), server)
    assert cloud.servers.reboot(server, hard=True).status is ServerStatus.ACTIVE
    with cloud.ssh(server, user=USER, key=guest.key_path) as shell:
        assert shell.run("cat /proc/sys/kernel/random/boot_id", check=True).stdout != boot
        assert "1 GiB" in shell.run("fdisk -l /dev/vdb", check=True).stdout


def test_a_soft_reboot_boots_the_guest_anew_and_its_console_goes_on(guest: Guest, tmp_path: Path) -> None:
    cloud, server = guest.cloud, guest.server

    def boots() -> int:
        return cloud.servers.console_log(server).count("boot finished")

    with cloud.ssh(server, user=USER, key=guest.key_path) as shell:
        boot = shell.run("echo here >/root/marker; sync; cat /proc/sys/kernel/random/boot_id", check=True).stdout
        shell.run("echo before-the-reboot >/dev/console", check=True)
    before = boots()
    cloud.servers.reboot(server)
    until(lambda: boots() > before, "the boot has ended")
    assert "before-the-reboot" in cloud.servers.console_log(server)
    # The same host key as before: no other is accepted.
    with cloud.ssh(server, user=USER, key=guest.key_path) as shell:
        assert shell.run("cat /proc/sys/kernel/random/boot_id", check=True).stdout != boot
        assert shell.run("cat /root/marker").stdout == "here\n"
    cold = cloud.servers.create_image(cloud.servers.stop(server), "cold")
    cloud.images.download(cold, tmp_path / "cold")
    assert (tmp_path / "cold").read_bytes()[:4] == b"QFI\xfb"


def test_a_guest_that_is_cut_off_before_it_wrote_its_disk_keeps_its_host_key(guest: Guest) -> None:
    cloud = guest.cloud
    server = cloud.servers.create("fresh", image=NAME, flavor=NAME, key_pair=NAME)
    for _ in range(2):
        cloud.ssh(server, user=USER, key=guest.key_path).close()
        cloud.servers.stop(server, hard=True)
        server = cloud.servers.start(server)
    cloud.ssh(server, user=USER, key=guest.key_path).close()


def test_all_can_be_deleted_where_there_is_no_room_for_anything(bed: LibvirtBed) -> None:
    with bed.restrict_pool(8) as folder, open_driver(bed, pool="small", pool_path=str(folder)) as driver:
        with connect(bed, pool="small", pool_path=str(folder)) as cloud:
            cloud.networks.create("net", cidr="172.16.1.0/24")
            cloud.images.upload("image", data=io.BytesIO(bytes(MIB)), disk_format="raw")
            cloud.flavors.create("small", vcpus=1, ram_mib=64, disk_gib=1)
            server = cloud.servers.create("server", image="image", flavor="small")
            cloud.volumes.attach(cloud.volumes.create("data", size_gib=1), server)
            filler = folder / "filler"
            with filler.open("wb", buffering=0) as file, suppress(OSError):
                while file.write(bytes(4096)):
                    pass
            with pytest.raises(QuotaExceeded, match="pool is full"):
                cloud.networks.create("one more")
            with deleting_all(cloud):
                pass
        assert list(folder.iterdir()) == [filler]
        pool = driver.native.storagePoolLookupByName("small")
        pool.destroy()
        pool.undefine()


def test_many_clients_at_once_get_what_they_ask_for(bed: LibvirtBed, empty: Cloud) -> None:
    empty.networks.create("net", cidr="172.16.1.0/24")
    empty.images.upload("blank", data=io.BytesIO(bytes(MIB)), disk_format="raw")
    empty.flavors.create("small", vcpus=1, ram_mib=32, disk_gib=1)

    def use(client: int) -> list[str]:
        with connect(bed) as cloud:
            names = [f"{client}-{number}" for number in range(SERVERS_EACH)]
            servers = cloud.servers.create_many(
                [{"name": name, "image": "blank", "flavor": "small", "networks": ["net"]} for name in names]
            )
            for name, server in zip(names, servers, strict=True):
                cloud.volumes.attach(cloud.volumes.create(name, size_gib=1), server)
            return [address.ip for server in servers for address in server.addresses]

    with ThreadPoolExecutor(CLIENTS) as pool:
        ips = [ip for found in pool.map(use, range(CLIENTS)) for ip in found]
    assert len(set(ips)) == len(ips) == CLIENTS * SERVERS_EACH
    assert sorted(ips) == sorted(address.ip for server in empty.servers.list() for address in server.addresses)
    assert [volume.name for volume in empty.volumes.list() if volume.status is not VolumeStatus.IN_USE] == []
