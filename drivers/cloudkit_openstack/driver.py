"""The driver itself: one project's view of one OpenStack region."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from cloudkit.driver import DRIVER_API
from cloudkit.errors import CloudError
from cloudkit.types import Kind, Quota
from cloudkit_openstack import errors
from cloudkit_openstack.backups import Backups
from cloudkit_openstack.capabilities import ROUTER, TRUNK, offered
from cloudkit_openstack.collection import RestCollection
from cloudkit_openstack.context import Context
from cloudkit_openstack.flavors import Flavors
from cloudkit_openstack.image_members import SharedImages
from cloudkit_openstack.key_pairs import KeyPairs
from cloudkit_openstack.limits import limits_of
from cloudkit_openstack.networks import Networks, Subnets
from cloudkit_openstack.ports import Ports
from cloudkit_openstack.routing import FloatingIps, Routers
from cloudkit_openstack.security_groups import SecurityGroups
from cloudkit_openstack.server_groups import ServerGroups
from cloudkit_openstack.servers import Servers
from cloudkit_openstack.trunks import TrunkPorts
from cloudkit_openstack.volumes import Snapshots, Volumes


class Compute:
    """Nova's."""

    def __init__(self, context: Context) -> None:
        """See them as the context's project."""
        self.servers = Servers(context)
        self.flavors = Flavors(context)
        self.key_pairs = KeyPairs(context)
        self.server_groups = ServerGroups(context)


class ImageService:
    """Glance's."""

    def __init__(self, context: Context) -> None:
        """See them as the context's project."""
        self.images = SharedImages(context)


class NetworkService:
    """Neutron's."""

    def __init__(self, context: Context) -> None:
        """See them as the context's project."""
        self.networks = Networks(context)
        self.subnets = Subnets(context)
        self.ports = (TrunkPorts if TRUNK in context.extensions else Ports)(context)
        if ROUTER in context.extensions:
            self.routers = Routers(context)
            self.floating_ips = FloatingIps(context)
        self.security_groups = SecurityGroups(context)


class VolumeService:
    """Cinder's."""

    def __init__(self, context: Context) -> None:
        """See them as the context's project."""
        self.volumes = Volumes(context)
        self.snapshots = Snapshots(context)
        self.backups = Backups(context)


class OpenStackDriver:
    """One project of one connection; see :mod:`cloudkit.driver` for what it implements."""

    name = errors.DRIVER
    api = DRIVER_API
    signals_changes = False

    def __init__(self, context: Context, opener: Any) -> None:
        """``opener`` opens other projects over the same configuration, and closes them all."""
        self._context = context
        self._opener = opener
        self.project_id = context.project.id
        self.cloud_id = context.project.cloud_id
        self.capabilities = offered(context.extensions)
        self.compute = Compute(context)
        self.image = ImageService(context)
        self.network = NetworkService(context)
        self.volume = VolumeService(context)
        for service in (self.compute, self.image, self.network, self.volume):
            for collection in vars(service).values():
                if isinstance(collection, RestCollection):
                    context.collections[collection.kind] = collection

    @property
    def native(self) -> Any:
        """Openstacksdk's connection (``openstack.connection.Connection``)."""
        return self._context.native

    def for_project(self, project_id: str) -> OpenStackDriver:
        """The same user, acting in another project."""
        return self._opener.driver_for(project_id)  # type: ignore[no-any-return]

    def raw(self, kind: Kind, id: str) -> Any:
        """The body that the service shows."""
        collection = self._context.collections[kind]
        collection.get(id)
        return collection.body(id)

    def translate(self, error: Exception) -> CloudError:
        """The CloudError for what keystoneauth or openstacksdk raised."""
        return errors.translate(error)

    def now(self) -> float:
        """This machine's monotonic clock."""
        return time.monotonic()

    def wait_change(self, kind: Kind, timeout_s: float) -> None:
        """Sleep: OpenStack tells nobody outside of changes."""
        del kind
        time.sleep(timeout_s)

    def limits(self) -> Mapping[str, Quota]:
        """Quota and use."""
        return limits_of(self._context)

    def close(self) -> None:
        """Close the connections of all projects."""
        self._opener.close()
