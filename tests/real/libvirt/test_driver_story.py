"""The story by the bare libvirt driver on a real guest: ssh, hot-plug, image, nothing left."""

from __future__ import annotations

import io
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest
from bare_driver import Lab, mark, open_driver, until
from bed import LibvirtBed

from cloudkit.driver import EVERYTHING
from cloudkit.errors import InUse, InvalidRequest, InvalidState, NotFound
from cloudkit.types import (
    ImageSpec,
    ImageStatus,
    Nic,
    Server,
    ServerSpec,
    ServerStatus,
    SnapshotSpec,
    VolumeSpec,
    VolumeStatus,
)


@pytest.fixture
def lab(driver: Any) -> Generator[Lab]:
    lab = Lab(driver)
    yield lab
    lab.remove()


@pytest.fixture
def server(lab: Lab) -> Generator[Server]:
    spec = ServerSpec(
        name="Web 1",
        mark=mark(),
        image_id=lab.image.id,
        flavor_id=lab.flavor.id,
        nics=(Nic(network_id=lab.network.id),),
        key_pair=lab.key_pair.id,
        user_data=b"#!/bin/sh\necho made-by-user-data >/root/proof\n",
    )
    server = lab.driver.compute.servers.create(spec)
    yield server
    with suppress(NotFound):
        lab.driver.compute.servers.delete(server.id)


def test_story(driver: Any, lab: Lab, server: Server, bed: LibvirtBed) -> None:
    servers, volumes = driver.compute.servers, driver.volume.volumes
    assert server.status is ServerStatus.ACTIVE
    assert [address.ip for address in server.addresses] == ["172.16.1.2"]

    with lab.shell(server) as shell:
        assert shell.run("hostname").strip() == "web-1"
        until(lambda: "made-by-user-data" in shell.run("cat /root/proof 2>/dev/null"), "user-data has run")
        assert "nameserver 8.8.8.8" in shell.run("cat /etc/resolv.conf")
        assert "default via 172.16.1.1" in shell.run("ip route")

        volume = volumes.create(VolumeSpec(name="data", mark=mark(), size_gib=1))
        attachment = volumes.attach(volume.id, server.id)
        assert attachment.device_hint == "/dev/vdb"
        assert volumes.get(volume.id).status is VolumeStatus.IN_USE
        assert servers.get(server.id).volume_ids == (volume.id,)
        until(lambda: "vdb" in shell.run("cat /proc/partitions"), "the guest sees the disk")
        assert "1 GiB" in shell.run("fdisk -l /dev/vdb")
        assert shell.run("cat /sys/block/vdb/serial").strip() == attachment.serial
        shell.run("echo kept-on-the-volume | dd of=/dev/vdb conv=fsync 2>/dev/null")
        with pytest.raises(InvalidState):
            volumes.attach(volume.id, server.id)
        with pytest.raises(InUse):
            volumes.delete(volume.id)
        volumes.extend(volume.id, 2)
        until(lambda: shell.run("cat /sys/block/vdb/size").strip() == str(2 << 21), "the guest sees the room")
        with pytest.raises(InvalidState):
            driver.volume.snapshots.create(SnapshotSpec(name="s", mark=mark(), volume_id=volume.id))
        snapshot = driver.volume.snapshots.create(
            SnapshotSpec(name="s", mark=mark(), volume_id=volume.id, force=True)
        )
        volumes.detach(volume.id, server.id)
        until(lambda: volumes.get(volume.id).status is VolumeStatus.AVAILABLE, "the guest lets go")
        until(lambda: "vdb" not in shell.run("cat /proc/partitions"), "the disk is gone from the guest")

        copy = volumes.create(VolumeSpec(name="copy", mark=mark(), size_gib=2, snapshot_id=snapshot.id))
        volumes.attach(copy.id, server.id)
        until(lambda: "vdb" in shell.run("cat /proc/partitions"), "the guest sees the copy")
        assert "kept-on-the-volume" in shell.run("head -c 18 /dev/vdb")
        shell.run("echo kept-in-the-image >/root/marker; sync")
        image = servers.create_image(server.id, ImageSpec(name="from-running", mark=mark(), disk_format="qcow2"))
        assert image.status is ImageStatus.ACTIVE
        assert image.server_id == server.id

    with pytest.raises(InUse):
        driver.image.images.delete(lab.image.id)
    assert "sshd up" in servers.console_log(server.id, None)
    assert len(servers.console_log(server.id, 2).splitlines()) == 2

    servers.delete(server.id)
    with pytest.raises(NotFound):
        servers.get(server.id)
    assert volumes.get(copy.id).status is VolumeStatus.AVAILABLE

    second = servers.create(
        ServerSpec(
            name="second", mark=mark(), image_id=image.id, flavor_id=lab.flavor.id,
            nics=(Nic(network_id=lab.network.id, fixed_ip="172.16.1.77"),), key_pair="me",
        )
    )  # fmt: skip
    with lab.shell(second) as shell:
        assert "172.16.1.77" in shell.run("ip -4 addr")
        assert "kept-in-the-image" in shell.run("cat /root/marker")
    servers.delete(second.id)
    driver.image.images.delete(image.id)
    driver.volume.snapshots.delete(snapshot.id)
    for id in (volume.id, copy.id):
        volumes.delete(id)


def test_refused_image_leaves_nothing(driver: Any, bed: LibvirtBed) -> None:
    class Broken(io.RawIOBase):
        """Gives a good header, then breaks."""

        def __init__(self) -> None:
            super().__init__()
            self.given = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            self.given += len(buffer)
            if self.given > 300_000:
                raise OSError("the reader breaks")
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    def upload(data: Any, size_bytes: int = 1 << 20) -> None:
        driver.image.images.create(ImageSpec(name="bad", mark=mark(), disk_format="raw"), data, size_bytes)

    with pytest.raises(OSError, match="the reader breaks"):
        upload(Broken())
    with pytest.raises(InvalidRequest, match="qcow2"):
        upload(io.BytesIO(b"QFI\xfb" + bytes(1000)), 1004)
    with pytest.raises(InvalidRequest, match="were announced"):
        upload(io.BytesIO(b"x" * 1000))
    assert list(driver.image.images.list(EVERYTHING)) == []
    assert bed.leftovers() == []


def test_full_pool(bed: LibvirtBed) -> None:
    with bed.restrict_pool(4) as folder, open_driver(bed, pool="small", pool_path=str(folder)) as driver:
        spec = ImageSpec(name="large", mark=mark(), disk_format="raw")
        with pytest.raises(Exception) as raised:  # noqa: PT011
            driver.image.images.create(spec, io.BytesIO(b"x" * (8 << 20)), 8 << 20)
        error = driver.translate(raised.value)
        assert "pool is full" in error.message
        assert "MiB" in error.hint
        assert list(driver.image.images.list(EVERYTHING)) == []
        assert driver._context.pool.names() == []
        pool = driver._context.connection.pool
        pool.destroy()
        pool.undefine()
