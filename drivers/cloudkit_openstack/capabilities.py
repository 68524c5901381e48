"""What the driver offers: each of these is proven by the conformance suite on real services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

CAPABILITIES = frozenset(
    {
        "all_projects",
        "backups",
        "backups.create:force",
        "floating_ips",
        "floating_ips.create:ip",
        "images.create",
        "images.create:metadata",
        "images.create:protected",
        "images.create:tags",
        "images.download",
        "images.sharing",
        "images.update",
        "limits",
        "networks.create",
        "networks.create:external",
        "networks.create:mtu",
        "networks.create:shared",
        "networks.create:tags",
        "networks.create:vlan_id",
        "networks.update",
        "ports.create",
        "ports.create:mac",
        "ports.create:security_group_ids",
        "ports.subports",
        "routers",
        "security_groups",
        "server_groups",
        "servers.console_log",
        "servers.create:availability_zone",
        "servers.create:boot_volume_id",
        "servers.create:description",
        "servers.create:inject_host_key",
        "servers.create:metadata",
        "servers.create:security_group_ids",
        "servers.create:server_group_id",
        "servers.create:tags",
        "servers.create:user_data",
        "servers.create_image",
        "servers.interfaces",
        "servers.lock",
        "servers.pause",
        "servers.rebuild",
        "servers.rescue",
        "servers.resize",
        "servers.security_groups",
        "servers.shelve",
        "servers.ssh",
        "servers.suspend",
        "servers.update",
        "snapshots",
        "snapshots.create:force",
        "subnets.create",
        "subnets.create:allocation_pools",
        "subnets.create:host_routes",
        "subnets.create:ipv6_mode",
        "volumes.attach",
        "volumes.create:availability_zone",
        "volumes.create:image_id",
        "volumes.create:snapshot_id",
        "volumes.create:source_volume_id",
        "volumes.create:volume_type",
        "volumes.extend",
        "volumes.types",
        "volumes.update",
    }
)

ROUTER = "router"
TRUNK = "trunk-details"
"""Which shows a trunk at its port; it comes with the extension ``trunk``."""

_BY_EXTENSION: Mapping[str, frozenset[str]] = {
    ROUTER: frozenset({"routers", "floating_ips", "floating_ips.create:ip"}),
    "external-net": frozenset({"networks.create:external"}),
    "net-mtu-writable": frozenset({"networks.create:mtu"}),
    TRUNK: frozenset({"ports.subports"}),
    "provider": frozenset({"networks.create:vlan_id"}),
    "standard-attr-tag": frozenset({"networks.create:tags"}),
}
"""What needs an extension of Neutron's that not every cloud has."""


def offered(extensions: Iterable[str]) -> frozenset[str]:
    """What a cloud offers whose Neutron has these extensions."""
    missing = (_BY_EXTENSION[name] for name in _BY_EXTENSION.keys() - set(extensions))
    return CAPABILITIES.difference(*missing)
