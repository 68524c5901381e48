"""The frozen values that cloudkit returns, the specs that drivers receive, and their enums.

Values are data: no connection inside, hashable, comparable, picklable. Status words are OpenStack's (the API
references of Nova, Glance, Neutron and Cinder); ``native_status`` keeps the back-end's own word. Units are in
the names. Times are aware and in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, ClassVar, Self


class Kind(Enum):
    """The kinds of things in a cloud; the value is the name of the collection on ``Cloud``."""

    SERVER = "servers"
    FLAVOR = "flavors"
    KEY_PAIR = "key_pairs"
    SERVER_GROUP = "server_groups"
    IMAGE = "images"
    NETWORK = "networks"
    SUBNET = "subnets"
    PORT = "ports"
    ROUTER = "routers"
    FLOATING_IP = "floating_ips"
    SECURITY_GROUP = "security_groups"
    VOLUME = "volumes"
    SNAPSHOT = "snapshots"
    BACKUP = "backups"

    # Enum's own is a Python function, and kinds are keys everywhere.
    __hash__ = object.__hash__

    @property
    def noun(self) -> str:
        """The kind in the singular, for messages: ``"key pair"``."""
        return self.name.lower().replace("_", " ").replace("ip", "IP")


class FrozenMap(Mapping[str, Any]):
    """A read-only mapping that hashes and pickles; iterates in the order of insertion."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any] | None = None) -> None:
        self._items: dict[str, Any] = dict(items) if items else {}

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FrozenMap):
            return self._items == other._items
        return self._items == other

    def __repr__(self) -> str:
        return f"FrozenMap({self._items!r})"

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, Any]]]:
        return type(self), (self._items,)


EMPTY_MAP = FrozenMap()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What cloudkit writes into each thing it creates, in the create request itself.

    Attributes:
        request: a UUID of the one create call; resolves a lost answer.
        scope: ``name/uuid/owner/expiry`` of the scope it belongs to, or None; see ``cloudkit.scopes``.
    """

    request: str
    scope: str | None = None


class ServerStatus(StrEnum):
    """Nova's server statuses (compute API reference, "Server status values")."""

    ACTIVE = "ACTIVE"
    BUILD = "BUILD"
    DELETED = "DELETED"
    ERROR = "ERROR"
    HARD_REBOOT = "HARD_REBOOT"
    MIGRATING = "MIGRATING"
    PASSWORD = "PASSWORD"
    PAUSED = "PAUSED"
    REBOOT = "REBOOT"
    REBUILD = "REBUILD"
    RESCUE = "RESCUE"
    RESIZE = "RESIZE"
    REVERT_RESIZE = "REVERT_RESIZE"
    SHELVED = "SHELVED"
    SHELVED_OFFLOADED = "SHELVED_OFFLOADED"
    SHUTOFF = "SHUTOFF"
    SOFT_DELETED = "SOFT_DELETED"
    SUSPENDED = "SUSPENDED"
    VERIFY_RESIZE = "VERIFY_RESIZE"
    UNKNOWN = "UNKNOWN"


class ImageStatus(StrEnum):
    """Glance's image statuses (image service, "Image statuses")."""

    QUEUED = "queued"
    SAVING = "saving"
    UPLOADING = "uploading"
    IMPORTING = "importing"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    KILLED = "killed"
    PENDING_DELETE = "pending_delete"
    DELETED = "deleted"
    UNKNOWN = "UNKNOWN"


class NetworkStatus(StrEnum):
    """Neutron's statuses of networks, ports, routers and floating IPs (networking API reference)."""

    ACTIVE = "ACTIVE"
    ALLOCATING = "ALLOCATING"
    BUILD = "BUILD"
    DOWN = "DOWN"
    ERROR = "ERROR"
    NOT_APPLICABLE = "N/A"
    UNKNOWN = "UNKNOWN"


class VolumeStatus(StrEnum):
    """Cinder's volume statuses (block storage API reference, "Volumes")."""

    CREATING = "creating"
    AVAILABLE = "available"
    RESERVED = "reserved"
    ATTACHING = "attaching"
    DETACHING = "detaching"
    IN_USE = "in-use"
    MAINTENANCE = "maintenance"
    DELETING = "deleting"
    AWAITING_TRANSFER = "awaiting-transfer"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"
    BACKING_UP = "backing-up"
    RESTORING_BACKUP = "restoring-backup"
    ERROR_BACKING_UP = "error_backing-up"
    ERROR_RESTORING = "error_restoring"
    ERROR_EXTENDING = "error_extending"
    DOWNLOADING = "downloading"
    UPLOADING = "uploading"
    RETYPING = "retyping"
    EXTENDING = "extending"
    UNKNOWN = "UNKNOWN"


class SnapshotStatus(StrEnum):
    """Cinder's snapshot statuses (block storage API reference, "Volume snapshots")."""

    CREATING = "creating"
    AVAILABLE = "available"
    BACKING_UP = "backing-up"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"
    RESTORING = "restoring"
    UNMANAGING = "unmanaging"
    UNKNOWN = "UNKNOWN"


class BackupStatus(StrEnum):
    """Cinder's backup statuses (block storage API reference, "Backups")."""

    CREATING = "creating"
    AVAILABLE = "available"
    RESTORING = "restoring"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"
    UNKNOWN = "UNKNOWN"


class Visibility(StrEnum):
    """Who sees a thing: its project, all projects, or those it is shared with."""

    PRIVATE = "private"
    PUBLIC = "public"
    SHARED = "shared"
    COMMUNITY = "community"


class MemberStatus(StrEnum):
    """What a project says to an image that is shared with it (image service, "Member status")."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What every value has.

    Attributes:
        id: opaque and unique within the cloud and kind; a key pair's is its name.
        cloud_id: which cloud it belongs to, so that a value of another cloud is refused.
        mark: cloudkit's own mark, where the thing was created through cloudkit.
    """

    kind: ClassVar[Kind]

    id: str
    name: str
    project_id: str
    cloud_id: str = field(repr=False)
    created_at: datetime
    updated_at: datetime | None = None
    description: str = ""
    mark: Mark | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a server went to ERROR, in the back-end's words."""

    message: str
    code: int = 500
    details: str = ""
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One IP address of a server. ``floating`` tells an address that is translated to a fixed one."""

    ip: str
    mac: str
    network_id: str
    port_id: str
    version: int = 4
    floating: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Server(Resource):
    """A virtual machine.

    Attributes:
        host_key: ``"ssh-ed25519 SHA256:..."``, the fingerprint of the SSH host key that cloudkit injected.
        security_groups: names, as Nova gives them.
        task: what the back-end is busy with on this server (Nova's task_state), or None.
    """

    kind: ClassVar[Kind] = Kind.SERVER

    status: ServerStatus
    native_status: str
    image_id: str | None = None
    flavor_id: str | None = None
    key_pair: str | None = None
    addresses: tuple[Address, ...] = ()
    security_groups: tuple[str, ...] = ()
    volume_ids: tuple[str, ...] = ()
    metadata: FrozenMap = EMPTY_MAP
    tags: tuple[str, ...] = ()
    availability_zone: str | None = None
    locked: bool = False
    fault: Fault | None = None
    host_key: str | None = None
    task: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor(Resource):
    """A size of servers. A ``disk_gib`` of 0 means: as large as the image."""

    kind: ClassVar[Kind] = Kind.FLAVOR

    vcpus: int
    ram_mib: int
    disk_gib: int
    visibility: Visibility = Visibility.PUBLIC
    extra_specs: FrozenMap = EMPTY_MAP


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair(Resource):
    """The public half of an SSH key. ``fingerprint`` is ``SHA256:...`` or, from older clouds, MD5 in hex."""

    kind: ClassVar[Kind] = Kind.KEY_PAIR

    public_key: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerGroup(Resource):
    """Servers to be placed together or apart; ``policy`` is one of Nova's four."""

    kind: ClassVar[Kind] = Kind.SERVER_GROUP

    policy: str
    server_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(Resource):
    """A disk image.

    Attributes:
        checksum: ``"sha512:<hex>"`` or another algorithm's, of the bytes that were uploaded.
        size_bytes: of the stored file; None until it is known.
        server_id: the server that it was made from, if any.
    """

    kind: ClassVar[Kind] = Kind.IMAGE

    status: ImageStatus
    native_status: str
    disk_format: str
    container_format: str = "bare"
    size_bytes: int | None = None
    virtual_size_bytes: int | None = None
    checksum: str | None = None
    min_disk_gib: int = 0
    min_ram_mib: int = 0
    visibility: Visibility = Visibility.PRIVATE
    protected: bool = False
    server_id: str | None = None
    metadata: FrozenMap = EMPTY_MAP
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMember:
    """A project that an image is shared with."""

    image_id: str
    project_id: str
    status: MemberStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Network(Resource):
    """A layer-2 network. ``external`` ones lead out of the cloud and give floating IPs.

    Attributes:
        vlan_id: its 802.1Q id outside of the host. None where it has none, or where the cloud shows it to
            administrators only.
    """

    kind: ClassVar[Kind] = Kind.NETWORK

    status: NetworkStatus
    native_status: str
    subnet_ids: tuple[str, ...] = ()
    external: bool = False
    shared: bool = False
    mtu: int | None = None
    tags: tuple[str, ...] = ()
    vlan_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet(Resource):
    """A range of addresses on a network.

    Attributes:
        allocation_pools: pairs of first and last address.
        ipv6_mode: how guests get IPv6 addresses: ``slaac``, ``dhcpv6-stateless``, ``dhcpv6-stateful``, or None.
        host_routes: pairs of destination and next hop, told to guests by DHCP.
    """

    kind: ClassVar[Kind] = Kind.SUBNET

    network_id: str
    cidr: str
    ip_version: int
    gateway_ip: str | None
    dns: tuple[str, ...] = ()
    dhcp: bool = True
    allocation_pools: tuple[tuple[str, str], ...] = ()
    ipv6_mode: str | None = None
    host_routes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedIp:
    """An address of a port and the subnet that it is from."""

    ip: str
    subnet_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subport:
    """A port that is reached through another one, a trunk, in packets that are tagged with a VLAN id (802.1Q)."""

    port_id: str
    vlan_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Port(Resource):
    """A plug on a network; ``device_id`` is the server or router in it, or an empty string.

    Attributes:
        subports: for a trunk, what else is reached through it, by ascending VLAN id; None for any other port. A port
            that is a subport itself has the ``device_owner`` ``trunk:subport``.
    """

    kind: ClassVar[Kind] = Kind.PORT

    network_id: str
    mac: str
    fixed_ips: tuple[FixedIp, ...]
    status: NetworkStatus
    native_status: str
    device_id: str = ""
    device_owner: str = ""
    security_group_ids: tuple[str, ...] = ()
    subports: tuple[Subport, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Router(Resource):
    """Joins networks, and leads out by ``external_network_id``."""

    kind: ClassVar[Kind] = Kind.ROUTER

    status: NetworkStatus
    native_status: str
    external_network_id: str | None = None
    external_ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatingIp(Resource):
    """An address of an external network; its ``name`` is the address."""

    kind: ClassVar[Kind] = Kind.FLOATING_IP

    ip: str
    external_network_id: str
    status: NetworkStatus
    native_status: str
    port_id: str | None = None
    fixed_ip: str | None = None
    router_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroupRule:
    """One thing that is allowed. ``None`` stands for any; ports are TCP/UDP ports, or ICMP type and code."""

    id: str
    direction: str
    ip_version: int = 4
    protocol: str | None = None
    port_min: int | None = None
    port_max: int | None = None
    remote_cidr: str | None = None
    remote_group_id: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroup(Resource):
    """A stateful filter: what no rule allows is dropped."""

    kind: ClassVar[Kind] = Kind.SECURITY_GROUP

    rules: tuple[SecurityGroupRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A volume in a server.

    Attributes:
        device_hint: where the guest probably shows it, as ``/dev/vdb``; the guest's kernel decides.
        serial: what the disk reports as its serial number, at most 20 characters with virtio: the sure way to
            find it (``/dev/disk/by-id/virtio-<serial>``).
        id: changes where the cloud plugs the volume in anew, as OpenStack does for ``revert_resize``.
    """

    id: str
    volume_id: str
    server_id: str
    device_hint: str
    serial: str
    attached_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Resource):
    """A block device that outlives servers.

    Attributes:
        image_id: the image that its first content came from, also by way of a snapshot, a volume or a backup.
        source_volume_id: the volume that it was cloned from.
    """

    kind: ClassVar[Kind] = Kind.VOLUME

    status: VolumeStatus
    native_status: str
    size_gib: int
    volume_type: str | None = None
    bootable: bool = False
    attachments: tuple[Attachment, ...] = ()
    image_id: str | None = None
    snapshot_id: str | None = None
    source_volume_id: str | None = None
    availability_zone: str | None = None
    metadata: FrozenMap = EMPTY_MAP


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeType:
    """Where volumes can be kept; ``default`` is taken where a create names none."""

    id: str
    name: str
    description: str = ""
    default: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Resource):
    """A volume's content at one moment."""

    kind: ClassVar[Kind] = Kind.SNAPSHOT

    status: SnapshotStatus
    native_status: str
    volume_id: str
    size_gib: int
    metadata: FrozenMap = EMPTY_MAP


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup(Resource):
    """A copy of a volume's content that outlives the volume.

    Attributes:
        volume_id: the volume that it was taken of, which may be gone.
        fault: why it failed.
    """

    kind: ClassVar[Kind] = Kind.BACKUP

    status: BackupStatus
    native_status: str
    volume_id: str
    size_gib: int
    metadata: FrozenMap = EMPTY_MAP
    fault: Fault | None = None


VALUE_TYPES: Mapping[Kind, type[Resource]] = {
    value_type.kind: value_type
    for value_type in (
        Server, Flavor, KeyPair, ServerGroup, Image, Network, Subnet, Port, Router, FloatingIp, SecurityGroup,
        Volume, Snapshot, Backup,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much of something a project may have (None: no limit) and has."""

    limit: int | None
    in_use: int


class SampleType(StrEnum):
    """Ceilometer's types of samples (its documentation, "Telemetry measurements")."""

    CUMULATIVE = "cumulative"
    """Grows since the server was powered on."""
    GAUGE = "gauge"
    """What it is at this moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One meter of a server, as Ceilometer names and counts it.

    Attributes:
        name: the meter, as ``"cpu"``, ``"memory.usage"`` or ``"disk.device.read.bytes"``.
        unit: of ``volume``: ns, vcpu, MB (of 1024² bytes), B, request, packet.
        resource_id: the server's id, with ``-vda`` or ``-tap…`` behind it where the meter is a device's.
    """

    name: str
    type: SampleType
    unit: str
    volume: int
    resource_id: str
    timestamp: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a server's port can be reached.

    Attributes:
        jump: an SSH destination (``user@host:port``) to go through.
        jump_key, jump_known_hosts: files of a private key and of host keys for the jump; None for those that the
            user's own ssh takes.
    """

    host: str
    port: int
    jump: str | None = None
    jump_key: str | None = None
    jump_known_hosts: str | None = None


# ---------------------------------------------------------------- what drivers receive: references are ids here


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What every create request has.

    Attributes:
        native: what is not portable, handed to the driver as it is; see each driver's page.
    """

    name: str
    mark: Mark
    description: str = ""
    native: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """A network interface asked for: a port that exists, or a network (and an address on it)."""

    network_id: str | None = None
    port_id: str | None = None
    fixed_ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec(Spec):
    """A server to create. ``inject_host_key`` None leaves it to the driver's own default."""

    image_id: str | None
    flavor_id: str
    nics: tuple[Nic, ...] = ()
    key_pair: str | None = None
    security_group_ids: tuple[str, ...] = ()
    user_data: bytes | None = field(default=None, repr=False)
    metadata: FrozenMap = EMPTY_MAP
    tags: tuple[str, ...] = ()
    availability_zone: str | None = None
    server_group_id: str | None = None
    boot_volume_id: str | None = None
    inject_host_key: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlavorSpec(Spec):
    """A flavor to create."""

    vcpus: int
    ram_mib: int
    disk_gib: int
    visibility: Visibility = Visibility.PUBLIC
    extra_specs: FrozenMap = EMPTY_MAP


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPairSpec(Spec):
    """A public key to import; ``fingerprint`` (``SHA256:...``) is already computed and checked."""

    public_key: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerGroupSpec(Spec):
    """A server group to create."""

    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec(Spec):
    """An image to create; its bytes come beside it."""

    disk_format: str
    container_format: str = "bare"
    min_disk_gib: int = 0
    min_ram_mib: int = 0
    visibility: Visibility = Visibility.PRIVATE
    protected: bool = False
    metadata: FrozenMap = EMPTY_MAP
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec(Spec):
    """A network to create, without subnets."""

    external: bool = False
    shared: bool = False
    mtu: int | None = None
    tags: tuple[str, ...] = ()
    vlan_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetSpec(Spec):
    """A subnet to create. ``gateway_ip`` is an address, None for no gateway, or "auto" for the first one."""

    network_id: str
    cidr: str
    ip_version: int
    gateway_ip: str | None = "auto"
    dns: tuple[str, ...] = ()
    dhcp: bool = True
    allocation_pools: tuple[tuple[str, str], ...] = ()
    ipv6_mode: str | None = None
    host_routes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedIpSpec:
    """An address asked for: on a subnet, or a given one, or both."""

    ip: str | None = None
    subnet_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortSpec(Spec):
    """A port to create; None for ``security_group_ids`` means the project's default group."""

    network_id: str
    fixed_ips: tuple[FixedIpSpec, ...] = ()
    mac: str | None = None
    security_group_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSpec(Spec):
    """A router to create, without interfaces."""

    external_network_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatingIpSpec(Spec):
    """A floating IP to allocate, associated with ``port_id`` from the start if that is given."""

    external_network_id: str
    port_id: str | None = None
    ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroupSpec(Spec):
    """A security group to create; the cloud adds its rules that let everything out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec:
    """A rule to add to a security group; see :class:`SecurityGroupRule`."""

    direction: str = "ingress"
    ip_version: int = 4
    protocol: str | None = None
    port_min: int | None = None
    port_max: int | None = None
    remote_cidr: str | None = None
    remote_group_id: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec(Spec):
    """A volume to create, empty or with the content of at most one of image, snapshot and volume."""

    size_gib: int
    volume_type: str | None = None
    image_id: str | None = None
    snapshot_id: str | None = None
    source_volume_id: str | None = None
    availability_zone: str | None = None
    metadata: FrozenMap = EMPTY_MAP


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSpec(Spec):
    """A snapshot to take; ``force`` allows it while the volume is attached."""

    volume_id: str
    force: bool = False
    metadata: FrozenMap = EMPTY_MAP


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSpec(Spec):
    """A backup to take; ``force`` allows it while the volume is attached."""

    volume_id: str
    force: bool = False
    metadata: FrozenMap = EMPTY_MAP
