"""What all collections of one driver share: the services, the project, and who may see what."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cloudkit.types import Kind
from cloudkit_openstack.plugs import Plugs
from cloudkit_openstack.service import COMPUTE, IMAGE, NETWORK, VOLUME, Service, ServiceType

if TYPE_CHECKING:
    from keystoneauth1.session import Session
    from openstack.connection import Connection

    from cloudkit_openstack.collection import RestCollection

ADMIN_ROLE = "admin"
"""The role that the services' default policies let see and change every project's things."""


@dataclass(frozen=True, slots=True)
class Project:
    """The project that a token is for.

    Attributes:
        is_admin: the token also shows and changes other projects' things, which have to be told apart here.
    """

    id: str
    cloud_id: str
    is_admin: bool


class Context:
    """One project of one connection."""

    def __init__(
        self, native: Connection, project: Project, log: logging.Logger, physical_network: str | None = None
    ) -> None:
        """See ``native``, openstacksdk's connection, as ``project``; VLANs are on ``physical_network``."""
        self.native = native
        self.project = project
        self.log = log
        self.physical_network = physical_network
        self.collections: dict[Kind, RestCollection[Any]] = {}
        self.extensions: frozenset[str] = frozenset()
        self.compute = self._service(COMPUTE)
        self.image = self._service(IMAGE)
        self.network = self._service(NETWORK)
        self.volume = self._service(VOLUME)
        self.plugs = Plugs(self.network)

    def require(self, kind: Kind, id: str | None) -> None:
        """Raise NotFound for what the project does not see, where the services would let an administrator take it."""
        if self.project.is_admin and id is not None:
            self.collections[kind].get(id)

    def _service(self, type: ServiceType) -> Service:
        region = self.native.config
        filters = {
            "region_name": region.get_region_name(type.catalog),
            "interface": region.get_interface(type.catalog),
        }
        access = _Access(self.native.session, {key: value for key, value in filters.items() if value})
        return Service(type, access, region.get_endpoint(type.catalog), self.log)


@dataclass(frozen=True)
class _Access:
    session: Session
    filters: Mapping[str, Any] = field(default_factory=dict[str, Any])
