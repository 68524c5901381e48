"""Which port, on which network, is behind an address that Nova shows: Nova tells the MAC and the network's name only.

A port's MAC stays with the server as long as the port does, so that what was asked once is known: reading a server
is one request, and one more the first time that its addresses are seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, NamedTuple

from cloudkit.types import Address
from cloudkit_openstack.server_body import ServerBody
from cloudkit_openstack.service import Service

MOST_ASKED = 40
"""For more servers than these, all ports are listed: their ids would make too long a URL."""

MOST_KEPT = 100_000

NOVA_HEARS_S = 30.0
"""For how long what was done to a floating IP counts over what Nova shows: Neutron notifies it in between."""


class Plug(NamedTuple):
    """A port, as far as an address needs it."""

    port_id: str
    network_id: str


class _Move(NamedTuple):
    port_id: str | None
    until: float


_UNKNOWN = Plug("", "")


class Plugs:
    """What is known of the ports of servers."""

    def __init__(self, network: Service) -> None:
        """Ask ``network`` for what is not known yet."""
        self._network = network
        self._known: dict[tuple[str, str], Plug] = {}
        self._moved: dict[str, _Move] = {}

    def learn(self, servers: Iterable[ServerBody]) -> None:
        """See to it that the ports of these servers are known."""
        unknown = list(dict.fromkeys(id for id, mac in _macs(servers) if (id, mac) not in self._known))
        if not unknown:
            return
        if len(self._known) > MOST_KEPT:
            self._known.clear()
        query: list[tuple[str, Any]] = [("fields", each) for each in ("id", "mac_address", "network_id", "device_id")]
        if len(unknown) <= MOST_ASKED:
            query += [("device_id", id) for id in unknown]
        for ports in self._network.pages("/ports", "ports", query):
            for port in ports:
                key = port["device_id"], port["mac_address"]
                self._known[key] = Plug(port["id"], port["network_id"])

    def addresses(self, server: ServerBody) -> tuple[Address, ...]:
        """The addresses of a server whose ports were learnt, in the order of its interfaces."""
        found: list[Address] = []
        for shown in server.addresses.values():
            for each in shown:
                plug = self._known.get((server.id, each.mac), _UNKNOWN)
                found.append(
                    Address(
                        ip=each.addr,
                        mac=each.mac,
                        network_id=plug.network_id,
                        port_id=plug.port_id,
                        version=each.version,
                        floating=each.type == "floating",
                    )
                )
        return tuple(self._corrected(found) if self._moved else found)

    def moved(self, floating_ip: str, port_id: str | None) -> None:
        """Note where a floating IP has just been taken to, which Nova hears of only a moment later."""
        self._moved[floating_ip] = _Move(port_id, time.monotonic() + NOVA_HEARS_S)

    def _corrected(self, found: Iterable[Address]) -> Iterable[Address]:
        now = time.monotonic()
        for ip in [ip for ip, move in tuple(self._moved.items()) if move.until < now]:
            self._moved.pop(ip, None)
        moved = {ip: move.port_id for ip, move in tuple(self._moved.items())}
        right = [each for each in found if not each.floating or moved.get(each.ip, each.port_id) == each.port_id]
        for ip, port_id in moved.items():
            fixed = next((each for each in right if each.port_id == port_id and not each.floating), None)
            if fixed is not None and all(each.ip != ip for each in right):
                right.append(replace(fixed, ip=ip, version=ip_address(ip).version, floating=True))
        return right


def _macs(servers: Iterable[ServerBody]) -> Iterator[tuple[str, str]]:
    """The pairs of server and MAC that servers show."""
    for server in servers:
        for shown in server.addresses.values():
            for each in shown:
                if each.mac:
                    yield server.id, each.mac
