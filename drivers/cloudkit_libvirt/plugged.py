"""What servers show of their ports: addresses and security groups."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from cloudkit.types import Address
from cloudkit_libvirt.bodies import PortBody, ServerBody
from cloudkit_libvirt.default_groups import groups_by_id
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.routing_bodies import FloatingIpBody


class Plugged:
    """The ports of servers, read once."""

    def __init__(self, view: View, cloud_id: str, servers: Iterable[Record[ServerBody]]) -> None:
        """Read them."""
        found = (view.find(PortBody, id) for server in servers for id in server.body.port_ids)
        self._ports = {port.id: port.body for port in found if port is not None}
        self._floating: dict[str, list[str]] = {}
        for record in view.all(FloatingIpBody):
            if record.body.way is not None:
                self._floating.setdefault(record.body.way.port_id, []).append(record.body.ip)
        groups = groups_by_id(view, cloud_id, {body.project_id for body in self._ports.values() if body.group_ids})
        self._group_names = {id: group.body.name for id, group in groups.items()}

    def addresses(self, server: Record[ServerBody]) -> tuple[Address, ...]:
        """The fixed addresses, each followed by those that are translated to it."""
        found: list[Address] = []
        for id, port in self._of(server):
            fixed = [(ip, False) for ip, _ in port.taken]
            floating = [(ip, True) for ip in self._floating.get(id, ())]
            found += (
                Address(
                    ip=ip,
                    mac=port.mac,
                    network_id=port.network_id,
                    port_id=id,
                    version=ip_address(ip).version,
                    floating=is_floating,
                )
                for ip, is_floating in fixed + floating
            )
        return tuple(found)

    def group_names(self, server: Record[ServerBody]) -> tuple[str, ...]:
        """The names of the groups of its ports."""
        ids = dict.fromkeys(id for _, port in self._of(server) for id in port.group_ids or ())
        return tuple(self._group_names[id] for id in ids if id in self._group_names)

    def _of(self, server: Record[ServerBody]) -> list[tuple[str, PortBody]]:
        found = ((id, self._ports.get(id)) for id in server.body.port_ids)
        return [(id, port) for id, port in found if port is not None and port.device_id == server.id]
