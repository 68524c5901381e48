"""Frozen dataclasses to JSON data and back; what comes from a record is checked field by field."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from cloudkit.types import FrozenMap

T = TypeVar("T")


def _names(cls: Any) -> list[str]:
    items: tuple[Field[Any], ...] = fields(cls)
    return [item.name for item in items]


class SchemaError(ValueError):
    """The data does not have the form of the class."""


@cache
def _hints(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {name: hints[name] for name in _names(cls)}


def to_data(value: Any) -> Any:
    """The JSON data of a dataclass of text, integers, booleans, times, tuples, maps of text, and such classes."""
    if is_dataclass(value):
        return {name: to_data(getattr(value, name)) for name in _names(value)}
    if isinstance(value, tuple):
        return [to_data(item) for item in cast("Sequence[Any]", value)]
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def from_data(cls: type[T], data: object) -> T:
    """The value of the class.

    Raises:
        SchemaError: a field is missing, unknown or ill-typed, or the class itself refuses a value.
    """
    return cast("T", _decode(cls, data, cls.__name__))


def _decode(annotation: Any, data: Any, where: str) -> Any:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        if data is None:
            return None
        (inner,) = (item for item in get_args(annotation) if item is not types.NoneType)
        return _decode(inner, data, where)
    if origin is tuple:
        return _decode_tuple(get_args(annotation), data, where)
    if is_dataclass(annotation):
        return _decode_object(cast("type[Any]", annotation), data, where)
    if annotation is FrozenMap:
        return _decode_map(data, where)
    if annotation is datetime:
        return _decode_time(data, where)
    if issubclass(annotation, Enum):
        try:
            return annotation(data)
        except ValueError:
            raise SchemaError(f"{where} has no known value") from None
    # Not isinstance: a bool is an int there.
    if type(data) is not annotation:
        raise SchemaError(f"{where} is not of type {annotation.__name__}")
    return data


def _decode_tuple(items: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise SchemaError(f"{where} is no list")
    values = cast("Sequence[Any]", data)
    if items[-1] is Ellipsis:
        return tuple(_decode(items[0], value, where) for value in values)
    if len(items) != len(values):
        raise SchemaError(f"{where} has not {len(items)} items")
    return tuple(_decode(item, value, where) for item, value in zip(items, values, strict=True))


def _decode_time(data: Any, where: str) -> datetime:
    try:
        time = datetime.fromisoformat(data)
    except (TypeError, ValueError):
        raise SchemaError(f"{where} is no time") from None
    if time.tzinfo is None:
        raise SchemaError(f"{where} has no time zone")
    return time


def _decode_map(data: Any, where: str) -> FrozenMap:
    if not isinstance(data, dict):
        raise SchemaError(f"{where} is no map")
    items = cast("Mapping[Any, Any]", data)
    if not all(isinstance(text, str) for item in items.items() for text in item):
        raise SchemaError(f"{where} holds other things than strings")
    return FrozenMap(items)


def _decode_object(cls: type[Any], data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise SchemaError(f"{where} is no object")
    values = cast("Mapping[Any, Any]", data)
    hints = _hints(cast("Any", cls))
    if unknown := values.keys() - hints.keys():
        raise SchemaError(f"{where} has the unknown fields {sorted(map(str, unknown))}")
    required = {item.name for item in fields(cls) if item.default is MISSING and item.default_factory is MISSING}
    if missing := required - values.keys():
        raise SchemaError(f"{where} lacks {sorted(missing)}")
    decoded = {name: _decode(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    try:
        return cls(**decoded)
    except ValueError as error:
        raise SchemaError(f"{where}: {error}") from None
