"""Where volumes are kept, and volumes that are copies of others."""

from __future__ import annotations

import pytest

from cloudkit import Cloud, InvalidRequest, Kind, NotFound
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab

NOBODY = "00000000-0000-4000-8000-000000000000"


@needs("volumes.types")
class TestVolumeTypes(Conformance):
    def test_one_of_them_is_the_default(self, lab: Lab) -> None:
        types = lab.cloud.volumes.types()
        assert len({each.name for each in types}) == len(types)
        assert [each.default for each in types].count(True) == 1

    @needs("volumes.create:volume_type")
    def test_a_volume_can_be_of_each(self, lab: Lab, cloud: Cloud) -> None:
        for each in lab.cloud.volumes.types():
            volume = lab.volume(cloud, volume_type=each.name)
            assert (volume.status, volume.volume_type) == ("available", each.name)

    def test_a_volume_is_of_the_default_unless_told_otherwise(self, lab: Lab, cloud: Cloud) -> None:
        (default,) = [each.name for each in lab.cloud.volumes.types() if each.default]
        assert lab.volume(cloud).volume_type == default

    @needs("volumes.create:volume_type", "snapshots", "volumes.create:snapshot_id")
    def test_a_copy_is_of_the_type_of_what_it_is_made_from(self, lab: Lab, cloud: Cloud) -> None:
        for each in lab.cloud.volumes.types():
            volume = lab.volume(cloud, volume_type=each.name)
            snapshot = cloud.snapshots.create(lab.name("snapshot"), volume=volume)
            assert lab.volume(cloud, snapshot=snapshot).volume_type == each.name


@needs("volumes.create:source_volume_id")
class TestClones(Conformance):
    def test_a_clone_is_a_volume_of_its_own(self, lab: Lab, cloud: Cloud) -> None:
        source = lab.volume(cloud)
        clone = lab.volume(cloud, source_volume=source)
        assert (clone.status, clone.source_volume_id, clone.size_gib) == ("available", source.id, 1)
        assert (clone.bootable, clone.image_id, clone.attachments) == (False, None, ())
        assert cloud.volumes.get(source) == source

    def test_it_is_made_by_the_sources_name(self, lab: Lab, cloud: Cloud) -> None:
        source = lab.volume(cloud)
        assert lab.volume(cloud, source_volume=source.name).source_volume_id == source.id

    def test_it_may_be_larger(self, lab: Lab, cloud: Cloud) -> None:
        assert lab.volume(cloud, source_volume=lab.volume(cloud), size_gib=2).size_gib == 2

    def test_one_that_is_smaller_is_refused(self, lab: Lab, cloud: Cloud) -> None:
        source = lab.volume(cloud, size_gib=2)
        with pytest.raises(InvalidRequest):
            lab.volume(cloud, source_volume=source)
        assert list(cloud.volumes.list(source_volume_id=source.id)) == []

    def test_it_outlives_its_source_and_its_source_it(self, lab: Lab, cloud: Cloud) -> None:
        source = lab.volume(cloud)
        short, long = (lab.volume(cloud, source_volume=source) for _ in range(2))
        cloud.volumes.delete(short)
        assert cloud.volumes.get(source).status == "available"
        cloud.volumes.delete(source)
        assert cloud.volumes.get(long).status == "available"

    def test_an_unknown_source_is_not_found(self, lab: Lab) -> None:
        before = lab.inventory(Kind.VOLUME, Kind.SNAPSHOT)
        for source in (NOBODY, lab.name()):
            with pytest.raises(NotFound):
                lab.volume(lab.cloud, source_volume=source)
        assert lab.inventory(Kind.VOLUME, Kind.SNAPSHOT) == before

    def test_another_projects_source_is_not_found(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        source = lab.volume(cloud)
        with pytest.raises(NotFound):
            lab.volume(other, source_volume=source.id)
        assert list(other.volumes.list()) == []

    @needs("volumes.create:image_id")
    def test_what_is_bootable_has_clones_that_are(self, lab: Lab, cloud: Cloud) -> None:
        clone = lab.volume(cloud, source_volume=lab.volume(cloud, image=lab.image))
        assert (clone.bootable, clone.image_id) == (True, lab.image.id)

    @needs("volumes.attach")
    def test_an_attached_one_is_cloned(self, lab: Lab, cloud: Cloud) -> None:
        server, source = lab.server(cloud), lab.volume(cloud)
        cloud.volumes.attach(source, server)
        clone = lab.volume(cloud, source_volume=source)
        assert (clone.status, clone.attachments) == ("available", ())
        assert cloud.volumes.get(source).status == "in-use"
