"""The libvirt driver: servers, networks and volumes on one libvirt host, with libvirt as the only database.

This module is what the entry point names; it loads neither libvirt nor anything else before ``open`` is called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from cloudkit.driver import DRIVER_API, DriverPlugin, Option

DEFAULT_TYPE = "default"
"""The volume type that is there without being set."""

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from cloudkit.driver import Driver, HostUpkeep, OpenRequest
    from cloudkit.host import Check, Need


def _open(request: OpenRequest) -> Driver:
    from cloudkit_libvirt.driver import open_driver

    return open_driver(request)


def _host_needs(request: OpenRequest) -> Collection[Need]:
    from cloudkit_libvirt.needs import host_needs

    return host_needs(request)


def _examine(request: OpenRequest) -> Iterable[Check]:
    from cloudkit_libvirt.doctor import examine

    return examine(request)


def _host_upkeep(request: OpenRequest) -> HostUpkeep:
    from cloudkit_libvirt.host_upkeep import LibvirtHost

    return LibvirtHost(request)


def _virt_type(value: Any) -> str:
    if value not in ("auto", "kvm", "qemu"):
        raise ValueError("it must be auto, kvm or qemu")
    return str(value)


def _switch(value: Any) -> str:
    if value not in ("auto", "on", "off"):
        raise ValueError("it must be auto, on or off")
    return str(value)


def _cidr(value: Any) -> str:
    if value == "":
        return ""
    from ipaddress import IPv4Network

    return str(IPv4Network(value))


def _yes_or_no(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise ValueError("it must be true or false")
    return bool(value == "true")


def _pool_name(value: Any) -> str:
    if not isinstance(value, str) or not value or "/" in value:
        raise ValueError("it must be a name without a slash")
    return value


def _bridge_name(value: Any) -> str:
    # The kernel has a device of the same name.
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,14}", value):
        raise ValueError("it must be the name of a network device")
    return value


def _addresses(value: Any) -> tuple[str, ...]:
    from ipaddress import ip_address

    if isinstance(value, str):
        value = list(filter(None, value.split(",")))
    if not isinstance(value, (list, tuple)):
        raise ValueError("it must be as 192.0.2.1,192.0.2.2")
    given = cast("Sequence[Any]", value)
    return tuple(str(ip_address(str(item).strip())) for item in given)


def _other_pool(value: Any) -> str | None:
    return None if value is None else _pool_name(value)


def _volume_types(value: Any) -> Mapping[str, str]:
    if isinstance(value, str):
        pairs = [item.partition("=") for item in filter(None, value.split(","))]
        value = {name.strip(): pool.strip() for name, _, pool in pairs}
    if not hasattr(value, "items"):
        raise ValueError("it must be as ssd=fast,archive=slow")
    given: Mapping[Any, Any] = value
    for name, pool in given.items():
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise ValueError(f"{name!r} is no name of a type")
        if name == DEFAULT_TYPE:
            raise ValueError(f"{name!r} is the type of volumes in the main pool")
        try:
            _pool_name(pool)
        except ValueError as error:
            raise ValueError(f"the pool of {name!r}: {error}") from None
    return dict(given)


def _absolute_path(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("it must be an absolute path on the libvirt host")
    return value


def _gib(value: Any) -> int:
    size = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 1 << 16:
        raise ValueError("it must be a whole number from 1 to 65536")
    return size


# Keys that libvirt's own URIs take; see "Remote URI reference" in libvirt's documentation.
_URI_KEYS = (
    "authfile",
    "auto",
    "command",
    "keyfile",
    "known_hosts",
    "known_hosts_verify",
    "mode",
    "name",
    "netcat",
    "no_sanity",
    "no_tty",
    "no_verify",
    "pkipath",
    "proxy",
    "socket",
    "sshauth",
    "tls_priority",
)

PLUGIN = DriverPlugin(
    name="libvirt",
    api=DRIVER_API,
    open=_open,
    options=(
        Option("uri", "libvirt's connection URI, where the URL's address does not say it"),
        Option("read_only", "true: things are looked at and never changed", parse=_yes_or_no, default=False),
        Option("pool", "name of the storage pool that holds all", parse=_pool_name, default="cloudkit"),
        Option(
            "pool_path",
            "the pool's folder on the libvirt host, used when the pool is made; by default "
            "/var/lib/libvirt/cloudkit, for qemu:///session cloudkit/libvirt in the user's data folder",
            parse=_absolute_path,
        ),
        Option(
            "host_network",
            "routers, floating IPs and security groups by rules on the libvirt host: auto, on or off",
            parse=_switch,
            default="auto",
        ),
        Option(
            "vlan_switch",
            "the Open vSwitch bridge that networks with a vlan_id are joined to; made if it is not there",
            parse=_bridge_name,
            default="cloudkit",
        ),
        Option(
            "vxlan_peers",
            "addresses of other hosts, as 192.0.2.1,192.0.2.2, whose VLANs are joined with this one's by VXLAN",
            parse=_addresses,
            default=(),
        ),
        Option(
            "external_cidr",
            "addresses of the external network that is made where there is none; empty for none",
            parse=_cidr,
            default="172.24.4.0/24",
        ),
        Option(
            "resume_servers",
            "true: a server that was not stopped or suspended starts again when its host has booted",
            parse=_yes_or_no,
            default=False,
        ),
        Option("volume_types", "volume types and their pools, as ssd=fast,archive=slow", _volume_types, {}),
        Option("backup_pool", "name of the pool that holds backups; by default the one that holds all", _other_pool),
        Option("virt_type", "auto, kvm, or qemu for emulation", parse=_virt_type, default="auto"),
        Option("max_image_gib", "the largest disk that an image may be", parse=_gib, default=2048),
    ),
    extra="libvirt",
    requires=("libvirt", "pycdlib", "cryptography"),
    address_query=_URI_KEYS,
    # The guest's image has no default: it must come from the profile.
    story={"user": "root", "image": None},
    host_needs=_host_needs,
    examine=_examine,
    host_upkeep=_host_upkeep,
)
