"""Volumes, what they are plugged into, and their snapshots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cloudkit import Cloud, InUse, InvalidRequest, InvalidState, Kind, NotFound, Server, Volume
from cloudkit.cli.story import find_disk
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab

NOBODY = "00000000-0000-4000-8000-000000000000"

BAD_VOLUMES: dict[str, dict[str, Any]] = {
    "no size": {"size_gib": 0},
    "negative size": {"size_gib": -1},
    "half a size": {"size_gib": 1.5},
    "size in words": {"size_gib": "1"},
    "true size": {"size_gib": True},
    "a size beyond all": {"size_gib": 1 << 40},
    "image and snapshot": {"image": NOBODY, "snapshot": NOBODY},
    "snapshot and volume": {"snapshot": NOBODY, "source_volume": NOBODY},
    "a zone without a name": {"availability_zone": ""},
    "metadata that are no text": {"metadata": {"a": 1}},
    "metadata with an odd key": {"metadata": {"Größe": "1"}},
    "metadata that are no mapping": {"metadata": ["a"]},
    "cloudkit's own metadata": {"metadata": {"cloudkit:request": "1"}},
    "description that is no text": {"description": None},
}


class TestVolumes(Conformance):
    def test_create_returns_it_available(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud, size_gib=2)
        assert (volume.status, volume.size_gib, volume.attachments) == ("available", 2, ())
        assert (volume.bootable, volume.image_id, volume.snapshot_id) == (False, None, None)
        assert cloud.volumes.get(volume) == volume

    def test_its_metadata_are_kept(self, lab: Lab, cloud: Cloud) -> None:
        metadata = {"role": "data", "a Size:0.1_b-c": "<größer>"}
        volume = lab.volume(cloud, metadata=metadata)
        assert volume.metadata == metadata
        assert cloud.volumes.get(volume).metadata == metadata

    def test_create_without_waiting_is_waited_for_later(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud, wait=False)
        assert volume.status in ("creating", "available")
        assert cloud.volumes.wait(volume).status == "available"

    @pytest.mark.parametrize("what", BAD_VOLUMES)
    def test_a_bad_one_is_refused_and_nothing_is_made(self, lab: Lab, what: str) -> None:
        before = lab.inventory(Kind.VOLUME, Kind.SNAPSHOT)
        with pytest.raises(InvalidRequest) as raised:
            lab.volume(lab.cloud, **BAD_VOLUMES[what])
        assert raised.value.operation == "volumes.create"
        assert lab.inventory(Kind.VOLUME, Kind.SNAPSHOT) == before

    @needs("volumes.create:volume_type")
    def test_its_type_is_kept(self, lab: Lab, cloud: Cloud) -> None:
        kind = lab.volume(cloud).volume_type
        assert kind
        assert lab.volume(cloud, volume_type=kind).volume_type == kind

    @needs("volumes.create:volume_type")
    def test_an_unknown_type_is_refused(self, lab: Lab) -> None:
        before = lab.inventory(Kind.VOLUME, Kind.SNAPSHOT)
        with pytest.raises((InvalidRequest, NotFound)):
            lab.volume(lab.cloud, volume_type=lab.name("type"))
        assert lab.inventory(Kind.VOLUME, Kind.SNAPSHOT) == before

    @needs("volumes.create:availability_zone")
    def test_it_is_made_in_a_zone(self, lab: Lab, cloud: Cloud) -> None:
        zone = lab.volume(cloud).availability_zone
        assert zone
        assert lab.volume(cloud, availability_zone=zone).availability_zone == zone

    @needs("volumes.create:availability_zone")
    def test_an_unknown_zone_is_refused(self, lab: Lab) -> None:
        before = lab.inventory(Kind.VOLUME, Kind.SNAPSHOT)
        with pytest.raises(InvalidRequest):
            lab.volume(lab.cloud, availability_zone=lab.name("zone"))
        assert lab.inventory(Kind.VOLUME, Kind.SNAPSHOT) == before

    @needs("volumes.create:image_id")
    def test_one_of_an_image_is_bootable(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud, image=lab.image)
        assert (volume.bootable, volume.image_id) == (True, lab.image.id)

    @needs("volumes.create:image_id", "images.create")
    def test_one_that_is_smaller_than_its_image_is_refused(self, lab: Lab, cloud: Cloud) -> None:
        image = cloud.images.upload(lab.name("image"), data=bytes(512), min_disk_gib=2)
        with pytest.raises(InvalidRequest):
            lab.volume(cloud, image=image)
        assert lab.volume(cloud, image=image, size_gib=2).size_gib == 2

    @needs("volumes.create:image_id", "images.create")
    def test_one_of_an_image_outlives_it(self, lab: Lab, cloud: Cloud) -> None:
        image = cloud.images.upload(lab.name("image"), data=bytes(512))
        volume = lab.volume(cloud, image=image)
        cloud.images.delete(image)
        assert cloud.volumes.get(volume) == volume

    @needs("volumes.create:image_id")
    def test_an_unknown_image_is_not_found(self, lab: Lab) -> None:
        before = lab.inventory(Kind.VOLUME, Kind.SNAPSHOT)
        for image in (NOBODY, lab.name("image")):
            with pytest.raises(NotFound):
                lab.volume(lab.cloud, image=image)
        assert lab.inventory(Kind.VOLUME, Kind.SNAPSHOT) == before

    @needs("volumes.extend")
    def test_it_grows(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        grown = cloud.volumes.extend(volume, 2)
        assert (grown.id, grown.size_gib, grown.status) == (volume.id, 2, "available")

    @needs("volumes.extend")
    @pytest.mark.parametrize("size_gib", [1, 2, 0, -1, 2.5, "3"])
    def test_it_does_not_shrink(self, lab: Lab, cloud: Cloud, size_gib: Any) -> None:
        volume = lab.volume(cloud, size_gib=2)
        with pytest.raises(InvalidRequest):
            cloud.volumes.extend(volume, size_gib)
        assert cloud.volumes.get(volume).size_gib == 2

    @needs("volumes.update")
    def test_it_is_changed(self, lab: Lab, cloud: Cloud) -> None:
        volume, name = lab.volume(cloud, metadata={"a": "1"}), lab.name()
        changed = cloud.volumes.update(volume, name=name, description="new", metadata={"b": "2"})
        assert (changed.id, changed.name, changed.description) == (volume.id, name, "new")
        assert changed.metadata == {"b": "2"}
        assert cloud.volumes.find(volume.name) is None

    @needs("volumes.update")
    @pytest.mark.parametrize("changes", [{}, {"size_gib": 3}, {"name": ""}, {"metadata": {"a": 1}}], ids=str)
    def test_what_cannot_be_changed_is_refused(self, lab: Lab, cloud: Cloud, changes: dict[str, Any]) -> None:
        volume = lab.volume(cloud)
        with pytest.raises(InvalidRequest):
            cloud.volumes.update(volume, **changes)
        assert cloud.volumes.get(volume) == volume


def check_that_disks_stay(cloud: Cloud, server: Server, inside: Volume, outside: Volume) -> None:
    """What is in stays in, what is outside stays outside."""
    before = cloud.volumes.get(inside)
    with pytest.raises(InvalidState):
        cloud.volumes.attach(outside, server)
    with pytest.raises(InvalidState):
        cloud.volumes.detach(inside, server)
    assert cloud.volumes.get(inside) == before
    assert cloud.volumes.get(outside).status == "available"


@needs("volumes.attach")
class TestAttach(Conformance):
    def test_attach_returns_it_in_use(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        attachment = cloud.volumes.attach(volume, server)
        assert (attachment.volume_id, attachment.server_id) == (volume.id, server.id)
        assert attachment.device_hint.startswith("/dev/")
        assert 0 < len(attachment.serial) <= 20
        attached = cloud.volumes.get(volume)
        assert (attached.status, attached.attachments) == ("in-use", (attachment,))
        assert cloud.servers.get(server).volume_ids == (volume.id,)

    def test_it_is_attached_by_names(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        assert cloud.volumes.attach(volume.name, server.name).server_id == server.id

    def test_two_volumes_are_different_devices(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        one, two = (cloud.volumes.attach(lab.volume(cloud), server) for _ in range(2))
        assert one.device_hint != two.device_hint
        assert one.serial != two.serial
        assert set(cloud.servers.get(server).volume_ids) == {one.volume_id, two.volume_id}

    def test_it_is_attached_once(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        attachment = cloud.volumes.attach(volume, server)
        with pytest.raises(InvalidState):
            cloud.volumes.attach(volume, server)
        with pytest.raises(InvalidState):
            cloud.volumes.attach(volume, lab.server(cloud))
        assert cloud.volumes.get(volume).attachments == (attachment,)

    def test_an_attached_one_is_not_deleted(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        cloud.volumes.attach(volume, server)
        with pytest.raises(InUse):
            cloud.volumes.delete(volume)
        assert cloud.volumes.get(volume).status == "in-use"

    def test_a_stopped_server_takes_it(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = cloud.servers.stop(lab.server(cloud), hard=True), lab.volume(cloud)
        assert cloud.volumes.attach(volume, server).server_id == server.id
        assert cloud.servers.start(server).volume_ids == (volume.id,)

    def test_a_stopped_server_gives_it_back(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = cloud.servers.stop(lab.server(cloud), hard=True), lab.volume(cloud)
        cloud.volumes.attach(volume, server)
        freed = cloud.volumes.detach(volume, server)
        assert (freed.status, freed.attachments) == ("available", ())
        assert cloud.servers.get(server).volume_ids == ()

    def test_a_running_server_gives_it_back(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.booted(), lab.volume(cloud)
        cloud.volumes.attach(volume, server)
        freed = cloud.volumes.detach(volume, server)
        assert (freed.status, freed.attachments) == ("available", ())
        assert cloud.servers.get(server).volume_ids == ()

    def test_it_is_detached_from_the_only_server_without_naming_it(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        cloud.volumes.attach(volume, lab.booted())
        assert cloud.volumes.detach(volume).status == "available"

    def test_it_is_attached_again(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = cloud.servers.stop(lab.server(cloud), hard=True), lab.volume(cloud)
        for _ in range(2):
            attachment = cloud.volumes.attach(volume, server)
            assert cloud.volumes.get(volume).attachments == (attachment,)
            cloud.volumes.detach(volume)

    def test_what_is_not_attached_is_not_detached(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        for arguments in ((volume,), (volume, server)):
            with pytest.raises(InvalidState):
                cloud.volumes.detach(*arguments)
        assert cloud.volumes.get(volume).status == "available"

    def test_it_is_not_detached_from_another_server(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        attachment = cloud.volumes.attach(volume, server)
        with pytest.raises(InvalidState):
            cloud.volumes.detach(volume, lab.server(cloud))
        assert cloud.volumes.get(volume).attachments == (attachment,)

    def test_the_end_of_its_server_frees_it(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        cloud.volumes.attach(volume, server)
        cloud.servers.delete(server)
        freed = cloud.volumes.wait(volume)
        assert (freed.status, freed.attachments) == ("available", ())
        cloud.volumes.delete(volume)
        assert cloud.volumes.find(volume.name) is None

    def test_it_stays_over_a_stop(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        attachment = cloud.volumes.attach(volume, server)
        cloud.servers.stop(server, hard=True)
        assert cloud.volumes.get(volume).attachments == (attachment,)
        assert cloud.servers.start(server).volume_ids == (volume.id,)

    def test_an_unknown_server_or_volume_is_not_found(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        for arguments in ((volume, NOBODY), (volume, lab.name()), (NOBODY, server), (lab.name(), server)):
            with pytest.raises(NotFound):
                cloud.volumes.attach(*arguments)
        assert cloud.volumes.get(volume).status == "available"
        assert cloud.servers.get(server).volume_ids == ()

    def test_another_projects_server_or_volume_is_not_found(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        with pytest.raises(NotFound):
            other.volumes.attach(volume.id, lab.server(other))
        with pytest.raises(NotFound):
            other.volumes.attach(lab.volume(other), server.id)
        assert cloud.volumes.get(volume).status == "available"

    @needs("servers.create:boot_volume_id", "volumes.create:image_id")
    def test_the_disk_that_a_server_boots_from_stays_in_it(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud, image=lab.image)
        server = lab.server(cloud, image=None, boot_volume=volume)
        with pytest.raises(InvalidState):
            cloud.volumes.detach(volume, server)
        with pytest.raises(InUse):
            cloud.volumes.delete(volume)
        assert cloud.volumes.get(volume).status == "in-use"

    @needs("servers.pause")
    def test_a_paused_server_takes_it(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = cloud.servers.pause(lab.server(cloud)), lab.volume(cloud)
        assert cloud.volumes.attach(volume, server).server_id == server.id
        assert cloud.servers.unpause(server).volume_ids == (volume.id,)

    @needs("servers.suspend")
    def test_a_suspended_server_neither_takes_it_nor_gives_it_back(self, lab: Lab, cloud: Cloud) -> None:
        server, inside, outside = lab.server(cloud), lab.volume(cloud), lab.volume(cloud)
        cloud.volumes.attach(inside, server)
        cloud.servers.suspend(server)
        check_that_disks_stay(cloud, server, inside, outside)

    @needs("servers.lock")
    def test_a_locked_server_neither_takes_it_nor_gives_it_back(self, lab: Lab, cloud: Cloud) -> None:
        server, inside, outside = lab.server(cloud), lab.volume(cloud), lab.volume(cloud)
        cloud.volumes.attach(inside, server)
        cloud.servers.lock(server)
        try:
            check_that_disks_stay(cloud, server, inside, outside)
        finally:
            cloud.servers.unlock(server)

    @needs("servers.rescue")
    def test_a_server_in_rescue_neither_takes_it_nor_gives_it_back(self, lab: Lab, cloud: Cloud) -> None:
        server, inside, outside = lab.server(cloud), lab.volume(cloud), lab.volume(cloud)
        cloud.volumes.attach(inside, server)
        cloud.servers.rescue(server)
        check_that_disks_stay(cloud, server, inside, outside)

    @needs("servers.resize")
    @pytest.mark.parametrize("end", ["confirm_resize", "revert_resize"])
    def test_a_resized_server_takes_it_before_that_is_confirmed(self, lab: Lab, cloud: Cloud, end: str) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        cloud.servers.resize(server, lab.flavor_of(cloud, vcpus=2), confirm=False)
        attachment = cloud.volumes.attach(volume, server)
        assert getattr(cloud.servers, end)(server).volume_ids == (volume.id,)
        (after,) = cloud.volumes.get(volume).attachments
        # Nova plugs it in anew when it goes back.
        assert replace(after, id=attachment.id, attached_at=attachment.attached_at) == attachment
        stopped = cloud.servers.stop(server, hard=True)
        assert cloud.volumes.detach(volume, stopped).status == "available"

    @needs("volumes.extend")
    def test_one_in_a_stopped_server_grows(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = cloud.servers.stop(lab.server(cloud), hard=True), lab.volume(cloud)
        cloud.volumes.attach(volume, server)
        grown = cloud.volumes.extend(volume, 2)
        assert (grown.size_gib, grown.status) == (2, "in-use")

    @needs("volumes.extend", "servers.suspend")
    def test_one_in_a_suspended_server_grows(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        cloud.volumes.attach(volume, server)
        cloud.servers.suspend(server)
        grown = cloud.volumes.extend(volume, 2)
        assert (grown.size_gib, grown.status) == (2, "in-use")
        assert cloud.servers.resume(server).volume_ids == (volume.id,)

    @needs("volumes.extend", "servers.ssh")
    def test_a_running_guest_sees_it_grow(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.booted()
        disk = cloud.volumes.attach(lab.volume(cloud), server)
        with lab.shell(server) as shell:
            device = find_disk(shell, disk)
            cloud.volumes.extend(disk.volume_id, 2)
            table = ["fdisk", "-l", device]
            assert lab.soon(lambda: f"{2 << 30} bytes" in shell.run(table, sudo=True, check=True).stdout)

    @needs("volumes.extend")
    def test_an_attached_one_grows(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        cloud.volumes.attach(volume, server)
        grown = cloud.volumes.extend(volume, 2)
        assert (grown.size_gib, grown.status) == (2, "in-use")


@needs("snapshots")
class TestSnapshots(Conformance):
    def test_create_returns_it_available(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud, size_gib=2)
        snapshot = cloud.snapshots.create(lab.name("snapshot"), volume=volume)
        assert (snapshot.status, snapshot.volume_id, snapshot.size_gib) == ("available", volume.id, 2)
        assert cloud.snapshots.get(snapshot) == snapshot
        assert cloud.volumes.get(volume).status == "available"

    def test_its_metadata_are_kept(self, lab: Lab, cloud: Cloud) -> None:
        snapshot = cloud.snapshots.create(lab.name("snapshot"), volume=lab.volume(cloud), metadata={"a": "ä"})
        assert snapshot.metadata == {"a": "ä"}
        assert cloud.snapshots.get(snapshot).metadata == {"a": "ä"}

    def test_they_are_listed_by_volume(self, lab: Lab, cloud: Cloud) -> None:
        volume, another = lab.volume(cloud), lab.volume(cloud)
        mine = cloud.snapshots.create(lab.name("snapshot"), volume=volume)
        cloud.snapshots.create(lab.name("snapshot"), volume=another)
        assert [each.id for each in cloud.snapshots.list(volume_id=volume.id)] == [mine.id]

    def test_an_unknown_volume_is_not_found(self, lab: Lab) -> None:
        before = lab.inventory(Kind.VOLUME, Kind.SNAPSHOT)
        for volume in (NOBODY, lab.name()):
            with pytest.raises(NotFound):
                lab.cloud.snapshots.create(lab.name("snapshot"), volume=volume)
        assert lab.inventory(Kind.VOLUME, Kind.SNAPSHOT) == before

    def test_a_volume_with_snapshots_is_not_deleted(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        snapshot = cloud.snapshots.create(lab.name("snapshot"), volume=volume)
        with pytest.raises(InUse):
            cloud.volumes.delete(volume)
        assert cloud.volumes.get(volume).status == "available"
        cloud.snapshots.delete(snapshot)
        cloud.volumes.delete(volume)
        assert cloud.volumes.find(volume.name) is None

    @needs("volumes.create:snapshot_id")
    def test_a_volume_is_made_from_it(self, lab: Lab, cloud: Cloud) -> None:
        snapshot = cloud.snapshots.create(lab.name("snapshot"), volume=lab.volume(cloud))
        copy = lab.volume(cloud, snapshot=snapshot, size_gib=2)
        assert (copy.status, copy.snapshot_id, copy.size_gib) == ("available", snapshot.id, 2)

    @needs("volumes.create:snapshot_id")
    def test_a_volume_that_is_smaller_is_refused(self, lab: Lab, cloud: Cloud) -> None:
        snapshot = cloud.snapshots.create(lab.name("snapshot"), volume=lab.volume(cloud, size_gib=2))
        with pytest.raises(InvalidRequest):
            lab.volume(cloud, snapshot=snapshot, size_gib=1)
        assert list(cloud.volumes.list(snapshot_id=snapshot.id)) == []

    @needs("volumes.create:snapshot_id")
    def test_it_is_deleted_and_the_volume_made_from_it_stays(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        snapshot = cloud.snapshots.create(lab.name("snapshot"), volume=volume)
        copy = lab.volume(cloud, snapshot=snapshot)
        cloud.snapshots.delete(snapshot)
        cloud.volumes.delete(volume)
        assert cloud.volumes.get(copy).status == "available"

    @needs("volumes.create:snapshot_id", "volumes.create:image_id")
    def test_what_is_bootable_stays_so_through_it(self, lab: Lab, cloud: Cloud) -> None:
        snapshot = cloud.snapshots.create(lab.name("snapshot"), volume=lab.volume(cloud, image=lab.image))
        copy = lab.volume(cloud, snapshot=snapshot)
        assert (copy.bootable, copy.image_id) == (True, lab.image.id)

    @needs("volumes.create:snapshot_id")
    def test_an_unknown_one_is_not_found(self, lab: Lab) -> None:
        before = lab.inventory(Kind.VOLUME, Kind.SNAPSHOT)
        for snapshot in (NOBODY, lab.name()):
            with pytest.raises(NotFound):
                lab.volume(lab.cloud, snapshot=snapshot)
        assert lab.inventory(Kind.VOLUME, Kind.SNAPSHOT) == before

    @needs("volumes.attach")
    def test_an_attached_volume_needs_force(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        cloud.volumes.attach(volume, server)
        with pytest.raises(InvalidState):
            cloud.snapshots.create(lab.name("snapshot"), volume=volume)
        assert list(cloud.snapshots.list(volume_id=volume.id)) == []

    @needs("volumes.attach", "snapshots.create:force")
    def test_with_force_an_attached_volume_gives_one(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        cloud.volumes.attach(volume, server)
        assert cloud.snapshots.create(lab.name("snapshot"), volume=volume, force=True).status == "available"
        assert cloud.volumes.get(volume).status == "in-use"

    @needs("snapshots.create:force")
    def test_force_is_no_need_where_it_is_free(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        assert cloud.snapshots.create(lab.name("snapshot"), volume=volume, force=True).status == "available"
