"""What each of our own back-ends must declare, and what it cannot have: declaring less fails its conformance run."""

from cloudkit.driver import CAPABILITIES

_EVERYWHERE = frozenset(
    {
        "networks.create",
        "subnets.create",
        "ports.create",
        "servers.pause",
        "servers.suspend",
        "servers.shelve",
        "servers.lock",
        "servers.rebuild",
        "servers.rescue",
        "servers.resize",
        "servers.update",
        "server_groups",
        "servers.create:availability_zone",
        "servers.create:boot_volume_id",
        "servers.create:description",
        "servers.create:metadata",
        "servers.create:server_group_id",
        "servers.create:tags",
        "servers.create:user_data",
        "snapshots",
        "volumes.types",
        "volumes.update",
        "volumes.create:availability_zone",
        "volumes.create:image_id",
        "volumes.create:snapshot_id",
        "volumes.create:source_volume_id",
        "volumes.create:volume_type",
        "limits",
        "all_projects",
    }
)
_WITH_GUESTS = frozenset(
    {
        "servers.console_log",
        "servers.ssh",
        "servers.create_image",
        "servers.create:inject_host_key",
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
    }
)
_ROUTED = frozenset(
    {
        "routers",
        "floating_ips",
        "security_groups",
        "servers.security_groups",
        "servers.interfaces",
        "servers.create:security_group_ids",
        "ports.create:security_group_ids",
        "subnets.create:host_routes",
        "subnets.create:ipv6_mode",
        "networks.create:vlan_id",
        "ports.subports",
    }
)
_BACKED_UP = frozenset({"backups"})
_BACKED_UP_LIVE = frozenset({"backups.create:force"})
_WATCHED = frozenset({"servers.console", "servers.samples"})
# An ordinary user may make no bridges.
_BRIDGED = frozenset({"networks.create", "subnets.create", "ports.create"})

FLOOR = {
    "fake": CAPABILITIES,
    "libvirt system": _EVERYWHERE | _WITH_GUESTS | _ROUTED | _WATCHED | _BACKED_UP | _BACKED_UP_LIVE,
    "libvirt session": (_EVERYWHERE | _WITH_GUESTS | _WATCHED | _BACKED_UP | _BACKED_UP_LIVE) - _BRIDGED,
    "libvirt test": _EVERYWHERE | _BACKED_UP,
    "OpenStack": _EVERYWHERE | _WITH_GUESTS | _ROUTED | _BACKED_UP | _BACKED_UP_LIVE,
}

NEVER = {
    "libvirt session": _BRIDGED | _ROUTED,
    # A simulated machine has no guest, and its volumes hold no bytes.
    "libvirt test": (_WITH_GUESTS | _WATCHED | _BACKED_UP_LIVE) - {"servers.create:inject_host_key"},
}
