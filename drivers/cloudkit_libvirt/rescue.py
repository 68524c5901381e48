"""Rescue: a server boots from another disk, with its own root disk beside it, until it is unrescued.

A client that dies in between leaves a step in the record: ``unrescue`` takes it up.
"""

from __future__ import annotations

from cloudkit.errors import InvalidRequest
from cloudkit.types import ServerStatus
from cloudkit_libvirt import domain_edit, domain_xml, firmware
from cloudkit_libvirt.bodies import ImageBody, ServerBody, Step
from cloudkit_libvirt.records import Record
from cloudkit_libvirt.server_base import ServerVerbs
from cloudkit_libvirt.server_build import rescue_name
from cloudkit_libvirt.undo import undoing

S = ServerStatus
_UNFINISHED = frozenset({Step.RESCUING, Step.UNRESCUING})


class Rescuing(ServerVerbs):
    """The verbs of a rescue."""

    def rescue(self, id: str, image_id: str | None) -> None:
        """Power off, and boot from an image: None is the server's own."""
        record = self._unlocked(id)
        image = self._rescue_image(record, image_id)
        domain = self._fitting_domain(record, "rescue", S.ACTIVE, S.SHUTOFF, S.ERROR)
        firmware.require_same(image.body, self._tree(domain))
        key = self._new_host_key(record.body)
        running = bool(domain.isActive())
        record = self._begin(
            record,
            Step.RESCUING,
            runs_after=running,
            rescue_image_id=image.id,
            own_host_key=record.body.host_key,
            host_key=key.fingerprint if key else None,
            secret_extent=record.body.key_place if key else record.body.secret_extent,
        )
        with undoing(lambda: self._leave_rescue(id)):
            # A delete of the image at the same time sees this server's record, or this sees the delete.
            self._ready(self._context.records.view(), ImageBody, image.id)
            self._power_off(domain)
            self._builder.make_overlay(rescue_name(id), image.body.virtual_size_bytes, image)
            path = self._context.pool.path(rescue_name(id))
            tree = self._tree(domain)
            disk = domain_xml.overlay_disk(path, self._builder.backing(image))
            domain_edit.begin_rescue(tree, self._root(record)[0].path, disk, id)
            self._context.domains.define(tree)
            self._seed_host_key(id, record.body, key)
            domain.create()
            self._end(id, Step.RESCUING, Step.RESCUED, runs_after=True)

    def unrescue(self, id: str) -> None:
        """Boot from its own root disk again."""
        self._fitting(id, "unrescue", S.RESCUE, unfinished=_UNFINISHED)
        self._leave_rescue(id)

    # -- parts

    def _leave_rescue(self, id: str) -> None:
        record = self._own(id)
        domain = self._context.domains.find(id)
        if record.body.rescue_image_id is None or domain is None:
            return
        record = self._begin(record, Step.UNRESCUING)
        self._power_off(domain)
        root, name = self._root(record)[0].path, rescue_name(id)
        tree = self._tree(domain)
        domain_edit.end_rescue(tree, root, self._context.pool.path_for(name))
        self._context.domains.define(tree)
        self._context.pool.delete(name)
        if record.body.runs_after:
            self._boot(id, domain)
        self._end(
            id,
            Step.UNRESCUING,
            None,
            rescue_image_id=None,
            own_host_key=None,
            host_key=record.body.own_host_key,
        )

    def _rescue_image(self, record: Record[ServerBody], image_id: str | None) -> Record[ImageBody]:
        self._refuse_boot_volume(record, "rescued", "Attach the volume to another server.")
        body = record.body
        wanted = image_id or body.image_id
        assert wanted is not None
        image: Record[ImageBody] = self._ready(self._context.records.view(), ImageBody, wanted)
        if body.ram_mib < image.body.min_ram_mib:
            raise InvalidRequest(
                f"the image {image.body.name!r} needs {image.body.min_ram_mib} MiB of memory, and the server has "
                f"{body.ram_mib} MiB",
                driver="libvirt",
                resource=record.id,
            )
        return image
