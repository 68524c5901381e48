"""Scopes: what is created through one is deleted at its end; what a crash has left, by the sweep."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from cloudkit import Cloud, InvalidRequest, Kind, Leftover, NotFound
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import PUBLIC_KEY, Lab


def swept(leftovers: list[Leftover], name: str) -> list[Leftover]:
    """What of one scope was found."""
    return [leftover for leftover in leftovers if leftover.scope.name == name]


class TestScopes(Conformance):
    def test_all_that_it_made_is_deleted_at_its_end(self, lab: Lab) -> None:
        assert lab.image
        assert lab.flavor
        before = lab.inventory()
        with lab.cloud.scope("conformance") as cloud:
            cloud.key_pairs.create(lab.name("key"), public_key=PUBLIC_KEY)
            lab.server(cloud, flavor=lab.flavor_of(cloud))
            lab.volume(cloud)
            assert len(lab.inventory() - before) >= 4
        assert lab.inventory() == before

    @needs("networks.create", "subnets.create", "ports.create")
    def test_a_network_with_all_that_is_on_it_is_deleted(self, lab: Lab) -> None:
        assert lab.image
        assert lab.flavor
        before = lab.inventory()
        with lab.cloud.scope("conformance") as cloud:
            network = cloud.networks.create(lab.name("network"), cidr=lab.cidr())
            port = cloud.ports.create(lab.name("port"), network=network)
            lab.server(cloud, networks=[port, network])
        assert lab.inventory() == before

    @needs("volumes.attach")
    def test_a_volume_in_a_server_of_the_scope_is_deleted(self, lab: Lab) -> None:
        assert lab.image
        assert lab.flavor
        before = lab.inventory()
        with lab.cloud.scope("conformance") as cloud:
            cloud.volumes.attach(lab.volume(cloud), lab.server(cloud))
        assert lab.inventory() == before

    @needs("volumes.attach")
    def test_a_volume_in_a_server_that_stays_is_taken_out(self, lab: Lab) -> None:
        server = lab.booted()
        with lab.cloud.scope("conformance") as cloud:
            volume = lab.volume(cloud)
            cloud.volumes.attach(volume, server.id)
        assert lab.cloud.volumes.find(volume.name) is None
        assert lab.cloud.servers.get(server).volume_ids == ()

    @needs("snapshots")
    def test_snapshots_go_before_their_volumes(self, lab: Lab) -> None:
        before = lab.inventory()
        with lab.cloud.scope("conformance") as cloud:
            cloud.snapshots.create(lab.name("snapshot"), volume=lab.volume(cloud))
        assert lab.inventory() == before

    def test_its_things_are_marked_as_its_own(self, lab: Lab) -> None:
        scope = lab.cloud.scope("conformance")
        with scope as cloud:
            volume = cloud.volumes.get(lab.volume(cloud))
            assert volume.mark is not None
            assert volume.mark.scope == scope.info.text
            assert scope.info.name == "conformance"

    def test_an_error_in_its_block_goes_on_and_all_is_deleted(self, lab: Lab) -> None:
        before = lab.inventory()
        with pytest.raises(NotFound, match="not in the block"), lab.cloud.scope("conformance") as cloud:
            cloud.volumes.get(lab.volume(cloud, name="made").name + " not in the block")
        assert lab.inventory() == before

    def test_what_threads_made_is_deleted(self, lab: Lab) -> None:
        before = lab.inventory()
        with lab.cloud.scope("conformance") as cloud, ThreadPoolExecutor(8) as pool:
            volumes = list(pool.map(lab.volume, [cloud] * 8))
            assert len({volume.id for volume in volumes}) == 8
        assert lab.inventory() == before

    def test_what_others_made_stays(self, lab: Lab, cloud: Cloud) -> None:
        mine = lab.volume(cloud)
        with lab.cloud.scope("conformance") as another:
            lab.volume(another)
            assert another.volumes.get(mine.name).id == mine.id
        assert cloud.volumes.get(mine).id == mine.id

    def test_what_was_deleted_already_is_no_matter(self, lab: Lab) -> None:
        before = lab.inventory()
        with lab.cloud.scope("conformance") as cloud:
            cloud.volumes.delete(lab.volume(cloud))
            volume = lab.volume(cloud)
            lab.cloud.volumes.delete(volume)
        assert lab.inventory() == before

    @needs("volumes.update")
    def test_what_was_renamed_is_deleted(self, lab: Lab) -> None:
        with lab.cloud.scope("conformance") as cloud:
            volume = cloud.volumes.update(lab.volume(cloud), name=lab.name(), description="new", metadata={})
        with pytest.raises(NotFound):
            lab.cloud.volumes.get(volume)

    def test_scopes_within_scopes_end_on_their_own(self, lab: Lab) -> None:
        with lab.cloud.scope("conformance") as outer:
            mine = lab.volume(outer)
            with outer.scope("conformance-inner") as inner:
                theirs = lab.volume(inner)
            with pytest.raises(NotFound):
                outer.volumes.get(theirs)
            assert outer.volumes.get(mine).id == mine.id

    @pytest.mark.parametrize("name", ["", "x" * 65, "two\nlines", None, 7])
    def test_what_is_no_name_is_refused(self, lab: Lab, name: object) -> None:
        with pytest.raises(InvalidRequest):
            lab.cloud.scope(name)  # type: ignore[arg-type]

    def test_its_expiry_is_a_number_of_seconds(self, lab: Lab) -> None:
        for seconds in (-1, "3600", None):
            with pytest.raises(InvalidRequest):
                lab.cloud.scope("conformance", expires_in_s=seconds)  # type: ignore[arg-type]


class TestSweep(Conformance):
    def test_it_only_lists_what_a_living_process_has_made(self, lab: Lab) -> None:
        name = lab.name("scope")
        with lab.cloud.scope(name) as cloud:
            volume = lab.volume(cloud)
            for delete in (False, True):
                (leftover,) = swept(lab.cloud.sweep(delete=delete), name)
                assert leftover.value == volume
                assert (leftover.removable, leftover.deleted, leftover.error) == (False, False, None)
                assert leftover.reason
            assert cloud.volumes.get(volume).id == volume.id
        assert swept(lab.cloud.sweep(), name) == []

    def test_it_deletes_what_has_expired(self, lab: Lab) -> None:
        name = lab.name("scope")
        with lab.cloud.scope(name, expires_in_s=0) as cloud:
            lab.volume(cloud)
            lab.server(cloud)
            listed = swept(lab.cloud.sweep(), name)
            assert {leftover.value.kind for leftover in listed} == {Kind.VOLUME, Kind.SERVER}
            assert {(leftover.removable, leftover.deleted) for leftover in listed} == {(True, False)}
            removed = swept(lab.cloud.sweep(delete=True), name)
            assert {(leftover.removable, leftover.deleted) for leftover in removed} == {(True, True)}
            assert swept(lab.cloud.sweep(), name) == []

    def test_it_deletes_what_is_named(self, lab: Lab) -> None:
        name, another = lab.name("scope"), lab.name("scope")
        with lab.cloud.scope(name) as cloud, lab.cloud.scope(another) as others:
            lab.volume(cloud)
            theirs = lab.volume(others)
            leftovers = lab.cloud.sweep(delete=True, names=[name])
            assert [leftover.deleted for leftover in swept(leftovers, name)] == [True]
            assert [leftover.deleted for leftover in swept(leftovers, another)] == [False]
            assert others.volumes.get(theirs).id == theirs.id

    def test_it_never_touches_what_belongs_to_no_scope(self, lab: Lab) -> None:
        volume = lab.volume(lab.cloud)
        try:
            leftovers = lab.cloud.sweep(delete=True, names=[volume.name])
            assert volume.id not in {leftover.value.id for leftover in leftovers}
            assert lab.cloud.volumes.get(volume).id == volume.id
        finally:
            lab.cloud.volumes.delete(volume)

    def test_it_keeps_to_its_project(self, lab: Lab) -> None:
        name = lab.name("scope")
        with lab.other.scope(name) as others:
            theirs = lab.volume(others)
            assert swept(lab.cloud.sweep(delete=True, names=[name]), name) == []
            assert others.volumes.get(theirs).id == theirs.id

    @pytest.mark.parametrize("names", ["conformance", [""], [None], 7])
    def test_what_are_no_names_is_refused(self, lab: Lab, names: object) -> None:
        with pytest.raises(InvalidRequest):
            lab.cloud.sweep(names=names)  # type: ignore[arg-type]
