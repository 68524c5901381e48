from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

import pytest
from filled_values import filled

from cloudkit._schema import SchemaError, from_data, to_data
from cloudkit.types import VALUE_TYPES, Image, Server, Subnet, Volume

VALUES = pytest.mark.parametrize("cls", VALUE_TYPES.values(), ids=lambda cls: cls.__name__)


@VALUES
def test_every_value_comes_back_from_json_as_it_went(cls: type[Any]) -> None:
    value = filled(cls)
    assert from_data(cls, json.loads(json.dumps(to_data(value)))) == value


@VALUES
def test_a_field_that_is_not_there_takes_its_default_or_is_missed_by_name(cls: type[Any]) -> None:
    data = to_data(filled(cls))
    for item in fields(cls):
        less = {name: value for name, value in data.items() if name != item.name}
        try:
            value = from_data(cls, less)
        except SchemaError as error:
            assert f"{cls.__name__} lacks ['{item.name}']" == str(error)
        else:
            assert getattr(value, item.name) == item.default


@VALUES
@pytest.mark.parametrize("junk", [1.5, b"x", [None], {"a": None}, object()])
def test_a_field_of_another_type_is_refused_by_name(cls: type[Any], junk: Any) -> None:
    data = to_data(filled(cls))
    for name in data:
        with pytest.raises(SchemaError, match=rf"^{cls.__name__}\.{name}\b"):
            from_data(cls, data | {name: junk})


@pytest.mark.parametrize(
    ("cls", "change", "message"),
    [
        (Server, {"id": 5}, "Server.id is not of type str"),
        (Server, {"locked": 1}, "Server.locked is not of type bool"),
        (Volume, {"size_gib": True}, "Volume.size_gib is not of type int"),
        (Server, {"status": "BLOOMING"}, "Server.status has no known value"),
        (Server, {"created_at": "yesterday"}, "Server.created_at is no time"),
        (Server, {"created_at": 5}, "Server.created_at is no time"),
        (Server, {"created_at": "2026-01-02T03:04:05"}, "Server.created_at has no time zone"),
        (Server, {"metadata": []}, "Server.metadata is no map"),
        (Server, {"metadata": {"a": 1}}, "Server.metadata holds other things than strings"),
        (Server, {"metadata": {1: "a"}}, "Server.metadata holds other things than strings"),
        (Server, {"tags": "a"}, "Server.tags is no list"),
        (Server, {"tags": ["a", 1]}, "Server.tags is not of type str"),
        (Server, {"addresses": [5]}, "Server.addresses is no object"),
        (Server, {"fault": {"message": "x", "cod": 1}}, "Server.fault has the unknown fields ['cod']"),
        (Server, {"fault": {}}, "Server.fault lacks ['message']"),
        (Subnet, {"allocation_pools": [["a"]]}, "Subnet.allocation_pools has not 2 items"),
        (Image, {"x": 1, 5: 2}, "Image has the unknown fields ['5', 'x']"),
    ],
)
def test_what_is_wrong_is_named(cls: type[Any], change: dict[Any, Any], message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        from_data(cls, to_data(filled(cls)) | change)
    assert str(caught.value) == message


@pytest.mark.parametrize("data", [None, 5, "x", [], [["id", "x"]]])
def test_what_is_no_object_is_refused(data: Any) -> None:
    with pytest.raises(SchemaError, match=r"^Server is no object$"):
        from_data(Server, data)


def test_none_is_taken_only_where_it_may_stand() -> None:
    data = to_data(filled(Server))
    assert from_data(Server, data | {"fault": None, "image_id": None}).fault is None
    with pytest.raises(SchemaError, match=r"^Server\.name is not of type str$"):
        from_data(Server, data | {"name": None})


def test_what_the_class_itself_refuses_is_refused() -> None:
    @dataclass
    class Even:
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise ValueError("it is odd")

    # Hints of a local class name nothing local, so that they can be resolved.
    assert from_data(Even, {"number": 2}).number == 2
    with pytest.raises(SchemaError, match="^Even: it is odd$"):
        from_data(Even, {"number": 3})
