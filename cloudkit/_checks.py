"""Checks of arguments, all made before any request is sent; each raises InvalidRequest and names the argument."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, NoReturn, TypeGuard, TypeVar

from cloudkit._suggest import suggest
from cloudkit.errors import InvalidRequest
from cloudkit.types import EMPTY_MAP, FrozenMap

E = TypeVar("E", bound=Enum)

MAX_NAME = 255
"""What every OpenStack service takes for a name."""

MAX_MIB = 1 << 31
MAX_GIB = 1 << 31
"""Nova and Cinder keep sizes in signed 32-bit columns."""

_METADATA_KEY = re.compile(r"[a-zA-Z0-9_:. -]{1,255}")
MAX_METADATA_VALUE = 255
"""Nova's and Cinder's (compute and block storage API references, "Server metadata", "Volume metadata")."""

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def wrong(what: str, expected: str, value: object) -> NoReturn:
    """Refuse a value; it is shown cut, as it may be anything."""
    raise InvalidRequest(f"{what}: {expected} is expected, not {_shown(value)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether it has keys and values."""
    return isinstance(value, Mapping)


def is_sequence(value: object) -> TypeGuard[Iterable[Any]]:
    """Whether it has items; a lone text is refused, for it would be taken letter by letter."""
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))


def name(value: object, what: str = "name") -> str:
    """A name of 1 to 255 printable characters."""
    if not isinstance(value, str):
        wrong(what, "text", value)
    if not value.strip():
        raise InvalidRequest(f"{what}: it is empty")
    if len(value) > MAX_NAME:
        raise InvalidRequest(f"{what}: it has {len(value)} characters, and {MAX_NAME} are taken")
    if not value.isprintable():
        raise InvalidRequest(f"{what}: {_shown(value)} holds characters that cannot be printed")
    return value


def text(value: object, what: str) -> str:
    """Any text."""
    return value if isinstance(value, str) else wrong(what, "text", value)


def flag(value: object, what: str) -> bool:
    """True or False."""
    return value if isinstance(value, bool) else wrong(what, "True or False", value)


def integer(value: object, what: str, minimum: int, maximum: int) -> int:
    """A whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        wrong(what, "a whole number", value)
    if not minimum <= value <= maximum:
        raise InvalidRequest(f"{what}: it is {value}, and must be from {minimum} to {maximum}")
    return value


def seconds(value: object, what: str = "timeout_s") -> float:
    """A time to wait."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        wrong(what, "a number of seconds", value)
    if value < 0:
        raise InvalidRequest(f"{what}: it is {value}, and must not be negative")
    return float(value)


def choice(value: object, enum: type[E], what: str) -> E:
    """A member of an enum, or its value."""
    try:
        return enum(value)
    except ValueError:
        known = [str(member.value) for member in enum]
        raise InvalidRequest(f"{what}: there is no {_shown(value)}", hint=suggest(str(value), known)) from None


def one_of(value: object, known: Iterable[str], what: str) -> str:
    """One of some words."""
    words = tuple(known)
    if value not in words:
        raise InvalidRequest(f"{what}: there is no {_shown(value)}", hint=suggest(str(value), words))
    return str(value)


def octets(value: object, what: str) -> bytes:
    """Bytes."""
    if not isinstance(value, bytes):
        wrong(what, "bytes", value)
    return value


def items(value: object, what: str) -> tuple[Any, ...]:
    """A sequence."""
    if not is_sequence(value):
        wrong(what, "a list", value)
    return tuple(value)


def tags(value: object) -> tuple[str, ...]:
    """Tags, in order, each once."""
    return tuple(dict.fromkeys(name(item, "tags") for item in items(value, "tags"))) if value else ()


def metadata(value: object, what: str = "metadata") -> FrozenMap:
    """Text by text, as every back-end holds it; cloudkit's own keys are refused."""
    if value is None:
        return EMPTY_MAP
    if not is_mapping(value):
        wrong(what, "a mapping of text to text", value)
    for key, item in value.items():
        if not isinstance(item, str):
            wrong(f"{what}[{key!r}]", "text", item)
        if name(key, f"{what}'s key").startswith("cloudkit:"):
            raise InvalidRequest(f"{what}: {key!r} is cloudkit's own", hint="Keys must not start with 'cloudkit:'.")
        if not _METADATA_KEY.fullmatch(key):
            raise InvalidRequest(
                f"{what}: {key!r} is no key", hint="ASCII letters and digits, '-', '_', ':', '.' and spaces are."
            )
        if len(item) > MAX_METADATA_VALUE:
            raise InvalidRequest(f"{what}[{key!r}]: {len(item)} characters are too many", hint="At most 255 fit.")
    return FrozenMap(value)


def network_of(value: object, what: str = "cidr") -> IPv4Network | IPv6Network:
    """The network of a CIDR."""
    if not isinstance(value, str) or "/" not in value:
        wrong(what, "a CIDR as 172.16.1.0/24", value)
    try:
        return ip_network(value)
    except ValueError as error:
        hint = ""
        if "host bits" in str(error):
            hint = f"Did you mean {ip_network(value, strict=False)}?"
        raise InvalidRequest(f"{what}: {value!r} is no CIDR: {error}", hint=hint) from None


def address(value: object, what: str, version: int | None = None) -> str:
    """An IP address, as it is written by convention."""
    try:
        found = ip_address(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or (version is not None and found.version != version):
        wrong(what, f"an IPv{version} address" if version else "an IP address", value)
    return str(found)


def mac(value: object) -> str | None:
    """The MAC address of a network card, in lower case."""
    if value is None:
        return None
    lower = value.lower() if isinstance(value, str) else ""
    # The lowest bit of the first byte tells a group of cards (IEEE 802).
    if not _MAC.fullmatch(lower) or int(lower[:2], 16) & 1 or not int(lower.replace(":", ""), 16):
        wrong("mac", "the MAC address of a network card, as fa:16:3e:00:00:01,", value)
    return lower


def pools(value: object, network: IPv4Network | IPv6Network) -> tuple[tuple[str, str], ...]:
    """Allocation pools: pairs of first and last address, all within the subnet."""
    found: list[tuple[str, str]] = []
    for item in items(value, "allocation_pools"):
        ends = items(item, "allocation_pools")
        if len(ends) != 2:
            wrong("allocation_pools", "pairs of first and last address", item)
        first, last = (address(end, "allocation_pools", network.version) for end in ends)
        if ip_address(first) not in network or ip_address(last) not in network:
            raise InvalidRequest(f"allocation_pools: {first}-{last} is not within {network}")
        if int(ip_address(first)) > int(ip_address(last)):
            raise InvalidRequest(f"allocation_pools: {first}-{last} ends before it starts")
        found.append((first, last))
    return tuple(found)


IPV6_MODES = ("slaac", "dhcpv6-stateless", "dhcpv6-stateful")
SLAAC_PREFIX = 64
"""What guests need to make an address of their own (RFC 4862, section 5.5.3, with RFC 2464's 64 bits of a MAC)."""


def ipv6_mode(value: object, network: IPv4Network | IPv6Network, dhcp: bool) -> str | None:
    """How guests get an IPv6 address: SLAAC unless told otherwise; None for IPv4, and where nobody tells them."""
    if value is not None and value not in IPV6_MODES:
        wrong("ipv6_mode", f"one of {', '.join(IPV6_MODES)}", value)
    if network.version == 4 or not dhcp:
        if value is not None:
            raise InvalidRequest("ipv6_mode: it is for IPv6 subnets, and not with dhcp=False")
        return None
    mode = IPV6_MODES[0] if value is None else str(value)
    if mode != IPV6_MODES[2] and network.prefixlen != SLAAC_PREFIX:
        raise InvalidRequest(
            f"ipv6_mode: guests make addresses of their own in a /{SLAAC_PREFIX} only, and {network} is none",
            hint="Take a /64; or dhcp=False; or ipv6_mode='dhcpv6-stateful', where it is offered.",
        )
    return mode


def host_routes(value: object, network: IPv4Network | IPv6Network) -> tuple[tuple[str, str], ...]:
    """Pairs of a destination and an address that leads there, both of the subnet's IP version."""
    found: list[tuple[str, str]] = []
    for item in items(value, "host_routes"):
        parts = items(item, "host_routes")
        if len(parts) != 2:
            wrong("host_routes", "pairs of destination and next hop", item)
        destination = network_of(parts[0], "host_routes")
        if destination.version != network.version:
            wrong("host_routes", f"an IPv{network.version} destination", parts[0])
        found.append((str(destination), address(parts[1], "host_routes", network.version)))
    return tuple(found)


def native(value: object) -> Mapping[str, Any] | None:
    """What goes to the driver as it is."""
    if value is None or is_mapping(value):
        return value
    wrong("native", "a mapping", value)
