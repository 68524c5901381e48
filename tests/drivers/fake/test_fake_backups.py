from __future__ import annotations

from typing import Any

import pytest

from cloudkit import Cloud, Image, InvalidRequest, InvalidState, NotFound, ResourceFailed, Server, WaitTimeout
from cloudkit.testing import Fail, Hang, Raise


def test_backups_and_their_volumes_go_by_their_statuses(driver: Any, cloud: Cloud) -> None:
    volume = cloud.volumes.create("data", size_gib=1)
    backups, volumes = driver.volume.backups, driver.volume.volumes
    backup = cloud.backups.create("b", volume=volume, wait=False)
    assert (backup.status, volumes.get(volume.id).status) == ("creating", "backing-up")
    for refused in (lambda: backups.delete(backup.id), lambda: volumes.delete(volume.id)):
        with pytest.raises(InvalidState):
            refused()
    with pytest.raises(InvalidState, match="backing-up"):
        cloud.backups.create("c", volume=volume, force=True)
    cloud.backups.wait(backup)
    assert volumes.get(volume.id).status == "available"

    backups.restore(backup.id, volume.id)
    assert (backups.get(backup.id).status, volumes.get(volume.id).status) == ("restoring", "restoring-backup")
    for refused in (
        lambda: backups.delete(backup.id),
        lambda: volumes.delete(volume.id),
        lambda: backups.restore(backup.id, volume.id),
    ):
        with pytest.raises(InvalidState):
            refused()
    cloud.native.clock.advance(1)
    assert (backups.get(backup.id).status, volumes.get(volume.id).status) == ("available", "available")

    for _ in range(2):
        backups.delete(backup.id)
        assert backups.get(backup.id).status == "deleting"
    cloud.native.clock.advance(1)
    with pytest.raises(NotFound):
        backups.get(backup.id)


def test_the_volume_of_a_server_is_in_use_again(cloud: Cloud, server: Server) -> None:
    volume = cloud.volumes.create("data", size_gib=1)
    attachment = cloud.volumes.attach(volume, server)
    with pytest.raises(InvalidState, match="attached"):
        cloud.backups.create("b", volume=volume)
    cloud.backups.create("b", volume=volume, force=True, wait=False)
    assert cloud.volumes.get(volume).status == "backing-up"
    assert cloud.volumes.wait(volume, "in-use").attachments == (attachment,)


def test_what_a_volume_was_is_kept_when_the_volume_is_gone(cloud: Cloud, image: Image) -> None:
    volume = cloud.volumes.create("boot", size_gib=1, image=image)
    backup = cloud.backups.create("b", volume=volume)
    cloud.volumes.delete(volume)
    blank = cloud.volumes.create("blank", size_gib=2)
    restored = cloud.backups.restore(backup, blank)
    assert (restored.bootable, restored.image_id, restored.size_gib) == (True, image.id, 2)


@pytest.mark.parametrize("fault", [Raise(InvalidState("no")), Fail("no room")])
def test_a_restore_that_fails_leaves_no_new_volume(cloud: Cloud, fault: Any) -> None:
    backup = cloud.backups.create("b", volume=cloud.volumes.create("data", size_gib=1))
    cloud.native.faults.add("backups.restore", fault)
    with pytest.raises((InvalidState, ResourceFailed)):
        cloud.backups.restore(backup, name="new")
    assert cloud.volumes.find("new") is None


def test_a_restore_that_takes_too_long_keeps_its_volume(cloud: Cloud) -> None:
    backup = cloud.backups.create("b", volume=cloud.volumes.create("data", size_gib=1))
    cloud.native.faults.add("backups.restore", Hang())
    with pytest.raises(WaitTimeout):
        cloud.backups.restore(backup, name="new", timeout_s=5)
    assert cloud.volumes.find("new") is not None


def test_bad_arguments_are_refused_before_anything_is_made(cloud: Cloud) -> None:
    backup = cloud.backups.create("b", volume=cloud.volumes.create("data", size_gib=1))
    for options in ({"name": ""}, {"name": 7}, {"volume_type": "gold"}, {"volume_type": ""}, {"timeout_s": -1}):
        with pytest.raises(InvalidRequest):
            cloud.backups.restore(backup, **options)  # type: ignore[arg-type]
    assert [volume.name for volume in cloud.volumes.list()] == ["data"]


def test_more_volume_types_can_be_put_in(cloud: Cloud) -> None:
    cloud.native.volume_types["gold"] = "For tests."
    assert cloud.volumes.create("v", size_gib=1, volume_type="gold").volume_type == "gold"
    (gold,) = [each for each in cloud.volumes.types() if each.name == "gold"]
    assert (gold.description, gold.default) == ("For tests.", False)
