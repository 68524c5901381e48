"""One value of each kind, with a setting for every field that has a default."""

from __future__ import annotations

from dataclasses import MISSING, fields
from datetime import UTC, datetime
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from cloudkit.types import FrozenMap, Mark


def filled(cls: type[Any]) -> Any:
    """An object of a dataclass of cloudkit.types, no field of which is at its default."""
    hints = get_type_hints(cls)
    return cls(**{item.name: _other(hints[item.name], item.name, item.default) for item in fields(cls)})


def _other(hint: Any, name: str, default: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        hint = get_args(hint)[0]
    if get_origin(hint) is tuple:
        return tuple(_other(each, name, MISSING) for each in get_args(hint) if each is not Ellipsis)
    examples: dict[Any, Any] = {
        str: f"a {name}",
        bytes: b"#!/bin/sh",
        int: 4711,
        bool: default is not True,
        datetime: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        FrozenMap: FrozenMap({"key": "value"}),
        Mark: Mark(request="r", scope="s"),
    }
    if hint in examples:
        return examples[hint]
    if get_origin(hint) is not None:
        return {"key": "value"}
    if hasattr(hint, "__members__"):
        return next(member for member in hint if member is not default)
    return filled(hint)
