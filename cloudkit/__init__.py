"""One cloud API over a local libvirt host, OpenStack, and an in-memory fake that behave the same.

    import cloudkit

    with cloudkit.connect("fake://") as cloud:
        network = cloud.networks.create("private", cidr="172.16.1.0/24")

Names are loaded when they are used first, so that importing this costs next to nothing.
"""

# Type checkers take the name for typing's; importing that would cost more than all the rest here.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from cloudkit._cloud import Cloud as Cloud
    from cloudkit._cloud import Scope as Scope
    from cloudkit._cloud import connect as connect
    from cloudkit._console import Console as Console
    from cloudkit._scope_mark import ScopeInfo as ScopeInfo
    from cloudkit._sweep import Leftover as Leftover
    from cloudkit.errors import AlreadyExists as AlreadyExists
    from cloudkit.errors import AmbiguousName as AmbiguousName
    from cloudkit.errors import BatchFailed as BatchFailed
    from cloudkit.errors import Busy as Busy
    from cloudkit.errors import Closed as Closed
    from cloudkit.errors import CloudError as CloudError
    from cloudkit.errors import CommandFailed as CommandFailed
    from cloudkit.errors import ConfigError as ConfigError
    from cloudkit.errors import Conflict as Conflict
    from cloudkit.errors import HostKeyChanged as HostKeyChanged
    from cloudkit.errors import HostKeyUnknown as HostKeyUnknown
    from cloudkit.errors import InUse as InUse
    from cloudkit.errors import InvalidRequest as InvalidRequest
    from cloudkit.errors import InvalidState as InvalidState
    from cloudkit.errors import MissingExtra as MissingExtra
    from cloudkit.errors import NotFound as NotFound
    from cloudkit.errors import PermissionDenied as PermissionDenied
    from cloudkit.errors import QuotaExceeded as QuotaExceeded
    from cloudkit.errors import RateLimited as RateLimited
    from cloudkit.errors import ResourceFailed as ResourceFailed
    from cloudkit.errors import SshAuthFailed as SshAuthFailed
    from cloudkit.errors import SshError as SshError
    from cloudkit.errors import Unauthenticated as Unauthenticated
    from cloudkit.errors import Unavailable as Unavailable
    from cloudkit.errors import Unsupported as Unsupported
    from cloudkit.errors import WaitTimeout as WaitTimeout
    from cloudkit.ssh import CommandResult as CommandResult
    from cloudkit.ssh import Shell as Shell
    from cloudkit.types import Address as Address
    from cloudkit.types import Attachment as Attachment
    from cloudkit.types import Backup as Backup
    from cloudkit.types import BackupStatus as BackupStatus
    from cloudkit.types import Endpoint as Endpoint
    from cloudkit.types import Fault as Fault
    from cloudkit.types import FixedIp as FixedIp
    from cloudkit.types import FixedIpSpec as FixedIpSpec
    from cloudkit.types import Flavor as Flavor
    from cloudkit.types import FloatingIp as FloatingIp
    from cloudkit.types import FrozenMap as FrozenMap
    from cloudkit.types import Image as Image
    from cloudkit.types import ImageMember as ImageMember
    from cloudkit.types import ImageStatus as ImageStatus
    from cloudkit.types import KeyPair as KeyPair
    from cloudkit.types import Kind as Kind
    from cloudkit.types import MemberStatus as MemberStatus
    from cloudkit.types import Network as Network
    from cloudkit.types import NetworkStatus as NetworkStatus
    from cloudkit.types import Nic as Nic
    from cloudkit.types import Port as Port
    from cloudkit.types import Quota as Quota
    from cloudkit.types import Resource as Resource
    from cloudkit.types import Router as Router
    from cloudkit.types import Sample as Sample
    from cloudkit.types import SampleType as SampleType
    from cloudkit.types import SecurityGroup as SecurityGroup
    from cloudkit.types import SecurityGroupRule as SecurityGroupRule
    from cloudkit.types import Server as Server
    from cloudkit.types import ServerGroup as ServerGroup
    from cloudkit.types import ServerStatus as ServerStatus
    from cloudkit.types import Snapshot as Snapshot
    from cloudkit.types import SnapshotStatus as SnapshotStatus
    from cloudkit.types import Subnet as Subnet
    from cloudkit.types import Subport as Subport
    from cloudkit.types import Visibility as Visibility
    from cloudkit.types import Volume as Volume
    from cloudkit.types import VolumeStatus as VolumeStatus
    from cloudkit.types import VolumeType as VolumeType

_HOMES = {
    "cloudkit._cloud": ("connect", "Cloud", "Scope"),
    "cloudkit._console": ("Console",),
    "cloudkit._scope_mark": ("ScopeInfo",),
    "cloudkit._sweep": ("Leftover",),
    "cloudkit.ssh": ("CommandResult", "Shell"),
    "cloudkit.errors": (
        "CloudError", "NotFound", "AmbiguousName", "Conflict", "AlreadyExists", "InUse", "InvalidState", "Busy",
        "InvalidRequest", "Unauthenticated", "PermissionDenied", "QuotaExceeded", "RateLimited", "Unsupported",
        "Unavailable", "WaitTimeout", "ResourceFailed", "BatchFailed", "ConfigError", "MissingExtra", "SshError",
        "HostKeyUnknown", "HostKeyChanged", "SshAuthFailed", "CommandFailed", "Closed",
    ),
    "cloudkit.types": (
        "Resource", "Server", "Flavor", "KeyPair", "ServerGroup", "Image", "Network", "Subnet", "Port", "Router",
        "FloatingIp", "SecurityGroup", "SecurityGroupRule", "Volume", "VolumeType", "Snapshot", "Backup",
        "Attachment", "Address", "FixedIp", "Subport", "Fault", "Quota", "Endpoint", "Nic", "FixedIpSpec",
        "FrozenMap", "Kind", "Sample", "SampleType",
        "ServerStatus", "ImageStatus", "NetworkStatus", "VolumeStatus", "SnapshotStatus", "BackupStatus",
        "Visibility", "ImageMember", "MemberStatus",
    ),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'cloudkit' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
