"""Key pairs: records alone; their id is their name."""

from __future__ import annotations

import uuid
from typing import Any

from cloudkit.errors import AlreadyExists
from cloudkit.types import KeyPair, KeyPairSpec
from cloudkit_libvirt.bodies import KeyPairBody, Phase, common_of
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.records import Record, View, not_found
from cloudkit_libvirt.undo import undoing


class KeyPairs(RecordCollection[KeyPairBody, KeyPair]):
    """Public keys. A name is unique in its project."""

    body_type = KeyPairBody

    def create(self, spec: KeyPairSpec) -> KeyPair:
        """Import one; raises AlreadyExists for a taken name."""
        body = KeyPairBody(
            **common_of(spec, self._project_id), public_key=spec.public_key, fingerprint=spec.fingerprint
        )
        record = self._context.records.create(str(uuid.uuid4()), body)
        with undoing(lambda: self._remove(record)):
            if not self._context.records.claim(_claim(body), record.id):
                raise AlreadyExists(
                    f"there is a key pair {spec.name!r} already", driver="libvirt", resource=spec.name
                )
            return self.value(self.finish(record, body))

    def delete(self, id: str) -> None:
        """Delete one; servers keep the key that they have."""
        records = [
            record
            for record in self._context.records.view().all(KeyPairBody)
            if record.body.name == id and record.body.project_id == self._project_id
        ]
        if not records:
            raise not_found(KeyPairBody, id)
        # More than one only after a crash between the record and the claim of its name.
        for record in records:
            self._remove(self._begin_delete(record.id))

    def _remove(self, record: Record[KeyPairBody]) -> None:
        self._context.records.release(_claim(record.body), record.id)
        self._context.records.remove(KeyPairBody, record.id)

    def _visible(self, view: View, id: str) -> Record[KeyPairBody]:
        return find_key_pair(view, self._project_id, id)

    def value(self, record: Record[KeyPairBody]) -> KeyPair:
        """The value of a record."""
        fields: dict[str, Any] = self._fields(record) | {"id": record.body.name}
        return KeyPair(**fields, public_key=record.body.public_key, fingerprint=record.body.fingerprint)


def find_key_pair(view: View, project_id: str, name: str) -> Record[KeyPairBody]:
    """A project's key pair by its name; raises NotFound."""
    found = [
        record
        for record in view.all(KeyPairBody)
        if record.body.name == name and record.body.project_id == project_id
    ]
    if not found:
        raise not_found(KeyPairBody, name)
    return next((record for record in found if record.body.phase is Phase.READY), found[0])


def _claim(body: KeyPairBody) -> str:
    return f"key_pair/{body.project_id}/{body.name}"
