"""Flavors, key pairs and server groups; servers are in ``_servers.py``."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Unpack

from cloudkit import _checks as checks
from cloudkit._collection import Collection, Creation
from cloudkit._context import Verb
from cloudkit._keys import generate_key_pair, parse_public_key, write_private_key
from cloudkit.types import (
    Flavor,
    FlavorSpec,
    KeyPair,
    KeyPairSpec,
    Kind,
    ServerGroup,
    ServerGroupSpec,
    Spec,
    Visibility,
)

POLICIES = ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity")
"""Nova's (compute API reference, "Server groups")."""

FLAVOR_LIST_AGE_S = 60.0


class Flavors(Collection[Flavor]):
    """The sizes of servers. On OpenStack only an administrator creates or deletes them."""

    kind = Kind.FLAVOR
    _service = "compute"

    def create(
        self,
        name: str,
        *,
        vcpus: int,
        ram_mib: int,
        disk_gib: int,
        visibility: str = Visibility.PUBLIC,
        extra_specs: Mapping[str, str] | None = None,
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> Flavor:
        """Make one.

        Args:
            disk_gib: size of the root disk; 0 for that of the image.
            visibility: "public", or "private" for this project alone.

        Raises:
            AlreadyExists: the name is taken.
            PermissionDenied: the role does not allow it.
        """
        with self._creating(name):
            spec = FlavorSpec(
                **self._common(name, description, native),
                vcpus=checks.integer(vcpus, "vcpus", 1, checks.MAX_MIB),
                ram_mib=checks.integer(ram_mib, "ram_mib", 1, checks.MAX_MIB),
                disk_gib=checks.integer(disk_gib, "disk_gib", 0, checks.MAX_GIB),
                visibility=checks.choice(visibility, Visibility, "visibility"),
                extra_specs=checks.metadata(extra_specs, "extra_specs"),
            )
            self._forget()
            return self._create(spec, **how)

    def _delete(self, id: str) -> None:
        super()._delete(id)
        self._forget()

    def _look_up(self, name: str) -> Flavor | None:
        # Nova cannot filter flavors by name, and they hardly ever change: one list serves for a while.
        cache = self._context.lifetime.cache
        key = (self.kind, self._context.driver.project_id)
        until, flavors = cache.get(key, (0.0, ()))
        found = [flavor for flavor in flavors if flavor.name == name]
        if not found or time.monotonic() > until:
            flavors = tuple(self._all({}))
            cache[key] = (time.monotonic() + FLAVOR_LIST_AGE_S, flavors)
            found = [flavor for flavor in flavors if flavor.name == name]
        return self._only(found, name)

    def _forget(self) -> None:
        self._context.lifetime.cache.pop((self.kind, self._context.driver.project_id), None)


class KeyPairs(Collection[KeyPair]):
    """Public SSH keys that new servers let in; a key pair's id is its name."""

    kind = Kind.KEY_PAIR
    _service = "compute"

    def create(
        self,
        name: str,
        *,
        public_key: str,
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> KeyPair:
        """Import a public key, one line as in ``~/.ssh/id_ed25519.pub``.

        Raises:
            AlreadyExists: the name is taken.
            InvalidRequest: this is no public key; a private one is refused and never sent.
        """
        with self._creating(name):
            key = parse_public_key(checks.text(public_key, "public_key"))
            common = self._common(name, description, native)
            return self._create(KeyPairSpec(**common, public_key=key.line, fingerprint=key.fingerprint), **how)

    def generate(self, name: str, path: str | os.PathLike[str], *, description: str = "") -> KeyPair:
        """Make an ed25519 key, write the private half to ``path`` (mode 0600), and import the public one.

        Raises:
            AlreadyExists: the name is taken, or there is something at ``path``.
            InvalidRequest: the file cannot be written.
        """
        with Verb(self._context, "key_pairs.generate", name):
            self._require_create()
            checks.name(name)
            private, public = generate_key_pair(name)
            write_private_key(path, private)
            try:
                return self.create(name, public_key=public, description=description)
            except BaseException:
                # No server will ever let this key in.
                os.unlink(os.path.expanduser(os.fspath(path)))
                raise

    def ref_id(self, ref: Any) -> str:
        # Its name is its id: there is nothing to look up.
        return self._checked_ref(ref)

    def _get(self, ref: Any) -> KeyPair:
        return self._fetch(self._checked_ref(ref))

    def _is_made_by(self, value: KeyPair, spec: Spec) -> bool:
        # Nova's key pairs hold no mark. The same key under the same name is what was asked for.
        return super()._is_made_by(value, spec) or (
            isinstance(spec, KeyPairSpec) and (value.name, value.fingerprint) == (spec.name, spec.fingerprint)
        )


class ServerGroups(Collection[ServerGroup]):
    """Servers to be placed together or apart."""

    kind = Kind.SERVER_GROUP
    _service = "compute"
    _capability = "server_groups"

    def create(
        self,
        name: str,
        *,
        policy: str,
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> ServerGroup:
        """Make one; ``policy`` is affinity, anti-affinity, soft-affinity or soft-anti-affinity."""
        with self._creating(name):
            policy = checks.one_of(policy, POLICIES, "policy")
            return self._create(ServerGroupSpec(**self._common(name, description, native), policy=policy), **how)
