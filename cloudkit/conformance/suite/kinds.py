"""What holds for things of every kind."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta

import pytest

from cloudkit import AlreadyExists, AmbiguousName, Cloud, InvalidRequest, Kind, NotFound
from cloudkit.conformance.base import (
    NAMED_BY_THE_CLOUD,
    ONE_NAMED_ONCE,
    Conformance,
    collection,
    each_kind,
    needs,
)
from cloudkit.conformance.lab import Lab

SEEN_BY_ALL = (Kind.FLAVOR, Kind.KEY_PAIR)
"""Kinds that other projects may see: flavors, unless told otherwise, and key pairs, which are their user's."""

WITHOUT_DESCRIPTION = (Kind.SERVER, Kind.FLAVOR, Kind.KEY_PAIR, Kind.SERVER_GROUP, Kind.IMAGE)
"""Nova and Glance have none, or have it as an option."""

BAD_NAMES: tuple[object, ...] = ("", "   ", "x" * 256, "two\nlines", "nul\0", None, 7, b"bytes")


class TestEveryKind(Conformance):
    @each_kind()
    def test_a_new_thing_says_what_it_is(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        name = lab.name()
        value = lab.make(cloud, kind, name)
        assert value.kind is kind
        assert isinstance(value.id, str)
        assert value.id
        assert value.name == (value.ip if kind in NAMED_BY_THE_CLOUD else name)
        assert value.project_id == cloud.project_id
        assert value.cloud_id == cloud.cloud_id

    @each_kind()
    def test_its_time_of_creation_is_aware_and_utc(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind)
        assert value.created_at.utcoffset() == timedelta(0)
        assert value.updated_at is None or value.updated_at >= value.created_at

    @each_kind()
    def test_a_value_is_data(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind)
        copy = pickle.loads(pickle.dumps(value))  # noqa: S301
        assert copy == value
        assert hash(copy) == hash(value)
        with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
            value.name = "another"

    @each_kind()
    def test_get_takes_value_id_and_name(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind)
        things = collection(cloud, kind)
        assert [things.get(ref).id for ref in (value, value.id, value.name)] == [value.id] * 3
        assert things.find(value.name).id == value.id

    @each_kind()
    def test_list_shows_it_once_as_get_does(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind)
        things = collection(cloud, kind)
        assert [each for each in things.list() if each.id == value.id] == [things.get(value)]

    @each_kind()
    def test_list_is_an_iterator(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        lab.make(cloud, kind)
        found = collection(cloud, kind).list()
        assert iter(found) is found
        assert next(found).kind is kind

    @each_kind()
    def test_it_is_filtered_by_name(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind)
        lab.make(cloud, kind)
        assert [each.id for each in collection(cloud, kind).list(name=value.name)] == [value.id]
        assert list(collection(cloud, kind).list(name=lab.name())) == []

    @each_kind()
    def test_an_unknown_filter_is_refused_at_the_call(self, lab: Lab, kind: Kind) -> None:
        with pytest.raises(InvalidRequest) as raised:
            collection(lab.cloud, kind).list(nmae="web")
        assert "name" in raised.value.hint

    @each_kind()
    def test_its_mark_shows_nowhere_else(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind)
        assert value.description == ""
        for attribute in ("metadata", "tags", "extra_specs"):
            assert not getattr(value, attribute, None)
        assert "cloudkit:" not in repr(value)
        if kind is not Kind.SERVER_GROUP:
            # A server group of Nova's has no room for one.
            assert value.mark is not None
            assert value.mark.request
            assert value.mark.scope.startswith("conformance/")

    @each_kind(but=WITHOUT_DESCRIPTION)
    def test_its_description_is_kept(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind, description="Für den Kurs; don't delete")
        assert value.description == "Für den Kurs; don't delete"
        assert collection(cloud, kind).get(value).description == value.description

    @each_kind()
    def test_wait_returns_what_is_usable(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind)
        assert collection(cloud, kind).wait(value).id == value.id

    @each_kind()
    def test_what_is_deleted_is_gone(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind)
        things = collection(cloud, kind)
        things.delete(value)
        with pytest.raises(NotFound):
            things.get(value)
        with pytest.raises(NotFound):
            things.get(value.id)
        assert things.find(value.name) is None
        assert value.id not in {each.id for each in things.list()}

    @each_kind()
    def test_deleting_twice_needs_missing_ok(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind)
        things = collection(cloud, kind)
        things.delete(value)
        things.delete(value, missing_ok=True)
        things.delete(value.name, missing_ok=True)
        with pytest.raises(NotFound):
            things.delete(value)

    @each_kind()
    def test_it_is_deleted_by_name(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind)
        collection(cloud, kind).delete(value.name)
        assert collection(cloud, kind).find(value.name) is None

    @each_kind()
    def test_the_end_of_its_scope_deletes_it(self, lab: Lab, kind: Kind) -> None:
        with lab.cloud.scope("conformance") as cloud:
            value = lab.make(cloud, kind)
        with pytest.raises(NotFound):
            collection(lab.cloud, kind).get(value)

    @each_kind()
    def test_what_never_was_is_not_found(self, lab: Lab, kind: Kind) -> None:
        things = collection(lab.cloud, kind)
        for ref in (lab.name(), "00000000-0000-4000-8000-000000000000"):
            assert things.find(ref) is None
            for verb in (things.get, things.delete, things.wait):
                with pytest.raises(NotFound):
                    verb(ref)

    @each_kind(but=SEEN_BY_ALL)
    def test_another_project_does_not_see_it(self, lab: Lab, cloud: Cloud, other: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind)
        theirs = collection(other, kind)
        assert value.id not in {each.id for each in theirs.list()}
        assert theirs.find(value.name) is None
        for verb in (theirs.get, theirs.delete):
            with pytest.raises(NotFound):
                verb(value.id)
        assert collection(cloud, kind).get(value).id == value.id

    @each_kind(but=NAMED_BY_THE_CLOUD + SEEN_BY_ALL)
    def test_two_projects_have_the_same_name(self, lab: Lab, cloud: Cloud, other: Cloud, kind: Kind) -> None:
        mine = lab.make(cloud, kind)
        theirs = lab.make(other, kind, mine.name)
        assert collection(cloud, kind).get(mine.name).project_id == cloud.project_id
        assert collection(other, kind).get(mine.name).project_id == other.project_id
        collection(other, kind).delete(theirs)
        assert collection(cloud, kind).get(mine.name).id == mine.id

    @each_kind(but=ONE_NAMED_ONCE + NAMED_BY_THE_CLOUD)
    def test_a_name_that_two_have_is_ambiguous(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        name, things = lab.name(), collection(cloud, kind)
        pair = [lab.make(cloud, kind, name) for _ in range(2)]
        for verb in (things.get, things.find, things.delete, things.wait):
            with pytest.raises(AmbiguousName) as raised:
                verb(name)
            assert sorted(raised.value.candidates) == sorted(each.id for each in pair)
        assert [things.get(each).id for each in pair] == [each.id for each in pair]

    @each_kind(*ONE_NAMED_ONCE)
    def test_a_unique_name_is_taken_once(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind)
        with pytest.raises(AlreadyExists):
            lab.make(cloud, kind, value.name)
        assert [each.id for each in collection(cloud, kind).list(name=value.name)] == [value.id]

    @each_kind(but=NAMED_BY_THE_CLOUD)
    def test_what_is_no_name_is_refused(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        things, arguments = collection(cloud, kind), lab.arguments(cloud, kind)
        create = things.upload if kind is Kind.IMAGE else things.create
        before = lab.inventory(kind)
        for name in BAD_NAMES:
            with pytest.raises(InvalidRequest):
                create(name, **arguments)
        assert lab.inventory(kind) == before


class TestValuesOfOthers(Conformance):
    @each_kind()
    def test_a_value_of_another_kind_is_refused(self, lab: Lab, kind: Kind) -> None:
        wrong = replace(lab.flavor, id="1") if kind is not Kind.FLAVOR else lab.image
        things = collection(lab.cloud, kind)
        for verb in (things.get, things.delete, things.wait):
            with pytest.raises(InvalidRequest):
                verb(wrong)

    @each_kind()
    def test_a_value_of_another_cloud_is_refused(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind)
        foreign = replace(value, cloud_id="another")
        things = collection(cloud, kind)
        for verb in (things.get, things.delete, things.wait, cloud.raw):
            with pytest.raises(InvalidRequest):
                verb(foreign)
        assert things.get(value).id == value.id

    @each_kind()
    @pytest.mark.parametrize("ref", ["", None, 7, b"web", ["web"], pytest.param(object(), id="object")], ids=repr)
    def test_what_is_no_reference_is_refused(self, lab: Lab, kind: Kind, ref: object) -> None:
        things = collection(lab.cloud, kind)
        for verb in (things.get, things.delete, things.wait):
            with pytest.raises(InvalidRequest):
                verb(ref)

    def test_arguments_of_another_kind_are_refused(self, lab: Lab, cloud: Cloud) -> None:
        with pytest.raises(InvalidRequest):
            lab.server(cloud, flavor=lab.image)
        with pytest.raises(InvalidRequest):
            lab.server(cloud, image=lab.flavor)
        with pytest.raises(InvalidRequest):
            lab.server(cloud, flavor=replace(lab.flavor, cloud_id="another"))
        assert list(cloud.servers.list()) == list(lab.cloud.servers.list())

    @needs("volumes.attach")
    def test_a_volume_of_another_cloud_is_not_attached(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        with pytest.raises(InvalidRequest):
            cloud.volumes.attach(replace(volume, cloud_id="another"), server)
        with pytest.raises(InvalidRequest):
            cloud.volumes.attach(volume, replace(server, cloud_id="another"))
        assert cloud.volumes.get(volume).attachments == ()
