"""Flavors: records alone."""

from __future__ import annotations

import uuid

from cloudkit.errors import AlreadyExists
from cloudkit.types import Flavor, FlavorSpec
from cloudkit_libvirt.bodies import FlavorBody, common_of
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.records import Record
from cloudkit_libvirt.undo import undoing


class Flavors(RecordCollection[FlavorBody, Flavor]):
    """The sizes of servers. A name is unique on the host, as in Nova."""

    body_type = FlavorBody

    def create(self, spec: FlavorSpec) -> Flavor:
        """Make one; raises AlreadyExists for a taken name."""
        id = str(uuid.uuid4())
        body = FlavorBody(
            **common_of(spec, self._project_id),
            vcpus=spec.vcpus,
            ram_mib=spec.ram_mib,
            disk_gib=spec.disk_gib,
            visibility=spec.visibility,
            extra_specs=spec.extra_specs,
        )
        record = self._context.records.create(id, body)
        with undoing(lambda: self._remove(id, body)):
            if not self._context.records.claim(_claim(body), id):
                raise AlreadyExists(f"there is a flavor {spec.name!r} already", driver="libvirt", resource=spec.name)
            return self.value(self.finish(record, body))

    def delete(self, id: str) -> None:
        """Delete one; servers keep the size that they have."""
        self._remove(id, self._begin_delete(id).body)

    def _remove(self, id: str, body: FlavorBody) -> None:
        self._context.records.release(_claim(body), id)
        self._context.records.remove(FlavorBody, id)

    def value(self, record: Record[FlavorBody]) -> Flavor:
        """The value of a record."""
        body = record.body
        return Flavor(
            **self._fields(record),
            vcpus=body.vcpus,
            ram_mib=body.ram_mib,
            disk_gib=body.disk_gib,
            visibility=body.visibility,
            extra_specs=body.extra_specs,
        )


def _claim(body: FlavorBody) -> str:
    return f"flavor/{body.name}"
