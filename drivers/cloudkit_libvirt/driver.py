"""The driver itself: one project's view of one libvirt host."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import libvirt  # pyright: ignore[reportMissingTypeStubs]

from cloudkit.driver import DRIVER_API, Driver, OpenRequest
from cloudkit.errors import CloudError, ConfigError, Conflict, NotFound, PermissionDenied
from cloudkit.types import Kind, Quota
from cloudkit_libvirt import errors, images, network_xml, networks, plugging, ports, subnets, volumes
from cloudkit_libvirt.backups import Backups
from cloudkit_libvirt.blobs import BlobStore, MemoryBlobs, PoolBlobs
from cloudkit_libvirt.bridged_servers import BridgedServers
from cloudkit_libvirt.connection import Connection
from cloudkit_libvirt.context import Context
from cloudkit_libvirt.domains import Domains
from cloudkit_libvirt.explain import explained
from cloudkit_libvirt.external_preset import ensure_external
from cloudkit_libvirt.filtered_servers import FilteredServers
from cloudkit_libvirt.flavors import Flavors
from cloudkit_libvirt.floating_ips import FloatingIps
from cloudkit_libvirt.hostnet.host import find_host
from cloudkit_libvirt.hostnet.installation import Installation
from cloudkit_libvirt.hostnet.keeper import check_keeper
from cloudkit_libvirt.hostnet.reconcile import HostNetwork
from cloudkit_libvirt.hostnet.switch import find_switch
from cloudkit_libvirt.hypervisors import TEST
from cloudkit_libvirt.key_pairs import KeyPairs
from cloudkit_libvirt.limits import limits_of
from cloudkit_libvirt.pools import Pools
from cloudkit_libvirt.read_only import ReadOnlyBlobs, ReadOnlyService
from cloudkit_libvirt.records import Records
from cloudkit_libvirt.routers import Routers
from cloudkit_libvirt.security_groups import SecurityGroups
from cloudkit_libvirt.server_groups import ServerGroups
from cloudkit_libvirt.servers import Servers
from cloudkit_libvirt.snapshots import Snapshots
from cloudkit_libvirt.ssh_transport import remove_command, remove_with, with_ssh_command
from cloudkit_libvirt.trunks import TrunkPorts
from cloudkit_libvirt.uri import default_pool_path, is_session
from cloudkit_libvirt.user_network import PresetBlobs
from cloudkit_libvirt.virt_type import choose
from cloudkit_libvirt.xml_tree import parse

DEFAULT_PROJECT = "default"

_log = logging.getLogger("cloudkit.libvirt")

_EVERYWHERE = frozenset(
    {
        "servers.pause",
        "servers.suspend",
        "servers.shelve",
        "servers.resize",
        "servers.rebuild",
        "servers.rescue",
        "servers.lock",
        "servers.update",
        "server_groups",
        "snapshots",
        "limits",
        "all_projects",
        "servers.create:availability_zone",
        "servers.create:boot_volume_id",
        "servers.create:description",
        "servers.create:inject_host_key",
        "servers.create:metadata",
        "servers.create:server_group_id",
        "servers.create:tags",
        "servers.create:user_data",
        "volumes.create:availability_zone",
        "volumes.create:image_id",
        "volumes.create:snapshot_id",
        "volumes.create:source_volume_id",
        "volumes.create:volume_type",
        "volumes.types",
        "volumes.update",
        "backups",
    }
)
_WITH_BRIDGES = frozenset(
    {
        "networks.create",
        "networks.create:mtu",
        "networks.create:shared",
        "networks.create:tags",
        "networks.update",
        "ports.create",
        "ports.create:mac",
        "subnets.create",
        "subnets.create:allocation_pools",
        "subnets.create:host_routes",
        "subnets.create:ipv6_mode",
    }
)
_WITH_GUESTS = frozenset(
    {
        "servers.console",
        "servers.console_log",
        "servers.samples",
        "servers.ssh",
        "servers.create_image",
        "images.create",
        "images.create:metadata",
        "images.create:protected",
        "images.create:tags",
        "images.download",
        "images.sharing",
        "images.update",
        "volumes.attach",
        "volumes.extend",
        "snapshots.create:force",
        "backups.create:force",
    }
)


_ROUTED = frozenset(
    {
        "routers",
        "floating_ips",
        "floating_ips.create:ip",
        "security_groups",
        "servers.security_groups",
        "servers.create:security_group_ids",
        "ports.create:security_group_ids",
        "networks.create:external",
    }
)


class Compute:
    """Servers and what they are made of."""

    def __init__(self, context: Context, project_id: str) -> None:
        """See ``context`` as ``project_id``."""
        self.servers = _servers_type(context)(context, project_id)
        self.flavors = Flavors(context, project_id)
        self.key_pairs = KeyPairs(context, project_id)
        self.server_groups = ServerGroups(context, project_id)


def _servers_type(context: Context) -> type[Servers]:
    if context.simulated:
        return Servers
    if not context.user_network:
        return BridgedServers if context.hostnet is None else FilteredServers
    # It loads libvirt's module for QEMU's monitor, which nothing else needs.
    from cloudkit_libvirt.forwarded_servers import ForwardedServers

    return ForwardedServers


class ImageService:
    """Images."""

    def __init__(self, context: Context, project_id: str) -> None:
        """See ``context`` as ``project_id``."""
        self.images = (images.Images if context.simulated else images.UploadedImages)(context, project_id)


class NetworkService:
    """Networks, subnets and ports."""

    def __init__(self, context: Context, project_id: str) -> None:
        """See ``context`` as ``project_id``."""
        bridged = not context.user_network
        self.networks = (networks.BridgedNetworks if bridged else networks.Networks)(context, project_id)
        self.subnets = (subnets.BridgedSubnets if bridged else subnets.Subnets)(context, project_id)
        self.ports = (ports.BridgedPorts if bridged else ports.Ports)(context, project_id)
        if context.hostnet is not None and context.hostnet.has_vlans:
            self.ports = TrunkPorts(context, project_id)


class RoutedNetworkService(NetworkService):
    """The same, with what joins and guards networks."""

    def __init__(self, context: Context, project_id: str) -> None:
        """See ``context`` as ``project_id``."""
        super().__init__(context, project_id)
        self.routers = Routers(context, project_id)
        self.floating_ips = FloatingIps(context, project_id)
        self.security_groups = SecurityGroups(context, project_id)


class VolumeService:
    """Volumes, snapshots and backups."""

    def __init__(self, context: Context, project_id: str) -> None:
        """See ``context`` as ``project_id``."""
        self.volumes = (volumes.Volumes if context.simulated else plugging.PluggableVolumes)(context, project_id)
        self.snapshots = Snapshots(context, project_id)
        self.backups = Backups(context, project_id)


def _capabilities(context: Context) -> frozenset[str]:
    capabilities = _EVERYWHERE
    if not context.simulated:
        capabilities |= _WITH_GUESTS
    if not context.user_network:
        capabilities |= _WITH_BRIDGES
        if not context.simulated:
            capabilities |= {"servers.interfaces"}
    if context.hostnet is not None:
        capabilities |= _ROUTED
        if context.hostnet.has_vlans:
            capabilities |= {"networks.create:vlan_id", "ports.subports"}
    return capabilities


class LibvirtDriver:
    """One project on one libvirt host; see :mod:`cloudkit.driver` for what it implements."""

    name = "libvirt"
    api = DRIVER_API
    signals_changes = True

    def __init__(self, context: Context, project_id: str) -> None:
        """Act in ``project_id``; ``context`` is shared by all projects."""
        self._context = context
        self.project_id = project_id
        self.cloud_id = context.cloud_id
        self.capabilities = _capabilities(context)
        routed = context.hostnet is not None
        show: Callable[[Any], Any] = ReadOnlyService if context.read_only else _itself
        self.compute: Any = show(Compute(context, project_id))
        self.image: Any = show(ImageService(context, project_id))
        self.network: Any = show((RoutedNetworkService if routed else NetworkService)(context, project_id))
        self.volume: Any = show(VolumeService(context, project_id))

    @property
    def native(self) -> Any:
        """Libvirt's own connection (``libvirt.virConnect``)."""
        return self._context.connection.virt

    def for_project(self, project_id: str) -> LibvirtDriver:
        """The same connection, acting in another project."""
        return LibvirtDriver(self._context, project_id)

    def limits(self) -> Mapping[str, Quota]:
        """What the project uses; there are no quotas."""
        return limits_of(self._context.records.view(), self.project_id)

    def raw(self, kind: Kind, id: str) -> Any:
        """Libvirt's XML of a server, network, volume, image, snapshot or backup; the value itself for other kinds."""
        collection = self._collections().get(kind)
        if collection is None:
            raise NotFound(f"there are no {kind.value} here", driver=self.name, resource=id)
        value = collection.get(id)
        describe = self._descriptions().get(kind)
        description = describe(id) if describe is not None else None
        return value if description is None else description

    def translate(self, error: Exception) -> CloudError:
        """The CloudError for what libvirt raised."""
        translated = errors.translate(error, self._context.pool.free_bytes)
        return explained(translated, self._context.connection.host is None)

    def now(self) -> float:
        """Guests live in real time."""
        return time.monotonic()

    def wait_change(self, kind: Kind, timeout_s: float) -> None:
        """Return on libvirt's next event about such things, or after ``timeout_s``."""
        self._context.connection.wait_change(kind, timeout_s)

    def close(self) -> None:
        """Close the connection; servers go on."""
        self._context.connection.close()
        remove_command(self._context.connection.uri)

    def _collections(self) -> Mapping[Kind, Any]:
        return {
            Kind.SERVER: self.compute.servers,
            Kind.FLAVOR: self.compute.flavors,
            Kind.KEY_PAIR: self.compute.key_pairs,
            Kind.SERVER_GROUP: self.compute.server_groups,
            Kind.IMAGE: self.image.images,
            Kind.NETWORK: self.network.networks,
            Kind.SUBNET: self.network.subnets,
            Kind.PORT: self.network.ports,
            Kind.VOLUME: self.volume.volumes,
            Kind.SNAPSHOT: self.volume.snapshots,
            Kind.BACKUP: self.volume.backups,
            **(
                {
                    Kind.ROUTER: self.network.routers,
                    Kind.FLOATING_IP: self.network.floating_ips,
                    Kind.SECURITY_GROUP: self.network.security_groups,
                }
                if self._context.hostnet is not None
                else {}
            ),
        }

    def _descriptions(self) -> Mapping[Kind, Callable[[str], str | None]]:
        pool = self._context.pool
        return {
            Kind.SERVER: self._domain_xml,
            Kind.NETWORK: self._network_xml,
            Kind.IMAGE: lambda image_id: pool.xml(images.volume_name(image_id)),
            Kind.VOLUME: self.volume.volumes.storage_xml,
            Kind.SNAPSHOT: self.volume.snapshots.storage_xml,
            Kind.BACKUP: self.volume.backups.storage_xml,
        }

    def _domain_xml(self, id: str) -> str:
        domain = self._context.domains.find(id)
        if domain is None:
            raise NotFound("the server has no domain", driver=self.name, resource=id)
        return str(domain.XMLDesc())

    def _network_xml(self, id: str) -> str | None:
        """The XML in libvirt; a network without a subnet has none, nor has QEMU's user network."""
        if self._context.user_network:
            return None
        try:
            network = self._context.connection.virt.networkLookupByName(network_xml.libvirt_name(id))
        except libvirt.libvirtError as error:
            if errors.code_of(error) == libvirt.VIR_ERR_NO_NETWORK:
                return None
            raise
        return str(network.XMLDesc())


def _itself(service: Any) -> Any:
    return service


def open_driver(request: OpenRequest) -> Driver:
    """Connect and find out what the host is."""
    options = request.options
    uri = options.get("uri") or request.address
    if not uri:
        raise ConfigError(
            f"the profile {request.profile!r} does not say where libvirt is",
            driver="libvirt",
            hint='Set uri = "qemu:///system", or use the URL libvirt+qemu:///system.',
        )
    if options.get("uri") and request.address and request.address != options["uri"]:
        raise ConfigError(
            f"the profile {request.profile!r} names two libvirts: {request.address} and {options['uri']}",
            driver="libvirt",
        )
    pool_path = options["pool_path"] or default_pool_path(uri)
    connection = Connection(with_ssh_command(uri), options["pool"], pool_path, options["read_only"])
    remove_with(connection, connection.uri)
    try:
        return LibvirtDriver(_make_context(connection, options), request.project_id or DEFAULT_PROJECT)
    except CloudError:
        connection.close()
        raise
    except Exception as error:
        connection.close()
        raise explained(errors.translate(error, lambda: None), connection.host is None) from error


def _make_context(connection: Connection, options: Mapping[str, Any]) -> Context:
    virt = connection.virt
    simulated = virt.getType() == TEST
    capabilities = virt.getCapabilities()
    pools = Pools(connection, options["volume_types"], options["backup_pool"])
    pools.check()
    store: BlobStore = MemoryBlobs() if simulated else PoolBlobs(pools.main)
    user_network = is_session(connection.uri)
    if user_network:
        store = PresetBlobs(store)
    read_only = bool(options["read_only"])
    if read_only and not simulated:
        store = ReadOnlyBlobs(store)
    records, cloud_id = Records(store), connection.pool.UUIDString()
    host = None if simulated or user_network or options["host_network"] == "off" else find_host(connection)
    if host is None and options["host_network"] == "on":
        raise PermissionDenied(
            "the host's network cannot be changed from here",
            driver="libvirt",
            hint="Install nft and ip there, load the module br_netfilter, and be root there, or let sudo run both "
            "without a password; or set host_network=off.",
        )
    if host is not None:
        try:
            check_keeper(host, cloud_id)
        except Conflict as error:
            if options["host_network"] == "on":
                raise
            _log.warning("routers, floating IPs and security groups are not offered: %s", error)
            host = None
    context = Context(
        connection=connection,
        pool=pools.main,
        pools=pools,
        records=records,
        domains=Domains(connection),
        cloud_id=cloud_id,
        domain_type="test"
        if simulated
        else choose(options["virt_type"], capabilities, connection.host is None, user_network),
        arch=parse(capabilities).findtext("host/cpu/arch") or "x86_64",
        simulated=simulated,
        starts=threading.BoundedSemaphore(max(1, virt.getInfo()[2])),
        max_image_bytes=options["max_image_gib"] << 30,
        hostnet=None
        if host is None
        else HostNetwork(
            host,
            connection,
            records,
            cloud_id,
            Installation() if connection.host is None else None,
            find_switch(host, options["vlan_switch"], cloud_id, options["vxlan_peers"]),
        ),
        user_network=user_network,
        read_only=read_only,
        resume_servers=options["resume_servers"],
    )
    if simulated:
        images.add_preset(context)
    if read_only:
        return context
    if host is not None and options["external_cidr"]:
        ensure_external(context, options["external_cidr"])
    context.reconcile()
    return context
