"""What a driver implements, and how it says what it can do.

A driver is one project in one region of one back-end. It speaks ids and frozen values; everything that can be
done once for all drivers (names, validation, defaults, waiting, batches, roll-back, logging) is done above it,
in the portable layer. No method here has a default: what a driver does not offer, it leaves out and does not
declare.

The mandatory part is four services, each an object with one attribute a kind of thing. The optional part is
*groups*, one small protocol each, implemented by the same objects and declared by name in
``Driver.capabilities``; and *options*, fields of a create request beyond those every back-end must take. The
tables at the end of this module name them all. ``connect`` refuses a driver whose declaration and methods
contradict each other.

Rules for every method:

- raise a :class:`~cloudkit.errors.CloudError`, or anything that ``translate`` turns into one;
- a create that raises has left nothing behind; one that was interrupted has left something that ``list`` shows,
  with its mark, and that ``delete`` removes;
- ``list`` shows half-made things too; narrowing by ``query.filters`` is allowed, not needed: the portable layer
  filters again, exactly;
- ``delete`` of what is not there raises ``NotFound``; it may return before the thing is gone;
- nothing waits for a status; that is the portable layer's task;
- thread-safe; :meth:`Driver.for_project` shares the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Collection as AnyCollection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar

from cloudkit.errors import CloudError
from cloudkit.types import (
    Attachment,
    Backup,
    BackupSpec,
    Endpoint,
    Flavor,
    FlavorSpec,
    FloatingIp,
    FloatingIpSpec,
    Image,
    ImageMember,
    ImageSpec,
    KeyPair,
    KeyPairSpec,
    Kind,
    MemberStatus,
    Network,
    Nic,
    Port,
    Quota,
    Resource,
    Router,
    RouterSpec,
    RuleSpec,
    Sample,
    SecurityGroup,
    SecurityGroupRule,
    SecurityGroupSpec,
    Server,
    ServerGroup,
    ServerGroupSpec,
    ServerSpec,
    Snapshot,
    SnapshotSpec,
    Spec,
    Subnet,
    Volume,
    VolumeSpec,
    VolumeType,
)

if TYPE_CHECKING:
    from cloudkit.host import Check, Need

DRIVER_API = 1
"""The version of this contract. A driver states the one it was written for; new groups do not change it."""

V = TypeVar("V", bound=Resource)
V_co = TypeVar("V_co", bound=Resource, covariant=True)
S_contra = TypeVar("S_contra", bound=Spec, contravariant=True)


@dataclass(frozen=True, slots=True)
class Query:
    """What a list asks for.

    Attributes:
        filters: attribute of the value → the exact value it must have; a driver may use them to narrow.
        all_projects: every project's things (capability ``all_projects``).
    """

    filters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    all_projects: bool = False


EVERYTHING = Query()


class Readable(Protocol[V_co]):
    """A kind of thing that can be looked at."""

    def list(self, query: Query) -> Iterator[V_co]:
        """All that the project sees, paged as needed and never cut short."""
        ...

    def get(self, id: str) -> V_co:
        """One by its id; raises NotFound."""
        ...


class Creatable(Protocol[V_co, S_contra]):
    """A kind of thing that can be made and deleted."""

    def create(self, spec: S_contra) -> V_co:
        """Make one; returns as soon as the back-end has taken the request."""
        ...

    def delete(self, id: str) -> None:
        """Delete one; raises NotFound, InUse."""
        ...


class Collection(Readable[V_co], Creatable[V_co, S_contra], Protocol[V_co, S_contra]):
    """Both."""


# ---------------------------------------------------------------- the mandatory part


class Servers(Collection[Server, ServerSpec], Protocol):
    """Servers and the verbs every IaaS has."""

    def start(self, id: str) -> None:
        """Power on a SHUTOFF server; raises InvalidState otherwise."""
        ...

    def stop(self, id: str, hard: bool) -> None:
        """Ask the guest to power off, or with ``hard`` cut the power; raises InvalidState unless ACTIVE or ERROR."""
        ...

    def reboot(self, id: str, hard: bool) -> None:
        """Reboot by the guest (raises InvalidState unless ACTIVE), or with ``hard`` by the reset line."""
        ...


class Images(Readable[Image], Protocol):
    """Images; uploading is a group, as some back-ends only have what is there."""

    def delete(self, id: str) -> None:
        """Delete one; raises NotFound, InUse, InvalidState when protected."""
        ...


class ComputeDriver(Protocol):
    """Servers and what they are made of."""

    @property
    def servers(self) -> Servers: ...
    @property
    def flavors(self) -> Collection[Flavor, FlavorSpec]: ...
    @property
    def key_pairs(self) -> Collection[KeyPair, KeyPairSpec]: ...


class ImageDriver(Protocol):
    """Disk images."""

    @property
    def images(self) -> Images: ...


class NetworkDriver(Protocol):
    """Networks; making one is a group, as some back-ends have one preset network only.

    With ``networks.create``, ``subnets.create`` and ``ports.create`` these are whole Collections, of NetworkSpec,
    SubnetSpec and PortSpec.
    """

    @property
    def networks(self) -> Readable[Network]: ...
    @property
    def subnets(self) -> Readable[Subnet]: ...
    @property
    def ports(self) -> Readable[Port]: ...


class VolumeDriver(Protocol):
    """Block devices."""

    @property
    def volumes(self) -> Collection[Volume, VolumeSpec]: ...


class Driver(Protocol):
    """One project in one region of one back-end."""

    @property
    def name(self) -> str:
        """The driver's name, as in its entry point."""
        ...

    @property
    def api(self) -> int:
        """The :data:`DRIVER_API` it was written for."""
        ...

    @property
    def cloud_id(self) -> str:
        """Tells this cloud from every other one, the same for all its projects and in every process."""
        ...

    @property
    def project_id(self) -> str:
        """The project that it acts in."""
        ...

    @property
    def capabilities(self) -> frozenset[str]:
        """The names of the groups and options it offers; constant for the life of the driver."""
        ...

    @property
    def compute(self) -> ComputeDriver: ...
    @property
    def image(self) -> ImageDriver: ...
    @property
    def network(self) -> NetworkDriver: ...
    @property
    def volume(self) -> VolumeDriver: ...

    @property
    def native(self) -> Any:
        """The back-end's own client, for what is not portable."""
        ...

    @property
    def signals_changes(self) -> bool:
        """Whether ``wait_change`` returns at each change of a status, so that nobody needs to look in between."""
        ...

    def for_project(self, project_id: str) -> Driver:
        """The same connection, acting in another project."""
        ...

    def raw(self, kind: Kind, id: str) -> Any:
        """The back-end's own description of a thing; raises NotFound."""
        ...

    def translate(self, error: Exception) -> CloudError:
        """The CloudError for what the back-end's library raised."""
        ...

    def now(self) -> float:
        """Seconds on the clock that the cloud's own states follow; only differences mean something."""
        ...

    def wait_change(self, kind: Kind, timeout_s: float) -> None:
        """Return when something of this kind may have changed, or after ``timeout_s`` on ``now``'s clock.

        Returning early is always right; sleeping is a valid implementation.
        """
        ...

    def close(self) -> None:
        """Give back connections and threads; called once, for all projects."""
        ...


# ---------------------------------------------------------------- groups


class ConsoleLog(Protocol):
    """``servers.console_log``"""

    def console_log(self, id: str, lines: int | None) -> str:
        """What the server printed to its serial console since boot; the last ``lines``, or all that is kept."""
        ...


class ConsoleStream(Protocol):
    """One session with a serial console; used by one thread at a time, but for ``close``."""

    def send(self, data: bytes) -> None:
        """Type into it; raises Closed once the session has ended."""
        ...

    def receive(self, timeout_s: float) -> bytes:
        """What was printed since, at least one byte; nothing once the session has ended.

        Raises WaitTimeout after ``timeout_s`` seconds of real time, whatever clock the cloud follows.
        """
        ...

    def close(self) -> None:
        """End the session; harmless when it has ended already."""
        ...


class InteractiveConsole(Protocol):
    """``servers.console``: the serial console as a terminal, one session at a time."""

    def console(self, id: str) -> ConsoleStream:
        """Open it; raises InUse while another session is open, InvalidState unless the server runs."""
        ...


class Samples(Protocol):
    """``servers.samples``"""

    def samples(self, id: str) -> tuple[Sample, ...]:
        """What the server uses now; the meters that only a running guest has are left out for a stopped one."""
        ...


class Ssh(Protocol):
    """``servers.ssh``"""

    def endpoints(self, id: str, port: int) -> tuple[Endpoint, ...]:
        """Where the server's TCP ``port`` can be reached from here, best first."""
        ...


class Pause(Protocol):
    """``servers.pause``: ACTIVE → PAUSED and back, memory kept."""

    def pause(self, id: str) -> None: ...
    def unpause(self, id: str) -> None: ...


class Suspend(Protocol):
    """``servers.suspend``: ACTIVE → SUSPENDED and back, memory kept on disk."""

    def suspend(self, id: str) -> None: ...
    def resume(self, id: str) -> None: ...


class Shelve(Protocol):
    """``servers.shelve``: off, with nothing taken of the host but its disks; and back to ACTIVE."""

    def shelve(self, id: str) -> None: ...
    def unshelve(self, id: str) -> None: ...


class Resize(Protocol):
    """``servers.resize``: another flavor, in two steps: VERIFY_RESIZE, then confirmed or reverted."""

    def resize(self, id: str, flavor_id: str) -> None: ...
    def confirm_resize(self, id: str) -> None: ...
    def revert_resize(self, id: str) -> None: ...


class Rebuild(Protocol):
    """``servers.rebuild``: the root disk anew from an image; id, addresses and volumes stay."""

    def rebuild(self, id: str, image_id: str) -> None: ...


class Rescue(Protocol):
    """``servers.rescue``: boot from another image with the own root disk beside it."""

    def rescue(self, id: str, image_id: str | None) -> None: ...
    def unrescue(self, id: str) -> None: ...


class Lock(Protocol):
    """``servers.lock``: while locked, verbs raise InvalidState."""

    def lock(self, id: str) -> None: ...
    def unlock(self, id: str) -> None: ...


class ServerImages(Protocol):
    """``servers.create_image``: an image of the root disk; QUEUED or SAVING first, ACTIVE later."""

    def create_image(self, id: str, spec: ImageSpec) -> Image: ...


class Update(Protocol[V_co]):
    """``<kind>.update``: change fields in place."""

    def update(self, id: str, changes: Mapping[str, Any]) -> V_co:
        """Set the given attributes (names as on the value); the rest stays."""
        ...


class Upload(Protocol):
    """``images.create``: an image from bytes."""

    def create(self, spec: ImageSpec, data: BinaryIO, size_bytes: int | None) -> Image:
        """Read ``data`` to its end, in pieces; raises InvalidRequest for bytes that are not ``disk_format``.

        Returns with the checksum that the back-end computed. ``size_bytes`` is given where it is known.
        """
        ...


class Download(Protocol):
    """``images.download``"""

    def download(self, id: str) -> Iterator[bytes]:
        """The image's bytes, in pieces."""
        ...


class ImageSharing(Protocol):
    """``images.sharing``: images whose visibility is "shared" are lent to single projects (Glance's members)."""

    def members(self, id: str) -> tuple[ImageMember, ...]:
        """Whom it is shared with; a member sees itself only."""
        ...

    def add_member(self, id: str, project_id: str) -> ImageMember:
        """Share it, still to be accepted; raises AlreadyExists, and InvalidState for another visibility."""
        ...

    def remove_member(self, id: str, project_id: str) -> None:
        """Take it back; raises NotFound where it is not shared with the project."""
        ...

    def set_member_status(self, id: str, status: MemberStatus) -> ImageMember:
        """Answer for the project that the driver acts in; raises NotFound unless it is a member."""
        ...


class Routers(Collection[Router, RouterSpec], Protocol):
    """``routers``"""

    def add_interface(self, id: str, subnet_id: str) -> None:
        """Join a subnet, at its gateway address; raises Conflict if it has a router there or overlaps."""
        ...

    def remove_interface(self, id: str, subnet_id: str) -> None: ...

    def set_gateway(self, id: str, external_network_id: str | None) -> Router:
        """Lead out by an external network, or nowhere."""
        ...


class FloatingIps(Collection[FloatingIp, FloatingIpSpec], Protocol):
    """``floating_ips``"""

    def associate(self, id: str, port_id: str | None, fixed_ip: str | None) -> FloatingIp:
        """Translate to a port (to one of its addresses), or with None to nothing.

        Raises Conflict when no router leads from the port's subnet to the external network.
        """
        ...


class SecurityGroups(Collection[SecurityGroup, SecurityGroupSpec], Protocol):
    """``security_groups``"""

    def add_rule(self, id: str, spec: RuleSpec) -> SecurityGroupRule:
        """Allow something; raises AlreadyExists for a rule that is there."""
        ...

    def remove_rule(self, id: str, rule_id: str) -> None: ...


class Interfaces(Protocol):
    """``servers.interfaces``: plug network interfaces into a server that is there, and pull them out."""

    def attach_interface(self, id: str, nic: Nic) -> str:
        """Plug one in; returns the id of its port, which was made for the server unless ``nic`` names one.

        Raises InUse for a port that another server has, Conflict for an address that is taken.
        """
        ...

    def detach_interface(self, id: str, port_id: str) -> None:
        """Begin to pull one out, or do it; a port that was made for the server goes, another one is free then.

        Raises InvalidState where the port is not plugged into this server.
        """
        ...


class Subports(Protocol):
    """``ports.subports``: ports that are trunks, through which other ports are reached by VLAN ids."""

    def add_subport(self, id: str, port_id: str, vlan_id: int) -> None:
        """Have ``port_id`` be reached through the port.

        Raises InUse for a port that a server, a router or a trunk has, or that is one; Conflict for a VLAN id that
        another subport has; InvalidState where the port is a server's already and no trunk yet.
        """
        ...

    def remove_subport(self, id: str, port_id: str) -> None:
        """Set a subport free; raises InvalidState for what is none of this port."""
        ...


class ServerSecurityGroups(Protocol):
    """``servers.security_groups``: change the groups of a running server's ports."""

    def set_security_groups(self, id: str, security_group_ids: tuple[str, ...]) -> None: ...


class ServerGroups(Collection[ServerGroup, ServerGroupSpec], Protocol):
    """``server_groups``"""


class Attach(Protocol):
    """``volumes.attach``"""

    def attach(self, id: str, server_id: str) -> Attachment:
        """Plug a volume into a server; raises InvalidState unless it is available.

        As in Nova, the server must be ACTIVE, PAUSED, SHUTOFF or VERIFY_RESIZE and not locked; for ``detach`` too.
        """
        ...

    def detach(self, id: str, server_id: str) -> None:
        """Unplug it; raises InvalidState when it is not in this server. May return before the guest let go."""
        ...


class Extend(Protocol):
    """``volumes.extend``"""

    def extend(self, id: str, size_gib: int) -> None:
        """Grow to ``size_gib``, also while it is attached; raises InvalidRequest for what is not larger.

        Raises InvalidState unless it is available or in-use. A running guest sees the new size.
        """
        ...


class VolumeTypes(Protocol):
    """``volumes.types``"""

    def types(self) -> tuple[VolumeType, ...]:
        """All that the project may use; exactly one is the default."""
        ...


class Snapshots(Collection[Snapshot, SnapshotSpec], Protocol):
    """``snapshots``"""


class Backups(Collection[Backup, BackupSpec], Protocol):
    """``backups``

    ``create`` raises InvalidState unless the volume is available, or in-use with ``force``; ``delete`` unless the
    backup is available or in error.
    """

    def restore(self, id: str, volume_id: str) -> None:
        """Write a backup's content over that of a volume, which is at least as large.

        Raises InvalidState unless both are available. The volume is restoring-backup, then available.
        """
        ...


class Limits(Protocol):
    """``limits``"""

    def limits(self) -> Mapping[str, Quota]:
        """Quota and use by name: servers, vcpus, ram_mib, volumes, volume_gib, networks, …"""
        ...


@dataclass(frozen=True, slots=True)
class Group:
    """Where a group's methods are found: ``path`` from the driver, ``protocol`` for its methods' names."""

    path: str
    protocol: type[Any]

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods that the group needs."""
        return tuple(
            name
            for base in self.protocol.__mro__
            if base not in (object, Protocol) and getattr(base, "_is_protocol", False)
            for name, member in vars(base).items()
            if callable(member) and not name.startswith("_")
        )


GROUPS: Mapping[str, Group] = {
    "servers.console": Group("compute.servers", InteractiveConsole),
    "servers.console_log": Group("compute.servers", ConsoleLog),
    "servers.samples": Group("compute.servers", Samples),
    "servers.ssh": Group("compute.servers", Ssh),
    "servers.pause": Group("compute.servers", Pause),
    "servers.suspend": Group("compute.servers", Suspend),
    "servers.shelve": Group("compute.servers", Shelve),
    "servers.resize": Group("compute.servers", Resize),
    "servers.rebuild": Group("compute.servers", Rebuild),
    "servers.rescue": Group("compute.servers", Rescue),
    "servers.lock": Group("compute.servers", Lock),
    "servers.create_image": Group("compute.servers", ServerImages),
    "servers.update": Group("compute.servers", Update),
    "servers.security_groups": Group("compute.servers", ServerSecurityGroups),
    "servers.interfaces": Group("compute.servers", Interfaces),
    "server_groups": Group("compute.server_groups", ServerGroups),
    "images.create": Group("image.images", Upload),
    "images.download": Group("image.images", Download),
    "images.update": Group("image.images", Update),
    "images.sharing": Group("image.images", ImageSharing),
    "networks.create": Group("network.networks", Creatable),
    "networks.update": Group("network.networks", Update),
    "subnets.create": Group("network.subnets", Creatable),
    "ports.create": Group("network.ports", Creatable),
    "ports.subports": Group("network.ports", Subports),
    "routers": Group("network.routers", Routers),
    "floating_ips": Group("network.floating_ips", FloatingIps),
    "security_groups": Group("network.security_groups", SecurityGroups),
    "volumes.attach": Group("volume.volumes", Attach),
    "volumes.extend": Group("volume.volumes", Extend),
    "volumes.types": Group("volume.volumes", VolumeTypes),
    "volumes.update": Group("volume.volumes", Update),
    "snapshots": Group("volume.snapshots", Snapshots),
    "backups": Group("volume.backups", Backups),
    "limits": Group("", Limits),
}
"""Every optional group, by the name of its capability."""

OPTIONS: frozenset[str] = frozenset(
    {
        "servers.create:availability_zone",
        "servers.create:boot_volume_id",
        "servers.create:description",
        "servers.create:inject_host_key",
        "servers.create:metadata",
        "servers.create:security_group_ids",
        "servers.create:server_group_id",
        "servers.create:tags",
        "servers.create:user_data",
        "images.create:metadata",
        "images.create:protected",
        "images.create:tags",
        "networks.create:external",
        "networks.create:mtu",
        "networks.create:shared",
        "networks.create:tags",
        "networks.create:vlan_id",
        "ports.create:mac",
        "ports.create:security_group_ids",
        "subnets.create:allocation_pools",
        "subnets.create:host_routes",
        "subnets.create:ipv6_mode",
        "floating_ips.create:ip",
        "volumes.create:availability_zone",
        "volumes.create:image_id",
        "volumes.create:snapshot_id",
        "volumes.create:source_volume_id",
        "volumes.create:volume_type",
        "snapshots.create:force",
        "backups.create:force",
        "all_projects",
    }
)
"""Every optional field of a create request (``kind.create:field of the spec``) and the other plain abilities."""

CAPABILITIES: frozenset[str] = frozenset(GROUPS) | OPTIONS


# ---------------------------------------------------------------- how a driver is found and opened


@dataclass(frozen=True, slots=True)
class Option:
    """One setting of a driver, in a profile or in a URL's query.

    Attributes:
        parse: turns text (from a URL) or a TOML value into what the driver wants; raises ValueError with a reason.
    """

    name: str
    help: str
    parse: Callable[[Any], Any] = str
    default: Any = None


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """What a driver is opened with.

    Attributes:
        address: the URL's part after the driver's name, as ``"qemu:///system"``; empty where there is none.
        options: one value for each of the plug-in's options, parsed or at its default.
        project_id: the project to act in, or None for the back-end's default.
        profile: the profile's name, for messages.
    """

    address: str
    options: Mapping[str, Any]
    project_id: str | None
    profile: str


class HostUpkeep(Protocol):
    """What ``cloudkit host`` does on the machine that a cloud's servers run on."""

    def install(self, command: Sequence[str]) -> Sequence[str]:
        """Have the machine keep the cloud alive by itself, over reboots and other programs' changes; idempotent.

        Args:
            command: what the machine is to run when something has changed; it ends in a call of ``reconcile``.

        Returns:
            What was written, and what is left for the caller to do, one line each.

        Raises:
            PermissionDenied: this process may not.
        """
        ...

    def uninstall(self) -> Sequence[str]:
        """Remove exactly that; returns what was removed, one line each. Idempotent."""
        ...

    def reconcile(self) -> None:
        """Bring the machine to what the cloud's records say."""
        ...


@dataclass(frozen=True, slots=True)
class DriverPlugin:
    """What the entry point ``cloudkit.drivers`` names: a driver's data, importable without its dependencies.

    Attributes:
        extra: the extra of cloudkit-sdk that installs what it needs, or "" for none.
        requires: modules that must be importable before ``open`` is called.
        address_query: keys of a URL's query that belong to ``address``, as libvirt's own ``socket``; all others
            are options.
        story: what the demo uses where the profile's ``[story]`` table is silent.
        host_needs: what it needs of the machine that it is opened on; None for nothing beyond Python.
        examine: what ``cloudkit doctor`` is told of the cloud itself; it changes nothing there, and raises nothing.
            None: the doctor opens the cloud and lists its flavors.
        host_upkeep: what ``cloudkit host`` does for it; None where nothing has to be kept on a machine.
    """

    name: str
    api: int
    open: Callable[[OpenRequest], Driver]
    options: tuple[Option, ...] = ()
    extra: str = ""
    requires: tuple[str, ...] = ()
    address_query: tuple[str, ...] = ()
    story: Mapping[str, Any] = field(default_factory=dict[str, Any])
    host_needs: Callable[[OpenRequest], AnyCollection[Need]] | None = None
    examine: Callable[[OpenRequest], Iterable[Check]] | None = None
    host_upkeep: Callable[[OpenRequest], HostUpkeep] | None = None


def check_declaration(driver: Driver) -> None:
    """Compare what a driver declares with what it has.

    Raises:
        CloudError: it was written for another ``DRIVER_API``, declares a group whose methods are missing or a
            name that does not exist, or has a group's methods without declaring it.
    """
    problems: list[str] = []
    if driver.api != DRIVER_API:
        problems.append(f"it was written for driver API {driver.api}, this cloudkit speaks {DRIVER_API}")
    problems += [
        f"it declares {name!r}, which is no capability" for name in sorted(driver.capabilities - CAPABILITIES)
    ]
    for name, group in GROUPS.items():
        owner: Any = driver
        for part in filter(None, group.path.split(".")):
            owner = getattr(owner, part, None)
        missing = [method for method in group.methods if not callable(getattr(owner, method, None))]
        if name in driver.capabilities and missing:
            problems.append(f"it declares {name!r} but lacks {', '.join(missing)}")
        if name not in driver.capabilities and not missing:
            problems.append(f"it has the methods of {name!r} but does not declare it")
    if problems:
        raise CloudError(
            f"the driver {driver.name!r} contradicts itself: {'; '.join(problems)}",
            driver=driver.name,
            hint="This is a defect of the driver: report it to its authors.",
        )
