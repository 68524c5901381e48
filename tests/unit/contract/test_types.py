from __future__ import annotations

import copy
import pickle
from dataclasses import MISSING, FrozenInstanceError, fields, is_dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pytest
from filled_values import filled
from hypothesis import given
from hypothesis import strategies as st

from cloudkit import types
from cloudkit.types import (
    EMPTY_MAP,
    VALUE_TYPES,
    BackupStatus,
    FrozenMap,
    ImageStatus,
    Kind,
    Mark,
    NetworkStatus,
    Resource,
    Server,
    ServerSpec,
    ServerStatus,
    SnapshotStatus,
    Spec,
    VolumeStatus,
)

CLASSES = [value for value in vars(types).values() if isinstance(value, type) and is_dataclass(value)]
CONCRETE = [cls for cls in CLASSES if cls not in (Resource, Spec)]
STATUSES = [ServerStatus, ImageStatus, NetworkStatus, VolumeStatus, SnapshotStatus, BackupStatus]


def by_name(cls: type[Any]) -> str:
    return cls.__name__


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("cls", CLASSES, ids=by_name)
def test_values_and_specs_are_frozen_and_slotted(cls: type[Any]) -> None:
    value = filled(cls)
    assert not hasattr(value, "__dict__")
    for item in fields(cls):
        with pytest.raises(FrozenInstanceError):
            setattr(value, item.name, None)


@pytest.mark.parametrize("cls", CLASSES, ids=by_name)
def test_values_and_specs_are_made_by_keyword_only(cls: type[Any]) -> None:
    assert all(item.kw_only for item in fields(cls))


@pytest.mark.parametrize("cls", CLASSES, ids=by_name)
def test_values_and_specs_survive_pickling_and_copying(cls: type[Any]) -> None:
    value = filled(cls)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(value, protocol)) == value
    assert copy.deepcopy(value) == value


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if not issubclass(cls, Spec)], ids=by_name)
def test_equal_values_hash_alike_and_every_field_tells_them_apart(cls: type[Any]) -> None:
    value = filled(cls)
    assert hash(value) == hash(filled(cls))
    defaults = {item.name: item.default for item in fields(cls) if item.default is not MISSING}
    assert {replace(value, **{name: default}) == value for name, default in defaults.items()} <= {False}


def test_a_value_is_found_in_a_set_after_it_went_through_pickle() -> None:
    server = filled(Server)
    assert pickle.loads(pickle.dumps(server)) in {server}


@pytest.mark.parametrize("cls", CONCRETE, ids=by_name)
def test_what_no_request_needs_to_say_has_a_default(cls: type[Any]) -> None:
    required = {
        item.name: getattr(filled(cls), item.name)
        for item in fields(cls)
        if item.default is MISSING and item.default_factory is MISSING
    }
    value = cls(**required)
    assert all(getattr(value, item.name) == item.default for item in fields(cls) if item.name not in required)


def test_times_are_aware() -> None:
    assert filled(Server).created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_repr_shows_neither_marks_nor_user_data() -> None:
    mark = Mark(request="the-request")
    assert "the-request" not in repr(replace(filled(Server), mark=mark))
    spec = ServerSpec(name="web", mark=mark, image_id="i", flavor_id="f", user_data=b"password: hunter2")
    assert "hunter2" not in repr(spec)


# ---------------------------------------------------------------- kinds and statuses


def test_every_kind_has_one_class_of_values() -> None:
    assert set(VALUE_TYPES) == set(Kind)
    assert all(cls.kind is kind for kind, cls in VALUE_TYPES.items())
    assert set(VALUE_TYPES.values()) == {cls for cls in CLASSES if issubclass(cls, Resource)} - {Resource}


def test_the_noun_of_a_kind_is_its_collection_in_the_singular() -> None:
    assert {kind.noun for kind in Kind} == {
        "server", "flavor", "key pair", "server group", "image", "network", "subnet", "port", "router",
        "floating IP", "security group", "volume", "snapshot", "backup",
    }  # fmt: skip
    for kind in Kind:
        assert kind.value == f"{kind.noun.lower().replace(' ', '_')}s"


@pytest.mark.parametrize("statuses", STATUSES, ids=by_name)
def test_a_status_is_its_word_and_every_set_has_one_for_what_is_not_known(statuses: type[Any]) -> None:
    assert statuses("UNKNOWN") is statuses.UNKNOWN
    assert all(status == status.value and str(status) == status.value for status in statuses)


@pytest.mark.parametrize("enum", [*STATUSES, types.Visibility, Kind], ids=by_name)
def test_members_of_enums_survive_pickling_as_themselves(enum: type[Enum]) -> None:
    assert all(pickle.loads(pickle.dumps(member)) is member for member in enum)


# ---------------------------------------------------------------- FrozenMap

TEXT_MAPS = st.dictionaries(st.text(), st.text())


@given(TEXT_MAPS)
def test_a_frozen_map_is_the_mapping_that_it_was_made_from(items: dict[str, str]) -> None:
    frozen = FrozenMap(items)
    assert frozen == items
    assert items == frozen
    assert list(frozen) == list(items)
    assert len(frozen) == len(items)
    assert all(frozen[key] == value for key, value in items.items())
    assert bool(frozen) is bool(items)
    assert dict(frozen) == items


@given(TEXT_MAPS)
def test_frozen_maps_that_are_equal_hash_alike_in_any_order(items: dict[str, str]) -> None:
    turned = FrozenMap(dict(reversed(items.items())))
    assert turned == FrozenMap(items)
    assert hash(turned) == hash(FrozenMap(items))


@given(TEXT_MAPS, TEXT_MAPS)
def test_frozen_maps_are_equal_when_their_items_are(one: dict[str, str], other: dict[str, str]) -> None:
    assert (FrozenMap(one) == FrozenMap(other)) is (one == other)


@given(TEXT_MAPS)
def test_a_frozen_map_survives_pickling(items: dict[str, str]) -> None:
    twin = pickle.loads(pickle.dumps(FrozenMap(items)))
    assert type(twin) is FrozenMap
    assert twin == FrozenMap(items)
    assert eval(repr(twin)) == twin


def test_a_frozen_map_keeps_nothing_of_the_callers_dict() -> None:
    items = {"a": "1"}
    frozen = FrozenMap(items)
    items["a"] = "2"
    assert frozen["a"] == "1"


def test_a_frozen_map_cannot_be_changed() -> None:
    frozen: Any = FrozenMap({"a": "1"})
    with pytest.raises(TypeError):
        frozen["a"] = "2"
    with pytest.raises(TypeError):
        del frozen["a"]
    with pytest.raises(AttributeError):
        frozen.clear()
    with pytest.raises(AttributeError):
        frozen.extra = 1


def test_a_key_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="a"):
        EMPTY_MAP["a"]
    assert EMPTY_MAP.get("a") is None
    assert FrozenMap() == FrozenMap(None) == FrozenMap({}) == EMPTY_MAP


def test_a_frozen_map_is_not_equal_to_what_is_no_mapping() -> None:
    assert FrozenMap({"a": "1"}) != [("a", "1")]
    assert EMPTY_MAP != ()
