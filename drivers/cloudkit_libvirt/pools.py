"""The storage pools: the main one, and those that keep volumes of other types and backups."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from cloudkit.errors import ConfigError, InvalidRequest, NotFound
from cloudkit.types import VolumeType
from cloudkit_libvirt import DEFAULT_TYPE
from cloudkit_libvirt.connection import Connection
from cloudkit_libvirt.pool import Pool
from cloudkit_libvirt.xml_tree import parse

_OF_FILES = frozenset({"dir", "fs", "netfs"})
"""Disks are plugged in as files, which the other types of libvirt's pools do not have."""


class Pools:
    """Pools by name, where None is the main one."""

    def __init__(self, connection: Connection, volume_types: Mapping[str, str], backup_pool: str | None) -> None:
        """``volume_types`` is name → pool; the type DEFAULT_TYPE is the main pool."""
        self.main = Pool(connection)
        self.backup_pool = backup_pool
        self._connection = connection
        self._types: dict[str, str | None] = {DEFAULT_TYPE: None, **volume_types}
        self.named = cache(self._named)

    def check(self) -> None:
        """Raise ConfigError unless all pools that the options name are there and hold files."""
        for name in {*self._types.values(), self.backup_pool} - {None}:
            assert name is not None
            try:
                pool = self._connection.other_pool(name)
            except NotFound as error:
                raise ConfigError(
                    f"there is no storage pool {name!r}, which volume_types or backup_pool names",
                    driver="libvirt",
                    hint=error.hint,
                ) from error
            kind = parse(pool.XMLDesc()).get("type")
            if kind not in _OF_FILES:
                raise ConfigError(
                    f"the storage pool {name!r} is of libvirt's type {kind!r}, and volumes are files",
                    driver="libvirt",
                    hint=f"Name a pool of the type {' or '.join(sorted(_OF_FILES))}.",
                )

    def types(self) -> tuple[VolumeType, ...]:
        """The volume types."""
        return tuple(
            VolumeType(
                id=name,
                name=name,
                description=f"In libvirt's pool {pool}." if pool else "In the pool that holds all.",
                default=name == DEFAULT_TYPE,
            )
            for name, pool in self._types.items()
        )

    def pool_of(self, volume_type: str) -> str | None:
        """The name of a type's pool; raises InvalidRequest."""
        if volume_type not in self._types:
            raise InvalidRequest(
                f"there is no volume type {volume_type!r}",
                driver="libvirt",
                hint=f"Known: {', '.join(self._types)}. The option volume_types adds more.",
            )
        return self._types[volume_type]

    def _named(self, name: str | None) -> Pool:
        return self.main if name is None else Pool(self._connection, name)
