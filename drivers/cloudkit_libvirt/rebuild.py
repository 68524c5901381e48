"""Rebuild: the root disk anew from an image, with a new host key; id, addresses and volumes stay.

What the old disk held is lost from the first moment on. A client that dies in between leaves the step in the
record: ``rebuild`` takes it up, and ``delete`` removes it.
"""

from __future__ import annotations

from cloudkit.errors import InvalidRequest
from cloudkit.types import ServerStatus
from cloudkit_libvirt import domain_edit, firmware
from cloudkit_libvirt.bodies import FlavorBody, ImageBody, ServerBody, Step
from cloudkit_libvirt.records import Record
from cloudkit_libvirt.server_base import ServerVerbs
from cloudkit_libvirt.server_build import GIB, check_fit, disk_name
from cloudkit_libvirt.server_status import shown_status

S = ServerStatus


class Rebuilding(ServerVerbs):
    """The verb rebuild."""

    def rebuild(self, id: str, image_id: str) -> None:
        """Make the root disk anew; a stopped server stays stopped."""
        record = self._unlocked(id)
        image: Record[ImageBody] = self._ready(self._context.records.view(), ImageBody, image_id)
        disk_bytes = self._disk_bytes(record, image.body)
        domain = self._fitting_domain(
            record, "rebuild", S.ACTIVE, S.SHUTOFF, S.ERROR, unfinished=frozenset({Step.REBUILDING})
        )
        firmware.require_same(image.body, self._tree(domain))
        old = record.body
        if old.step is Step.REBUILDING:
            running = old.runs_after
        else:
            running = shown_status(old, self._context.domains.state(domain)).status is not S.SHUTOFF
        key = self._new_host_key(old)
        record = self._begin(
            record,
            Step.REBUILDING,
            runs_after=running,
            image_id=image_id,
            disk_bytes=disk_bytes,
            host_key=key.fingerprint if key else None,
            secret_extent=old.key_place if key else None,
        )
        # A delete of the image at the same time sees this server's record, or this sees the delete.
        self._ready(self._context.records.view(), ImageBody, image_id)
        self._cut_power(domain)
        self._remake_disk(record, image)
        self._seed_host_key(id, record.body, key)
        if running:
            domain.create()
        self._end(id, Step.REBUILDING, None, layers=1)

    def _remake_disk(self, record: Record[ServerBody], image: Record[ImageBody]) -> None:
        pool, id = self._context.pool, record.id
        names = [disk_name(id, layer) for layer in range(record.body.layers)]
        for name in names:
            pool.delete(name)
        self._builder.make_overlay(names[0], record.body.disk_bytes, image)
        path = pool.path(names[0])
        domain = self._context.domains.find(id)
        assert domain is not None
        tree = self._tree(domain)
        paths = [pool.path_for(name) for name in names]
        domain_edit.set_base(tree, paths, path, self._builder.backing(image))
        self._context.domains.define(tree)

    def _disk_bytes(self, record: Record[ServerBody], image: ImageBody) -> int:
        """Size of the new disk; raises InvalidRequest where the image does not fit."""
        body = record.body
        self._refuse_boot_volume(record, "rebuilt", "Make a volume from the image, and a server that boots from it.")
        flavor = self._context.records.view().find(FlavorBody, body.flavor_id)
        if flavor is not None:
            check_fit(image, flavor.body)
            return flavor.body.disk_gib * GIB or image.virtual_size_bytes
        if max(image.virtual_size_bytes, image.min_disk_gib * GIB) > body.disk_bytes:
            raise InvalidRequest(
                f"the image {image.name!r} is larger than the server's disk", driver="libvirt", resource=record.id
            )
        return body.disk_bytes
