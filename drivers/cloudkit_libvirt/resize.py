"""Resize: another flavor for a server, whose old disk stays as it was until it is confirmed.

The new disk is an overlay of the old one, so that neither is copied. A client that dies in between leaves a step in
the record: ``revert_resize`` takes it up from wherever that was.
"""

from __future__ import annotations

from cloudkit.errors import InvalidRequest
from cloudkit.types import ServerStatus
from cloudkit_libvirt import domain_edit
from cloudkit_libvirt.bodies import FlavorBody, ServerBody, Size, Step
from cloudkit_libvirt.records import Record
from cloudkit_libvirt.server_base import ServerVerbs
from cloudkit_libvirt.server_build import GIB, disk_name
from cloudkit_libvirt.undo import undoing

_UNFINISHED = frozenset({Step.RESIZING, Step.REVERTING})


class Resizing(ServerVerbs):
    """The verbs of a resize."""

    def resize(self, id: str, flavor_id: str) -> None:
        """Power off, change the size, power on again if it ran; then it waits to be confirmed."""
        record = self._unlocked(id)
        flavor: Record[FlavorBody] = self._ready(self._context.records.view(), FlavorBody, flavor_id)
        size = _size_after(record, flavor)
        domain = self._fitting_domain(record, "resize", ServerStatus.ACTIVE, ServerStatus.SHUTOFF)
        running = bool(domain.isActive())
        record = self._begin(record, Step.RESIZING, before=record.body.size, runs_after=running)
        with undoing(lambda: self._take_back(id)):
            self._power_off(domain)
            layers = self._grow(record, size)
            if running:
                self._boot(id, domain)
            self._end(
                id,
                Step.RESIZING,
                Step.RESIZED,
                layers=layers,
                flavor_id=size.flavor_id,
                vcpus=size.vcpus,
                ram_mib=size.ram_mib,
                disk_bytes=size.disk_bytes,
            )

    def confirm_resize(self, id: str) -> None:
        """Keep the new size."""
        self._fitting(id, "confirm_resize", ServerStatus.VERIFY_RESIZE)
        self._end(id, Step.RESIZED, None, before=None)

    def revert_resize(self, id: str) -> None:
        """Go back to the old size and to what the disk held then."""
        self._fitting(id, "revert_resize", ServerStatus.VERIFY_RESIZE, unfinished=_UNFINISHED)
        self._take_back(id)

    # -- parts

    def _grow(self, record: Record[ServerBody], size: Size) -> int:
        """Change disk and domain; returns how many layers the disk has then."""
        domain = self._context.domains.find(record.id)
        assert domain is not None
        tree, layers = self._tree(domain), record.body.layers
        domain_edit.set_size(tree, size.vcpus, size.ram_mib)
        if record.body.boot_volume_id is None:
            below, name = self._root(record)[0].path, disk_name(record.id, layers)
            self._context.pool.create_overlay(name, size.disk_bytes, below, "qcow2")
            domain_edit.push_layer(tree, below, self._context.pool.path(name))
            layers += 1
        self._context.domains.define(tree)
        return layers

    def _take_back(self, id: str) -> None:
        record = self._own(id)
        body, before = record.body, record.body.before
        domain = self._context.domains.find(id)
        if before is None or domain is None:
            return
        # While it is reverted the count of layers tells those that stay.
        layers = body.layers - 1 if body.step is Step.RESIZED and body.boot_volume_id is None else body.layers
        record = self._begin(record, Step.REVERTING, layers=layers)
        self._power_off(domain)
        tree = self._tree(domain)
        domain_edit.set_size(tree, before.vcpus, before.ram_mib)
        if body.boot_volume_id is None:
            root, name = self._root(record)[0].path, disk_name(id, layers)
            domain_edit.pop_layer(tree, self._context.pool.path_for(name), root)
            self._context.domains.define(tree)
            self._context.pool.delete(name)
        else:
            self._context.domains.define(tree)
        if body.runs_after:
            self._boot(id, domain)
        self._end(
            id,
            Step.REVERTING,
            None,
            before=None,
            flavor_id=before.flavor_id,
            vcpus=before.vcpus,
            ram_mib=before.ram_mib,
            disk_bytes=before.disk_bytes,
        )


def _size_after(record: Record[ServerBody], flavor: Record[FlavorBody]) -> Size:
    """The size by the new flavor; raises InvalidRequest."""
    body, name = record.body, flavor.body.name
    if flavor.id == body.flavor_id:
        raise InvalidRequest(f"the server has the flavor {name!r} already", driver="libvirt", resource=record.id)
    disk_bytes = flavor.body.disk_gib * GIB
    if body.boot_volume_id is not None:
        # The disk is the volume's affair.
        disk_bytes = body.disk_bytes
    elif disk_bytes and disk_bytes < body.disk_bytes:
        raise InvalidRequest(
            f"the flavor {name!r} has a disk of {flavor.body.disk_gib} GiB, smaller than the server's",
            driver="libvirt",
            resource=record.id,
            hint="Disks do not shrink: take a flavor with as large a one.",
        )
    return Size(
        flavor_id=flavor.id,
        vcpus=flavor.body.vcpus,
        ram_mib=flavor.body.ram_mib,
        disk_bytes=max(disk_bytes, body.disk_bytes),
    )
