"""Servers: a domain each, with the verbs that every hypervisor of libvirt has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import libvirt

from cloudkit.errors import InvalidState
from cloudkit.types import Server, ServerSpec, ServerStatus
from cloudkit_libvirt.bodies import ServerBody, now_text
from cloudkit_libvirt.rebuild import Rebuilding
from cloudkit_libvirt.rescue import Rescuing
from cloudkit_libvirt.resize import Resizing
from cloudkit_libvirt.server_base import refuse_locked
from cloudkit_libvirt.shelve import Shelving
from cloudkit_libvirt.undo import undoing

S = ServerStatus


class Servers(Resizing, Rebuilding, Rescuing, Shelving):
    """Virtual machines."""

    def create(self, spec: ServerSpec) -> Server:
        """Make and start one; it is ACTIVE when this returns, and boots."""
        plan = self._builder.plan(spec)
        body = self._builder.body(plan)
        record = self._context.records.create(plan.id, body)
        with undoing(lambda: self._remove(plan.id, body)):
            record = self.finish(record, self._builder.build(plan, body))
            return self.get(record.id)

    def delete(self, id: str) -> None:
        """Delete one with all that was made for it."""
        record = self._begin_delete(id, refuse=lambda body: refuse_locked(id, body))
        self._remove(id, record.body)

    def update(self, id: str, changes: Mapping[str, Any]) -> Server:
        """Set name, description, metadata or tags."""
        self._own(id)
        self._context.records.change(ServerBody, id, lambda body: replace(body, updated_at=now_text(), **changes))
        domain = self._context.domains.find(id)
        if "name" in changes and domain is not None:
            title = changes["name"].replace("\n", " ")
            flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG | (libvirt.VIR_DOMAIN_AFFECT_LIVE if domain.isActive() else 0)
            domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, title, None, None, flags)
        return self.get(id)

    def lock(self, id: str) -> None:
        """Refuse verbs."""
        self._set_locked(id, True)

    def unlock(self, id: str) -> None:
        """Allow verbs."""
        self._set_locked(id, False)

    # -- power

    def start(self, id: str) -> None:
        """Power on, also what a crash has powered off."""
        record, domain = self._fitting(id, "start", S.SHUTOFF, S.ERROR)
        if domain.isActive():
            raise InvalidState(
                f"the server {record.body.name!r} is halted by an error, and not off",
                driver="libvirt",
                resource=id,
                hint="Reboot it hard.",
            )
        self._boot(id, domain)

    def stop(self, id: str, hard: bool) -> None:
        """Press the power button, or cut the power; a guest that is in ERROR hears no button."""
        _, domain = self._fitting(id, "stop", S.ACTIVE, S.ERROR)
        self._context.set_resumed(domain, False)
        if hard or not self._is_running(domain):
            self._turn_off(domain)
        else:
            self._press_power_button(domain)

    def reboot(self, id: str, hard: bool) -> None:
        """Have the guest power off and start it again, or pull the reset line.

        libvirt itself turns a power-off that follows its reboot request into a reset, so that a guest that only
        knows the power button reboots too.
        """
        if not hard:
            _, domain = self._fitting(id, "reboot", S.ACTIVE)
            domain.reboot(libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)
            return
        _, domain = self._fitting(id, "reboot", S.ACTIVE, S.SHUTOFF, S.PAUSED, S.SUSPENDED, S.ERROR)
        if not domain.isActive():
            self._boot(id, domain)
            return
        domain.reset()
        # A halted guest stays halted over a reset.
        if self._context.domains.state(domain).state == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()

    def pause(self, id: str) -> None:
        """Halt the processors; the memory stays."""
        self._fitting(id, "pause", S.ACTIVE)[1].suspend()

    def unpause(self, id: str) -> None:
        """Let them run again."""
        self._fitting(id, "unpause", S.PAUSED)[1].resume()

    def suspend(self, id: str) -> None:
        """Save the memory on the host's disk and power off."""
        _, domain = self._fitting(id, "suspend", S.ACTIVE)
        self._context.set_resumed(domain, False)
        domain.managedSave()

    def resume(self, id: str) -> None:
        """Go on from the saved memory."""
        _, domain = self._fitting(id, "resume", S.SUSPENDED)
        domain.create()
        self._context.set_resumed(domain, True)

    # -- parts

    def _turn_off(self, domain: libvirt.virDomain) -> None:
        if not domain.isActive():
            # It is off by a crash, which libvirt shows until the next start.
            domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        self._cut_power(domain)

    def _set_locked(self, id: str, locked: bool) -> None:
        self._own(id)
        self._context.records.change(ServerBody, id, lambda body: replace(body, locked=locked, updated_at=now_text()))

    def _remove(self, id: str, body: ServerBody) -> None:
        self._context.records.remove(ServerBody, id, self._builder.teardown(id, body))
