"""What servers offer on bridges: interfaces that are plugged in and pulled out while the guest runs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import replace

import libvirt

from cloudkit.errors import InUse, InvalidState, NotFound, WaitTimeout
from cloudkit.types import Kind, Nic, ServerStatus
from cloudkit_libvirt.bodies import Phase, PortBody, ServerBody, now_text
from cloudkit_libvirt.domain_xml import interface
from cloudkit_libvirt.domains import live_and_defined
from cloudkit_libvirt.guest_servers import GuestServers
from cloudkit_libvirt.ports import Ports
from cloudkit_libvirt.records import Record
from cloudkit_libvirt.undo import insisting, undoing
from cloudkit_libvirt.xml_tree import Element, to_text

LET_GO_S = 20.0
"""How long a guest may take to let go of an interface, as Nova waits before it asks again."""

_WITH_INTERFACES = (ServerStatus.ACTIVE, ServerStatus.PAUSED, ServerStatus.SHUTOFF)
"""As in Nova's state machine (nova/compute/api.py, attach_interface)."""


class BridgedServers(GuestServers):
    """Virtual machines on networks of libvirt's host."""

    def attach_interface(self, id: str, nic: Nic) -> str:
        """Plug one in: its port first, and its filters before the guest sees it."""
        server, _ = self._fitting(id, "attach_interface", *_WITH_INTERFACES)
        nic = self._builder.check_nic(self._context.records.view(), nic)
        port_id = nic.port_id or str(uuid.uuid4())
        # What is noted is taken back by a delete of the server too, should this client die.
        self._change_ports(id, lambda ids: (*ids, port_id))
        with undoing(lambda: self._take_out(id, port_id)):
            view = self._context.records.view()
            port = self._builder.plug(view, nic, port_id, server)
            self._context.reconcile()
            element = interface(self._builder.interface(self._context.records.view(), port))
            insisting(lambda: self._plug_in(id, port.body.mac, element))
        return port_id

    def detach_interface(self, id: str, port_id: str) -> None:
        """Pull one out, and wait until the guest has let go of it."""
        server, domain = self._fitting(id, "detach_interface", *_WITH_INTERFACES)
        port = self._context.records.view().find(PortBody, port_id)
        if port_id not in server.body.port_ids or port is None or port.body.device_id != id:
            raise InvalidState("the port is not plugged into this server", driver="libvirt", resource=port_id)
        self._pull_out(domain, port.body.mac)
        self._take_out(id, port_id)

    # -- parts

    def _change_ports(self, id: str, alter: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Record[ServerBody]:
        def change(body: ServerBody) -> ServerBody:
            if body.phase is not Phase.READY:
                raise InvalidState(f"the server {body.name!r} is being deleted", driver="libvirt", resource=id)
            port_ids = alter(body.port_ids)
            if len(set(port_ids)) < len(port_ids):
                raise InUse("the port is plugged into this server", driver="libvirt", resource=port_ids[-1])
            return replace(body, port_ids=port_ids, updated_at=now_text())

        return self._context.records.change(ServerBody, id, change)

    def _plug_in(self, id: str, mac: str, element: Element) -> None:
        _, domain = self._fitting(id, "attach_interface", *_WITH_INTERFACES)
        if _find(self._context.domains.tree(domain), mac) is None:
            domain.attachDeviceFlags(to_text(element), live_and_defined(domain))

    def _take_out(self, id: str, port_id: str) -> None:
        """Undo an interface, from whatever state it is in."""
        view = self._context.records.view()
        port = view.find(PortBody, port_id)
        domain = self._context.domains.find(id)
        if port is not None and port.body.device_id == id:
            if domain is not None:
                self._pull_out(domain, port.body.mac)
            Ports(self._context, self._project_id).unplug(view, port_id, id)
        try:
            self._change_ports(id, lambda ids: tuple(each for each in ids if each != port_id))
        except (InvalidState, NotFound):
            # Who deletes the server does the rest.
            return
        self._context.reconcile()

    def _pull_out(self, domain: libvirt.virDomain, mac: str) -> None:
        """Take it from a guest that runs, then from what is defined: one that keeps it has it after a boot too."""
        deadline = time.monotonic() + LET_GO_S
        asked = False
        while domain.isActive() and (element := _find(self._context.domains.tree(domain), mac)) is not None:
            if not asked:
                domain.detachDeviceFlags(to_text(element), libvirt.VIR_DOMAIN_AFFECT_LIVE)
                asked = True
                continue
            if (left_s := deadline - time.monotonic()) <= 0:
                raise WaitTimeout(
                    "the guest does not let go of the interface",
                    driver="libvirt",
                    resource=domain.name(),
                    hint="It may not have booted yet: try again. A server that is stopped lets go at once.",
                )
            self._context.connection.changes.wait(Kind.PORT, left_s)
        element = _find(self._tree(domain), mac)
        if element is not None:
            domain.detachDeviceFlags(to_text(element), libvirt.VIR_DOMAIN_AFFECT_CONFIG)


def _find(tree: Element, mac: str) -> Element | None:
    """The interface with a MAC."""
    for element in tree.findall("devices/interface"):
        found = element.find("mac")
        if found is not None and found.get("address") == mac:
            return element
    return None
