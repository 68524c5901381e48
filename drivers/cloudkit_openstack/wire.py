"""Reading what the services answer: times, enums, texts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

E = TypeVar("E", bound=StrEnum)

Body = dict[str, Any]

NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""For flavors, key pairs and server groups, whose time of creation Nova does not list."""


WIDEST = "\uffff"
"""The last character that needs three bytes in UTF-8: the older of MySQL's encodings hold no others."""


def part(body: Mapping[str, Any], key: str) -> Body:
    """A body within a body; an empty one where there is none."""
    found: Body = body.get(key) or {}
    return found


@lru_cache(maxsize=4096)
def time_of(text: str | None) -> datetime | None:
    """A time as the services write it; without a zone (Cinder), it is UTC."""
    if not text:
        return None
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def created_at(body: Mapping[str, Any], key: str = "created_at") -> datetime:
    """When a thing was made."""
    return time_of(body.get(key)) or NO_TIME


def http_date(text: str | None) -> datetime:
    """The time of an answer, on the service's clock where it tells it."""
    try:
        return parsedate_to_datetime(text or "").astimezone(UTC)
    except ValueError:
        return datetime.now(UTC).replace(microsecond=0)


def status_of(enum: type[E], word: str | None) -> E:
    """The member for a service's word, or UNKNOWN."""
    try:
        return enum(word or "")
    except ValueError:
        return enum("UNKNOWN")


def limit_of(number: int | None) -> int | None:
    """A quota; -1 stands for none."""
    return None if number is None or number < 0 else number
