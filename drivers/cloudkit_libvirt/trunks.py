"""Ports that can be reached through one another: trunks.

A trunk is a mark in the port's record; that a port is reached through it, and by which VLAN id, is in the record of
that one alone, so that no crash leaves the two in contradiction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cloudkit._subports import SUBPORT_OWNER, by_vlan_id, check_is_subport, check_mtu, check_subport
from cloudkit.errors import Conflict, InUse, InvalidState
from cloudkit.types import Port, Subport
from cloudkit_libvirt.bodies import NetworkBody, Phase, PortBody, now_text
from cloudkit_libvirt.ports import BridgedPorts
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.undo import undoing


class TrunkPorts(BridgedPorts):
    """Ports where there is a switch that tags packets."""

    def add_subport(self, id: str, port_id: str, vlan_id: int) -> None:
        """Have a port be reached through another one."""
        view = self._context.records.view()
        for each in (id, port_id):
            self._own(each, view)
            self._ready(view, PortBody, each)
        trunk, port = self.get(id), self.get(port_id)
        check_subport("libvirt", trunk, port, vlan_id)
        networks = (view.get(NetworkBody, each.network_id) for each in (trunk, port))
        check_mtu("libvirt", *(network.body.packet_size for network in networks))
        self._context.records.change(PortBody, id, _make_trunk)
        with undoing(lambda: self._set_free(id, port_id)):
            self._context.records.change(PortBody, port_id, lambda body: _make_subport(body, id, vlan_id))
            # Who takes the same id or deletes the trunk at the same time is seen, or sees this.
            view = self._context.records.view()
            self._ready(view, PortBody, id)
            if [subport.vlan_id for subport in subports(view, id)].count(vlan_id) > 1:
                raise Conflict(f"another subport has the VLAN id {vlan_id}", driver="libvirt", resource=id)
            self._context.reconcile()

    def remove_subport(self, id: str, port_id: str) -> None:
        """Set a subport free."""
        self._own(id)
        check_is_subport("libvirt", self.get(id), port_id)
        self._set_free(id, port_id)
        self._context.reconcile()

    def remove(self, id: str, view: View | None = None) -> None:
        """Set what is reached through it free before the port goes."""
        view = view or self._context.records.view()
        record = view.find(PortBody, id)
        trunk = record is not None and record.body.trunk
        for subport in subports(view, id) if trunk else ():
            self._set_free(id, subport.port_id)
        super().remove(id, view)
        if trunk:
            self._context.reconcile()

    def _set_free(self, id: str, port_id: str) -> None:
        def free(body: PortBody) -> PortBody:
            if body.device_id != id:
                return body
            return replace(body, device_id="", device_owner="", vlan_id=None, updated_at=now_text())

        self._context.records.change(PortBody, port_id, free)

    def _values(self, view: View, records: Sequence[Record[PortBody]]) -> Iterator[Port]:
        for record in records:
            value = self.value(record)
            yield replace(value, subports=subports(view, record.id)) if record.body.trunk else value


def subports(view: View, trunk_id: str) -> tuple[Subport, ...]:
    """What is reached through a port, by ascending VLAN id."""
    return by_vlan_id(
        Subport(port_id=port.id, vlan_id=port.body.vlan_id)
        for port in view.all(PortBody)
        if port.body.device_id == trunk_id and port.body.vlan_id is not None
    )


def _make_trunk(body: PortBody) -> PortBody:
    if body.trunk:
        return body
    if body.device_id:
        raise InvalidState(f"the port {body.name!r} is in use by {body.device_id}", driver="libvirt")
    return replace(body, trunk=True, updated_at=now_text())


def _make_subport(body: PortBody, trunk_id: str, vlan_id: int) -> PortBody:
    if body.phase is not Phase.READY or body.device_id or body.trunk:
        raise InUse(f"the port {body.name!r} is in use", driver="libvirt")
    return replace(body, device_id=trunk_id, device_owner=SUBPORT_OWNER, vlan_id=vlan_id, updated_at=now_text())
