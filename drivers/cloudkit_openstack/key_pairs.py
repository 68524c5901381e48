"""Key pairs: Nova's. They belong to a user, who has them in each project."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cloudkit._keys import fingerprint
from cloudkit.driver import Query
from cloudkit.errors import CloudError, InvalidRequest, NotFound
from cloudkit.types import KeyPair, KeyPairSpec, Kind
from cloudkit_openstack import marks
from cloudkit_openstack.collection import RestCollection, with_native
from cloudkit_openstack.errors import DRIVER
from cloudkit_openstack.service import Service
from cloudkit_openstack.wire import NO_TIME, Body

READING = "2.35"
"""The first with pages."""
MAX_KEY = 65535


class KeyPairs(RestCollection[KeyPair]):
    """Public keys; the mark stands in the key's comment."""

    kind = Kind.KEY_PAIR
    path = "/os-keypairs"
    one, many = "keypair", "keypairs"
    version = READING

    @property
    def _service(self) -> Service:
        return self._context.compute

    def list(self, query: Query) -> Iterator[KeyPair]:
        """The user's."""
        if "name" in query.filters and not query.all_projects:
            # Its name is its id.
            return self._named(str(query.filters["name"]))
        return super().list(query)

    def create(self, spec: KeyPairSpec) -> KeyPair:
        """Import one."""
        if spec.description:
            raise InvalidRequest("description: OpenStack's key pairs have none", driver=DRIVER)
        request = {"name": spec.name, "public_key": marks.to_text(spec.public_key, spec.mark, MAX_KEY)}
        answer = self._service.post(self.path, {"keypair": with_native(request, spec.native)}, READING)
        return self._one_value(answer["keypair"])

    def _named(self, name: str) -> Iterator[KeyPair]:
        try:
            yield self.get(name)
        except NotFound:
            return

    def _pages(self, query: Sequence[tuple[str, Any]]) -> Iterator[Sequence[Body]]:
        def name(body: Body) -> str:
            return str(body["keypair"]["name"])

        return self._service.pages(self.path, self.many, query, self.version, name)

    def _values(self, bodies: Sequence[Body]) -> Iterable[KeyPair]:
        return map(self._value, (body.get("keypair", body) for body in bodies))

    def _value(self, body: Body) -> KeyPair:
        public_key, mark = marks.of_text(body["public_key"])
        return KeyPair(
            id=body["name"],
            name=body["name"],
            project_id=self._project.id,
            cloud_id=self._project.cloud_id,
            created_at=NO_TIME,
            mark=mark,
            public_key=public_key,
            fingerprint=_sha256(public_key) or body["fingerprint"],
        )


def _sha256(public_key: str) -> str | None:
    try:
        return fingerprint(public_key)
    except CloudError:
        # An X.509 certificate, for Windows guests.
        return None
