"""Backups: of free volumes and attached ones, to new volumes and over others."""

from __future__ import annotations

from typing import Any

import pytest

from cloudkit import Cloud, InvalidRequest, InvalidState, Kind, NotFound, Volume
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab

NOBODY = "00000000-0000-4000-8000-000000000000"

BAD_BACKUPS: dict[str, dict[str, Any]] = {
    "no name": {"name": " "},
    "force that is no flag": {"force": 1},
    "metadata that are no text": {"metadata": {"a": 1}},
    "cloudkit's own metadata": {"metadata": {"cloudkit:request": "1"}},
}


def attached(lab: Lab, cloud: Cloud) -> Volume:
    """A volume in a running server."""
    volume = lab.volume(cloud)
    cloud.volumes.attach(volume, lab.server(cloud))
    return cloud.volumes.get(volume)


@needs("backups")
class TestBackups(Conformance):
    def test_create_returns_it_available(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud, size_gib=2)
        backup = cloud.backups.create(lab.name("backup"), volume=volume)
        assert (backup.status, backup.volume_id, backup.size_gib) == ("available", volume.id, 2)
        assert backup.fault is None
        assert cloud.backups.get(backup) == backup
        assert cloud.volumes.wait(volume).status == "available"

    def test_create_without_waiting_is_waited_for_later(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        backup = cloud.backups.create(lab.name("backup"), volume=volume, wait=False)
        assert backup.status in ("creating", "available")
        assert cloud.volumes.get(volume).status in ("backing-up", "available")
        assert cloud.backups.wait(backup).status == "available"

    @pytest.mark.parametrize("what", BAD_BACKUPS)
    def test_a_bad_one_is_refused_and_nothing_is_made(self, lab: Lab, cloud: Cloud, what: str) -> None:
        arguments: dict[str, Any] = {"name": lab.name(), "volume": lab.volume(cloud), **BAD_BACKUPS[what]}
        before = lab.inventory(Kind.BACKUP, Kind.SNAPSHOT, Kind.VOLUME)
        with pytest.raises(InvalidRequest) as raised:
            cloud.backups.create(**arguments)
        assert raised.value.operation == "backups.create"
        assert lab.inventory(Kind.BACKUP, Kind.SNAPSHOT, Kind.VOLUME) == before

    def test_its_metadata_are_kept(self, lab: Lab, cloud: Cloud) -> None:
        backup = cloud.backups.create(lab.name("backup"), volume=lab.volume(cloud), metadata={"a": "ä"})
        assert backup.metadata == {"a": "ä"}
        assert cloud.backups.get(backup).metadata == {"a": "ä"}

    def test_they_are_listed_by_volume(self, lab: Lab, cloud: Cloud) -> None:
        volume, another = lab.volume(cloud), lab.volume(cloud)
        mine = cloud.backups.create(lab.name("backup"), volume=volume)
        cloud.backups.create(lab.name("backup"), volume=another)
        assert [each.id for each in cloud.backups.list(volume_id=volume.id)] == [mine.id]

    def test_an_unknown_volume_is_not_found(self, lab: Lab) -> None:
        before = lab.inventory(Kind.BACKUP, Kind.SNAPSHOT, Kind.VOLUME)
        for volume in (NOBODY, lab.name()):
            with pytest.raises(NotFound):
                lab.cloud.backups.create(lab.name("backup"), volume=volume)
        assert lab.inventory(Kind.BACKUP, Kind.SNAPSHOT, Kind.VOLUME) == before

    def test_another_projects_volume_or_backup_is_not_found(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        volume = lab.volume(cloud)
        backup = cloud.backups.create(lab.name("backup"), volume=volume)
        with pytest.raises(NotFound):
            other.backups.create(lab.name("backup"), volume=volume.id)
        theirs = lab.volume(other)
        with pytest.raises(NotFound):
            other.backups.restore(backup.id, theirs)
        with pytest.raises(NotFound):
            cloud.backups.restore(backup, theirs.id)
        assert cloud.backups.get(backup).status == "available"

    # ---------------------------------------------------------------- what is attached

    @needs("volumes.attach")
    def test_an_attached_volume_needs_force(self, lab: Lab, cloud: Cloud) -> None:
        volume = attached(lab, cloud)
        with pytest.raises(InvalidState):
            cloud.backups.create(lab.name("backup"), volume=volume)
        assert list(cloud.backups.list(volume_id=volume.id)) == []

    @needs("volumes.attach", "backups.create:force")
    def test_with_force_an_attached_volume_gives_one(self, lab: Lab, cloud: Cloud) -> None:
        volume = attached(lab, cloud)
        assert cloud.backups.create(lab.name("backup"), volume=volume, force=True).status == "available"
        assert cloud.volumes.wait(volume, "in-use").attachments == volume.attachments

    @needs("backups.create:force")
    def test_force_is_no_need_where_it_is_free(self, lab: Lab, cloud: Cloud) -> None:
        backup = cloud.backups.create(lab.name("backup"), volume=lab.volume(cloud), force=True)
        assert backup.status == "available"

    @needs("volumes.attach")
    def test_an_attached_volume_is_not_written_over(self, lab: Lab, cloud: Cloud) -> None:
        backup = cloud.backups.create(lab.name("backup"), volume=lab.volume(cloud))
        volume = attached(lab, cloud)
        with pytest.raises(InvalidState):
            cloud.backups.restore(backup, volume)
        assert cloud.volumes.get(volume) == volume
        assert cloud.backups.get(backup).status == "available"

    # ---------------------------------------------------------------- restoring

    def test_it_is_restored_to_a_new_volume(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud, size_gib=2)
        backup = cloud.backups.create(lab.name("backup"), volume=volume)
        restored = cloud.backups.restore(backup)
        assert (restored.name, restored.status, restored.size_gib) == (backup.name, "available", 2)
        assert restored.id != volume.id
        assert cloud.backups.get(backup).status == "available"

    def test_a_new_volume_belongs_to_the_scope_and_has_the_name_that_is_asked_for(self, lab: Lab) -> None:
        before = lab.inventory(Kind.BACKUP, Kind.SNAPSHOT, Kind.VOLUME)
        with lab.cloud.scope("conformance") as cloud:
            name, backup = lab.name(), cloud.backups.create(lab.name("backup"), volume=lab.volume(cloud))
            restored = cloud.backups.restore(backup.name, name=name)
            assert restored.name == name
            assert restored.mark is not None
            assert restored.mark.scope is not None
            assert restored.mark.scope.startswith("conformance/")
        assert lab.inventory(Kind.BACKUP, Kind.SNAPSHOT, Kind.VOLUME) == before

    def test_it_is_restored_over_a_volume(self, lab: Lab, cloud: Cloud) -> None:
        backup = cloud.backups.create(lab.name("backup"), volume=lab.volume(cloud))
        target = lab.volume(cloud, size_gib=2)
        restored = cloud.backups.restore(backup, target.name)
        assert (restored.id, restored.name, restored.size_gib) == (target.id, target.name, 2)
        assert restored.status == "available"

    def test_a_volume_that_is_smaller_is_refused(self, lab: Lab, cloud: Cloud) -> None:
        backup = cloud.backups.create(lab.name("backup"), volume=lab.volume(cloud, size_gib=2))
        target = lab.volume(cloud)
        with pytest.raises(InvalidRequest):
            cloud.backups.restore(backup, target)
        assert cloud.volumes.get(target).status == "available"
        assert cloud.backups.get(backup).status == "available"

    def test_an_unknown_backup_or_volume_is_not_found(self, lab: Lab, cloud: Cloud) -> None:
        backup = cloud.backups.create(lab.name("backup"), volume=lab.volume(cloud))
        before = lab.inventory(Kind.BACKUP, Kind.SNAPSHOT, Kind.VOLUME)
        for missing in (NOBODY, lab.name()):
            with pytest.raises(NotFound):
                cloud.backups.restore(missing)
            with pytest.raises(NotFound):
                cloud.backups.restore(backup, missing)
        assert lab.inventory(Kind.BACKUP, Kind.SNAPSHOT, Kind.VOLUME) == before

    def test_the_name_of_a_volume_that_is_there_is_not_asked_for(self, lab: Lab, cloud: Cloud) -> None:
        backup, volume = cloud.backups.create(lab.name("backup"), volume=lab.volume(cloud)), lab.volume(cloud)
        with pytest.raises(InvalidRequest):
            cloud.backups.restore(backup, volume, name=lab.name())
        with pytest.raises(InvalidRequest):
            cloud.backups.restore(backup, volume, volume_type="fast")

    @needs("volumes.create:image_id")
    def test_what_is_bootable_is_so_again(self, lab: Lab, cloud: Cloud) -> None:
        backup = cloud.backups.create(lab.name("backup"), volume=lab.volume(cloud, image=lab.image))
        restored = cloud.backups.restore(backup)
        assert (restored.bootable, restored.image_id) == (True, lab.image.id)

    # ---------------------------------------------------------------- what depends on what

    def test_it_outlives_its_volume(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        backup = cloud.backups.create(lab.name("backup"), volume=volume)
        cloud.volumes.delete(volume)
        assert cloud.backups.get(backup).volume_id == volume.id
        assert cloud.backups.restore(backup).status == "available"

    def test_it_is_deleted_and_the_volumes_stay(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        backup = cloud.backups.create(lab.name("backup"), volume=volume)
        restored = cloud.backups.restore(backup)
        cloud.backups.delete(backup)
        assert cloud.backups.find(backup.name) is None
        assert [cloud.volumes.get(each).status for each in (volume, restored)] == ["available"] * 2
