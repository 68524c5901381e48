"""What the records hold, one class a kind of thing.

A body is written whole and never changed; a field that is added later needs a default, so that older records
stay readable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Any, ClassVar

from cloudkit.types import EMPTY_MAP, FrozenMap, Kind, Mark, MemberStatus, Spec, Visibility
from cloudkit_libvirt import DEFAULT_TYPE

_FILE = re.compile(r"|\.[0-9a-f]{8}")


class Phase(StrEnum):
    """How far a thing has come; every phase but READY may be what a crash has left."""

    CREATING = "creating"
    READY = "ready"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What every record has. Times are ISO 8601 in UTC; ``request`` and ``scope`` are cloudkit's mark."""

    kind: ClassVar[Kind]

    phase: Phase
    project_id: str
    name: str
    created_at: str
    updated_at: str | None = None
    description: str = ""
    request: str | None = None
    scope: str | None = None

    def __post_init__(self) -> None:
        """Refuse what other code relies on; records may come from anywhere."""
        for text in filter(None, (self.created_at, self.updated_at)):
            if datetime.fromisoformat(text).tzinfo is None:
                raise ValueError("a time has no zone")

    @property
    def public(self) -> bool:
        """Whether all projects see it."""
        return False

    def visible_to(self, project_id: str) -> bool:
        """Whether a project can use it by its id."""
        return self.public or project_id == self.project_id

    def listed_for(self, project_id: str) -> bool:
        """Whether a project's list shows it."""
        return self.visible_to(project_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlavorBody(Body):
    """A flavor."""

    kind: ClassVar[Kind] = Kind.FLAVOR

    vcpus: int
    ram_mib: int
    disk_gib: int
    visibility: Visibility = Visibility.PUBLIC
    extra_specs: FrozenMap = EMPTY_MAP

    @property
    def public(self) -> bool:
        """Whether all projects see it."""
        return self.visibility is Visibility.PUBLIC


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPairBody(Body):
    """A key pair."""

    kind: ClassVar[Kind] = Kind.KEY_PAIR

    public_key: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBody(Body):
    """An image; sizes are 0 until they are known.

    Attributes:
        members: project → its answer, where it is shared.
        has_base: servers' disks are built on a converted copy, and not on the volume that holds the image's bytes.
    """

    kind: ClassVar[Kind] = Kind.IMAGE

    disk_format: str
    container_format: str = "bare"
    size_bytes: int = 0
    virtual_size_bytes: int = 0
    checksum: str | None = None
    min_disk_gib: int = 0
    min_ram_mib: int = 0
    visibility: Visibility = Visibility.PRIVATE
    server_id: str | None = None
    metadata: FrozenMap = EMPTY_MAP
    tags: tuple[str, ...] = ()
    has_base: bool = False
    protected: bool = False
    members: FrozenMap = EMPTY_MAP

    def __post_init__(self) -> None:
        """See Body."""
        Body.__post_init__(self)
        for status in self.members.values():
            MemberStatus(status)

    @property
    def public(self) -> bool:
        """Whether all projects see it."""
        return self.visibility is Visibility.PUBLIC

    def visible_to(self, project_id: str) -> bool:
        """Whether a project can use it by its id."""
        if project_id == self.project_id or self.visibility in (Visibility.PUBLIC, Visibility.COMMUNITY):
            return True
        return self.visibility is Visibility.SHARED and project_id in self.members

    def listed_for(self, project_id: str) -> bool:
        """Whether a project's list shows it: not what it was only offered."""
        if self.visibility is Visibility.SHARED and project_id != self.project_id:
            return self.members.get(project_id) == MemberStatus.ACCEPTED
        return self.public or project_id == self.project_id


DEFAULT_MTU = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkBody(Body):
    """A network; libvirt knows of it once it has a subnet."""

    kind: ClassVar[Kind] = Kind.NETWORK

    mtu: int | None = None
    tags: tuple[str, ...] = ()
    external: bool = False
    shared: bool = False
    vlan_id: int | None = None

    @property
    def public(self) -> bool:
        """Whether all projects see it."""
        return self.external or self.shared

    @property
    def packet_size(self) -> int:
        """The MTU that is meant."""
        return self.mtu or DEFAULT_MTU


class Forward(StrEnum):
    """Where a subnet's packets may go: out by libvirt's NAT, where our own rules let them, or it is the outside."""

    NAT = "nat"
    OPEN = "open"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetBody(Body):
    """A subnet.

    Attributes:
        bridge_ip: the host's own address in it, which is the gateway's unless there is none.
        mac_offset: what is added to the numbers of its MACs, so that no two subnets of a network have the same.
    """

    kind: ClassVar[Kind] = Kind.SUBNET

    network_id: str
    cidr: str
    bridge_ip: str
    gateway_ip: str | None
    pools: tuple[tuple[str, str], ...]
    dns: tuple[str, ...] = ()
    dhcp: bool = True
    forward: Forward = Forward.NAT
    shared: bool = False
    ipv6_mode: str | None = None
    host_routes: tuple[tuple[str, str], ...] = ()
    mac_offset: int = 0

    @property
    def public(self) -> bool:
        """Whether all projects see it, as they see its network."""
        return self.shared

    def __post_init__(self) -> None:
        """See Body."""
        Body.__post_init__(self)
        version = ip_network(self.cidr).version
        for text in (self.bridge_ip, *(end for pool in self.pools for end in pool)):
            if ip_address(text).version != version:
                raise ValueError("an address of a subnet is of another IP version")
        for destination, hop in self.host_routes:
            if ip_network(destination).version != version or ip_address(hop).version != version:
                raise ValueError("a route of a subnet is of another IP version")

    @property
    def version(self) -> int:
        """4 or 6."""
        return ip_network(self.cidr).version


@dataclass(frozen=True, slots=True, kw_only=True)
class PortBody(Body):
    """A port.

    Attributes:
        owned: made for a server, and deleted with it.
        ip, subnet_id: its IPv4 address.
        ip6, subnet6_id: its IPv6 address.
        own_lease: libvirt's network got a reservation for this port alone; see ``addresses``.
        own_mac: the MAC was asked for, so that it is claimed.
        device_owner: what kind of thing has it, where that is no server.
        group_ids: the security groups that filter it; None where nothing filters.
        trunk: other ports can be reached through it.
        vlan_id: for a port that is reached through another one, which ``device_id`` names then.
    """

    kind: ClassVar[Kind] = Kind.PORT

    network_id: str
    subnet_id: str | None
    mac: str
    ip: str | None
    device_id: str = ""
    owned: bool = False
    own_lease: bool = False
    own_mac: bool = False
    device_owner: str = ""
    group_ids: tuple[str, ...] | None = None
    ip6: str | None = None
    subnet6_id: str | None = None
    trunk: bool = False
    vlan_id: int | None = None

    @property
    def taken_ip(self) -> str | None:
        """Its IPv4 address; while it is being made, ``ip`` is only what it tries for, and may be another's."""
        return None if self.phase is Phase.CREATING else self.ip

    @property
    def taken(self) -> tuple[tuple[str, str], ...]:
        """Address and subnet, of both IP versions."""
        if self.phase is Phase.CREATING:
            return ()
        pairs = ((self.ip, self.subnet_id), (self.ip6, self.subnet6_id))
        return tuple((ip, subnet_id) for ip, subnet_id in pairs if ip is not None and subnet_id is not None)

    @property
    def subnet_ids(self) -> tuple[str, ...]:
        """The subnets that it has an address of, or tries for one."""
        return tuple(id for id in (self.subnet_id, self.subnet6_id) if id is not None)


class Step(StrEnum):
    """What a server is in the middle of, or waits in.

    It waits in RESIZED, RESCUED and SHELVED; all others may be what a crash has left.
    """

    RESIZING = "resizing"
    RESIZED = "resized"
    REVERTING = "reverting"
    REBUILDING = "rebuilding"
    RESCUING = "rescuing"
    RESCUED = "rescued"
    UNRESCUING = "unrescuing"
    SHELVING = "shelving"
    SHELVED = "shelved"
    UNSHELVING = "unshelving"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a flavor makes of a server."""

    flavor_id: str
    vcpus: int
    ram_mib: int
    disk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerBody(Body):
    """A server.

    Attributes:
        image_id: what its root disk is built on; None where it boots from a volume.
        vcpus, ram_mib, disk_bytes: the flavor's when the server was made; the flavor may be gone since.
        port_ids: in the order of the interfaces, written before any of them is made.
        host_key: the fingerprint of the host key that the guest has now.
        secret_extent: offset and length of the private host key's first file on the seed disk, while it is there.
        key_extents: of all such files, for good: another key can be written there.
        layers: how many overlays its root disk consists of; the guest writes to the last.
        runs_after: whether it is to run once the step has ended.
        before: its size before a resize that is not confirmed yet.
        rescue_image_id: what its rescue disk is built on.
        own_host_key: the host key of its own root disk, while it is rescued.
    """

    kind: ClassVar[Kind] = Kind.SERVER

    image_id: str | None
    flavor_id: str
    vcpus: int
    ram_mib: int
    disk_bytes: int
    port_ids: tuple[str, ...]
    key_pair: str | None = None
    metadata: FrozenMap = EMPTY_MAP
    tags: tuple[str, ...] = ()
    host_key: str | None = None
    secret_extent: tuple[int, int] | None = None
    key_extents: tuple[tuple[int, int], ...] = ()
    locked: bool = False
    boot_volume_id: str | None = None
    server_group_id: str | None = None
    layers: int = 1
    step: Step | None = None
    runs_after: bool = True
    before: Size | None = None
    rescue_image_id: str | None = None
    own_host_key: str | None = None

    @property
    def size(self) -> Size:
        """Its size now."""
        return Size(flavor_id=self.flavor_id, vcpus=self.vcpus, ram_mib=self.ram_mib, disk_bytes=self.disk_bytes)

    @property
    def key_place(self) -> tuple[int, int] | None:
        """What ``secret_extent`` is when a host key has been written."""
        return self.key_extents[0] if self.key_extents else None

    @property
    def image_ids(self) -> frozenset[str]:
        """The images that its disks are built on."""
        return frozenset(id for id in (self.image_id, self.rescue_image_id) if id is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerGroupBody(Body):
    """A server group; its members are told by the servers' records."""

    kind: ClassVar[Kind] = Kind.SERVER_GROUP

    policy: str


class PlugPhase(StrEnum):
    """How far a volume is plugged in."""

    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHING = "detaching"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plug:
    """Where a volume is plugged in."""

    phase: PlugPhase
    server_id: str
    device: str | None
    since: str

    @property
    def slot(self) -> tuple[str, str]:
        """The server, and the name of the disk in it."""
        return self.server_id, self.device or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """A backup that is being written to a new file of a volume."""

    backup_id: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeBody(Body):
    """A volume.

    Attributes:
        pool: the name of libvirt's pool that it is in; None for the one that has the records.
        file: the end of its storage volume's name; another one after each restore.
        growing_gib: what it is being extended to.
    """

    kind: ClassVar[Kind] = Kind.VOLUME

    size_gib: int
    volume_type: str = DEFAULT_TYPE
    pool: str | None = None
    file: str = ""
    bootable: bool = False
    image_id: str | None = None
    snapshot_id: str | None = None
    source_volume_id: str | None = None
    metadata: FrozenMap = EMPTY_MAP
    plug: Plug | None = None
    restore: Restore | None = None
    growing_gib: int | None = None

    def __post_init__(self) -> None:
        """See Body."""
        Body.__post_init__(self)
        for file in (self.file, self.restore.file if self.restore else ""):
            if not _FILE.fullmatch(file):
                raise ValueError(f"{file!r} is no end of a volume's name")


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotBody(Body):
    """A snapshot: a whole copy of a volume, in the same pool."""

    kind: ClassVar[Kind] = Kind.SNAPSHOT

    volume_id: str
    size_gib: int
    pool: str | None = None
    metadata: FrozenMap = EMPTY_MAP


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupBody(Body):
    """A backup: a whole copy of a volume, and what the volume was, which may be gone."""

    kind: ClassVar[Kind] = Kind.BACKUP

    volume_id: str
    size_gib: int
    pool: str | None = None
    bootable: bool = False
    image_id: str | None = None
    metadata: FrozenMap = EMPTY_MAP


def now_text() -> str:
    """The time as records hold it."""
    return datetime.now(UTC).isoformat()


def common_of(spec: Spec, project_id: str) -> dict[str, Any]:
    """The fields of a new body that every spec gives."""
    return {
        "phase": Phase.CREATING,
        "project_id": project_id,
        "name": spec.name,
        "created_at": now_text(),
        "description": spec.description,
        "request": spec.mark.request,
        "scope": spec.mark.scope,
    }


def resource_fields(id: str, body: Body, cloud_id: str) -> dict[str, Any]:
    """The fields that every value has."""
    return {
        "id": id,
        "name": body.name,
        "project_id": body.project_id,
        "cloud_id": cloud_id,
        "created_at": datetime.fromisoformat(body.created_at),
        "updated_at": datetime.fromisoformat(body.updated_at) if body.updated_at else None,
        "description": body.description,
        "mark": Mark(request=body.request, scope=body.scope) if body.request else None,
    }
