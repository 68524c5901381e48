from __future__ import annotations

from typing import Any

import pytest

import cloudkit
from cloudkit import Cloud, Image, InUse, InvalidRequest, InvalidState, NotFound, Server


def test_attach_and_detach_go_by_their_statuses(driver: Any, cloud: Cloud, server: Server) -> None:
    volume = cloud.volumes.create("data", size_gib=1)
    volumes = driver.volume.volumes
    attachment = volumes.attach(volume.id, server.id)
    assert volumes.get(volume.id).status == "attaching"
    assert (attachment.device_hint, attachment.serial) == ("/dev/vdb", volume.id[:20])
    with pytest.raises(InvalidState, match="attaching"):
        volumes.attach(volume.id, server.id)
    assert cloud.volumes.wait(volume, "in-use").attachments == (attachment,)
    volumes.detach(volume.id, server.id)
    assert volumes.get(volume.id).status == "detaching"
    assert cloud.volumes.wait(volume).attachments == ()
    assert cloud.servers.get(server).volume_ids == ()


def test_a_volume_in_use_is_not_deleted(cloud: Cloud, server: Server) -> None:
    volume = cloud.volumes.create("data", size_gib=1)
    cloud.volumes.attach(volume, server)
    with pytest.raises(InUse, match="attached"):
        cloud.volumes.delete(volume)
    cloud.volumes.detach(volume)
    cloud.volumes.delete(volume)
    assert list(cloud.volumes.list()) == []


def test_deleting_twice_is_right_while_it_goes(driver: Any, cloud: Cloud) -> None:
    volume = cloud.volumes.create("data", size_gib=1)
    snapshot = cloud.snapshots.create("s", volume=volume)
    with pytest.raises(InUse, match="snapshot"):
        cloud.volumes.delete(volume)
    for collection, value in ((driver.volume.snapshots, snapshot), (driver.volume.volumes, volume)):
        collection.delete(value.id)
        collection.delete(value.id)
        assert collection.get(value.id).status == "deleting"
        cloud.native.clock.advance(1)
        with pytest.raises(NotFound):
            collection.get(value.id)


def test_devices_are_the_first_free_letters(cloud: Cloud, server: Server) -> None:
    cloud.native.quotas.update(volumes=-1)
    volumes = [cloud.volumes.create(f"v{number}", size_gib=1) for number in range(26)]
    devices = [cloud.volumes.attach(volume, server).device_hint for volume in volumes[:3]]
    assert devices == ["/dev/vdb", "/dev/vdc", "/dev/vdd"]
    cloud.volumes.detach(volumes[1])
    assert cloud.volumes.attach(volumes[3], server).device_hint == "/dev/vdc"
    for volume in volumes[4:]:
        cloud.volumes.attach(volume, server)
    with pytest.raises(InvalidState, match="no free disk slot"):
        cloud.volumes.attach(volumes[1], server)


def test_a_server_that_is_gone_or_foreign_takes_no_volume(driver: Any, cloud: Cloud, server: Server) -> None:
    volume = cloud.for_project("other").volumes.create("theirs", size_gib=1)
    with pytest.raises(NotFound):
        cloud._context.driver.for_project("other").volume.volumes.attach(volume.id, server.id)
    mine = cloud.volumes.create("mine", size_gib=1)
    cloud.servers.suspend(server)
    with pytest.raises(InvalidState, match="SUSPENDED"):
        cloud.volumes.attach(mine, server)
    with pytest.raises(InvalidState, match="not attached"):
        driver.volume.volumes.detach(mine.id, server.id)


def test_a_volume_only_grows(cloud: Cloud) -> None:
    volume = cloud.volumes.create("data", size_gib=2)
    with pytest.raises(InvalidRequest, match="only grow"):
        cloud.volumes.extend(volume, 2)
    extended = cloud.volumes.extend(volume, 3)
    assert (extended.size_gib, extended.status) == (3, "available")


def test_what_a_volume_is_made_from_must_fit_and_be_ready(driver: Any, cloud: Cloud, image: Image) -> None:
    volume = cloud.volumes.create("data", size_gib=2, image=image)
    assert volume.bootable
    snapshot = cloud.snapshots.create("s", volume=volume, wait=False)
    with pytest.raises(InvalidState, match="creating"):
        cloud.volumes.create("early", size_gib=2, snapshot=snapshot)
    cloud.snapshots.wait(snapshot)
    with pytest.raises(InvalidRequest, match="at least 2 GiB"):
        cloud.volumes.create("small", size_gib=1, snapshot=snapshot)
    assert cloud.volumes.create("copy", size_gib=2, snapshot=snapshot).bootable
    big = cloud.images.upload("big", data=bytes(512), min_disk_gib=4)
    with pytest.raises(InvalidRequest, match="at least 4 GiB"):
        cloud.volumes.create("small", size_gib=1, image=big)
    early = cloud.images.upload("early", data=bytes(512), wait=False)
    with pytest.raises(InvalidState, match="saving"):
        cloud.volumes.create("early", size_gib=1, image=early)
    missing = "00000000-0000-4000-8000-000000000000"
    for source in ({"image": missing}, {"snapshot": missing}):
        with pytest.raises(NotFound):
            cloud.volumes.create("none", size_gib=1, **source)
    with pytest.raises(InvalidRequest, match="volume type 'gold'"):
        cloud.volumes.create("gold", size_gib=1, volume_type="gold")


def test_a_snapshot_of_an_attached_volume_needs_force(cloud: Cloud, server: Server) -> None:
    volume = cloud.volumes.create("data", size_gib=1)
    cloud.volumes.attach(volume, server)
    with pytest.raises(InvalidState, match="attached"):
        cloud.snapshots.create("s", volume=volume)
    assert cloud.snapshots.create("s", volume=volume, force=True).status == "available"
    with pytest.raises(NotFound):
        cloud.for_project("other").snapshots.create("s", volume=volume.id)


def test_update_changes_names(cloud: Cloud) -> None:
    volume = cloud.volumes.create("data", size_gib=1)
    assert cloud.volumes.update(volume, name="logs").name == "logs"
    with pytest.raises(cloudkit.NotFound):
        cloud.for_project("other").volumes.update(volume, name="mine")
