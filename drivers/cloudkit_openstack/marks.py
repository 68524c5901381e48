"""Where cloudkit's mark stands in OpenStack's things, and how it is taken out again on reading.

Servers, volumes, snapshots and images have metadata for it. Neutron's things, flavors and key pairs have one text
of their own (the description, a key's comment), which the mark is appended to:

    what the user wrote [cloudkit:<request> <scope>]

UUIDs are written in 22 characters there, as Neutron's descriptions hold 255.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from typing import Any

from cloudkit.errors import InvalidRequest
from cloudkit.types import EMPTY_MAP, FrozenMap, Mark

PREFIX = "cloudkit:"
REQUEST, SCOPE, HOST_KEY = "cloudkit:request", "cloudkit:scope", "cloudkit:hostkey"

MAX_DESCRIPTION = 255
"""Neutron's (neutron-lib, DESCRIPTION_FIELD_SIZE)."""

_SUFFIX = re.compile(r"(?:^| )\[cloudkit:([\w-]{22})(?: ([^\s\]]+))?\]$")


# ---------------------------------------------------------------- in metadata


def to_metadata(mark: Mark) -> dict[str, str]:
    """The mark as metadata."""
    return {REQUEST: mark.request} if mark.scope is None else {REQUEST: mark.request, SCOPE: mark.scope}


def of_metadata(metadata: Mapping[str, Any]) -> Mark | None:
    """The mark in metadata."""
    request, scope = metadata.get(REQUEST), metadata.get(SCOPE)
    return Mark(request=str(request), scope=scope and str(scope)) if request else None


def users_metadata(metadata: Mapping[str, Any]) -> FrozenMap:
    """What of metadata is the user's."""
    if not metadata:
        return EMPTY_MAP
    users = {key: value for key, value in metadata.items() if not key.startswith(PREFIX)}
    return FrozenMap(users) if users else EMPTY_MAP


def our_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What of metadata is cloudkit's, to be kept when the user's are replaced."""
    return {key: value for key, value in metadata.items() if key.startswith(PREFIX)}


# ---------------------------------------------------------------- at the end of a text


def to_text(text: str, mark: Mark, limit: int = MAX_DESCRIPTION) -> str:
    """A text with the mark at its end; raises InvalidRequest where both are longer than ``limit``."""
    suffix = f"[{PREFIX}{_short(mark.request)}{'' if mark.scope is None else f' {_short_scope(mark.scope)}'}]"
    marked = f"{text} {suffix}" if text else suffix
    if len(marked) > limit:
        raise InvalidRequest(
            f"description: {len(text)} characters are too many",
            driver="openstack",
            hint=f"OpenStack holds {limit}; beside cloudkit's mark {max(0, limit - len(suffix) - 1)} fit here.",
        )
    return marked


def of_text(marked: str | None) -> tuple[str, Mark | None]:
    """The user's text, and the mark at its end."""
    if not marked:
        return "", None
    found = _SUFFIX.search(marked) if marked.endswith("]") else None
    request = None if found is None else _long(found[1])
    if found is None or request is None:
        return marked, None
    scope = None if found[2] is None else _long_scope(found[2])
    return marked[: found.start()], Mark(request=request, scope=scope)


def _short(text: str) -> str:
    return base64.urlsafe_b64encode(uuid.UUID(text).bytes).decode().rstrip("=")


def _long(short: str) -> str | None:
    try:
        return str(uuid.UUID(bytes=base64.urlsafe_b64decode(f"{short}==")))
    except (ValueError, binascii.Error):
        return None


def _short_scope(scope: str) -> str:
    name, _, rest = scope.partition("/")
    id, slash, rest = rest.partition("/")
    return f"{name}/{_short(id)}{slash}{rest}"


def _long_scope(short: str) -> str:
    name, _, rest = short.partition("/")
    id, slash, rest = rest.partition("/")
    return f"{name}/{_long(id) or id}{slash}{rest}"
