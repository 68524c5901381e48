"""A server as Nova describes it: what is read of it, decoded by msgspec without a dict in between.

Lists of servers are the longest that there are; this takes half the time of dicts. What Nova may leave out has a
default.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field
from msgspec.json import Decoder


class Reference(Struct):
    """A thing by its id."""

    id: str


class Named(Struct):
    """A thing by its name."""

    name: str


class AddressBody(Struct):
    """One address."""

    addr: str
    version: int = 4
    mac: str = field(default="", name="OS-EXT-IPS-MAC:mac_addr")
    type: str = field(default="fixed", name="OS-EXT-IPS:type")


class FaultBody(Struct):
    """Why it went to ERROR."""

    message: str = ""
    code: int = 500
    details: str = ""
    created: str | None = None


class ServerBody(Struct):
    """A server at microversion 2.46."""

    id: str
    name: str
    status: str
    tenant_id: str
    created: str
    updated: str | None = None
    description: str | None = None
    image: Reference | str | None = None
    flavor: Reference | None = None
    key_name: str | None = None
    addresses: dict[str, list[AddressBody]] = {}
    security_groups: list[Named] = []
    volumes: list[Reference] = field(default=[], name="os-extended-volumes:volumes_attached")
    metadata: dict[str, str] = {}
    tags: list[str] = []
    zone: str | None = field(default=None, name="OS-EXT-AZ:availability_zone")
    locked: bool = False
    fault: FaultBody | None = None
    task: str | None = field(default=None, name="OS-EXT-STS:task_state")


class _Link(Struct):
    rel: str = ""


class _Page(Struct):
    servers: list[ServerBody]
    servers_links: list[_Link] = []


class _One(Struct):
    server: ServerBody


_decode_page = Decoder(_Page).decode
_decode_one = Decoder(_One).decode


def decode_page(content: bytes) -> tuple[Sequence[ServerBody], bool]:
    """The servers of a page, and whether there is a next one."""
    page = _decode_page(content)
    return page.servers, any(link.rel == "next" for link in page.servers_links)


def decode_one(content: bytes) -> ServerBody:
    """The only server of an answer."""
    return _decode_one(content).server
