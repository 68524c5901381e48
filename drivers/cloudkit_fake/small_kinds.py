"""Flavors, key pairs and server groups."""

from __future__ import annotations

from typing import Any

from cloudkit.errors import AlreadyExists
from cloudkit.types import (
    Flavor,
    FlavorSpec,
    KeyPair,
    KeyPairSpec,
    Kind,
    ServerGroup,
    ServerGroupSpec,
    Visibility,
)
from cloudkit_fake.cloud import request
from cloudkit_fake.collections import FakeCollection, not_found


class Flavors(FakeCollection[Flavor]):
    """Sizes of servers; names are unique in the cloud."""

    kind = Kind.FLAVOR

    @request
    def create(self, spec: FlavorSpec) -> Flavor:
        """Make one."""
        if any(flavor.name == spec.name for flavor in self._state.all(Kind.FLAVOR)):
            raise AlreadyExists(f"there is a flavor {spec.name!r} already", driver="fake", resource=spec.name)
        return self._state.put(
            Flavor(
                **self._common(spec),
                vcpus=spec.vcpus,
                ram_mib=spec.ram_mib,
                disk_gib=spec.disk_gib,
                visibility=spec.visibility,
                extra_specs=spec.extra_specs,
            )
        )

    @request
    def delete(self, id: str) -> None:
        """Delete one; servers keep their size."""
        # Presets belong to nobody, and Nova lets its administrator delete them.
        self.seen(id)
        self._state.remove(Kind.FLAVOR, id)

    def sees(self, value: Any) -> bool:
        return value.project_id == self._project_id or value.visibility is Visibility.PUBLIC


class KeyPairs(FakeCollection[KeyPair]):
    """Public keys; a name is unique in its project, and is the id."""

    kind = Kind.KEY_PAIR

    @request
    def create(self, spec: KeyPairSpec) -> KeyPair:
        """Import one."""
        if self._find(spec.name) is not None:
            raise AlreadyExists(f"there is a key pair {spec.name!r} already", driver="fake", resource=spec.name)
        self._check_quota("key_pairs")
        fields: dict[str, Any] = {**self._common(spec), "id": spec.name}
        key_pair = KeyPair(**fields, public_key=spec.public_key, fingerprint=spec.fingerprint)
        # Two projects may have the same name: the table's key is not the value's id.
        self._state.tables[Kind.KEY_PAIR][f"{self._project_id}/{spec.name}"] = key_pair
        return key_pair

    @request
    def delete(self, id: str) -> None:
        """Delete one; servers keep the key that they have."""
        if self._find(id) is None:
            raise not_found(Kind.KEY_PAIR, id)
        del self._state.tables[Kind.KEY_PAIR][f"{self._project_id}/{id}"]

    def _find(self, name: str) -> KeyPair | None:
        return self._state.find(Kind.KEY_PAIR, f"{self._project_id}/{name}")  # type: ignore[no-any-return]

    def seen(self, id: str) -> KeyPair:
        key_pair = self._find(id)
        if key_pair is None:
            raise not_found(Kind.KEY_PAIR, id)
        return key_pair


class ServerGroups(FakeCollection[ServerGroup]):
    """Servers to be kept together or apart."""

    kind = Kind.SERVER_GROUP

    @request
    def create(self, spec: ServerGroupSpec) -> ServerGroup:
        """Make one."""
        self._check_quota("server_groups")
        return self._state.put(ServerGroup(**self._common(spec), policy=spec.policy))

    @request
    def delete(self, id: str) -> None:
        """Delete one; its servers stay."""
        self._own(id)
        self._state.remove(Kind.SERVER_GROUP, id)
