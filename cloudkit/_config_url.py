"""Clouds named by a URL: ``DRIVER[+TRANSPORT]://ADDRESS?OPTION=VALUE``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cloudkit.errors import ConfigError

# A colon in front of an "@" is a password's, unless it begins a port or stands in an IPv6 address. It may hold
# any character: rather one odd address is refused than one password shown.
_PASSWORD = re.compile(r"[^/@\[?]*:(?!\d*(?:[/?]|$))[^@]*@")
_DRIVER = re.compile(r"[a-z][a-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class CloudUrl:
    """A URL in its parts.

    Attributes:
        name: the URL without its query, for messages.
        address: what the driver gets: from the ``+`` on, or without one from the ``://`` on.
        query: (key, decoded value, the pair as it stood), in order.
    """

    name: str
    driver: str
    address: str
    query: tuple[tuple[str, str, str], ...]


def parse_url(url: str) -> CloudUrl:
    """Take a URL apart.

    Raises:
        ConfigError: it holds a password (which is not shown), names no driver, or its query is not KEY=VALUE pairs.
    """
    scheme, _, rest = url.partition("://")
    driver, plus, transport = scheme.partition("+")
    if _PASSWORD.match(rest):
        raise ConfigError(
            f"the URL {scheme}://… holds a password",
            hint="URLs end up in logs and process lists: name the password in a profile by password_env or "
            "password_command.",
        )
    location, _, query = rest.partition("?")
    name = f"{scheme}://{location}"
    if not _DRIVER.fullmatch(driver) or (plus and not transport):
        raise ConfigError(
            f"the URL {name!r} names no driver", hint="Write DRIVER://…, as fake:// or libvirt+qemu:///system."
        )
    return CloudUrl(name, driver, f"{transport}://{location}" if plus else location, _pairs(name, query))


def _pairs(name: str, query: str) -> tuple[tuple[str, str, str], ...]:
    from urllib.parse import unquote

    pairs: dict[str, tuple[str, str, str]] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        # Not unquote_plus: a plus sign in a path or key means itself.
        key = unquote(key)
        if not equals or not key:
            raise ConfigError(f"the query of {name!r} is not made of KEY=VALUE pairs: one has no '='")
        if key in pairs:
            raise ConfigError(f"the URL {name!r} gives {key!r} twice")
        pairs[key] = (key, unquote(value), part)
    return tuple(pairs.values())
