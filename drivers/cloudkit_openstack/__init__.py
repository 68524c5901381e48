"""The OpenStack driver: one project in one region of an OpenStack cloud.

This module is what the entry point names; it loads openstacksdk only when a cloud is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudkit.driver import DRIVER_API, DriverPlugin, Option

if TYPE_CHECKING:
    from cloudkit.driver import Driver, OpenRequest

INTERFACES = ("public", "internal", "admin")


def _open(request: OpenRequest) -> Driver:
    from cloudkit_openstack.opening import open_driver

    return open_driver(request)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("text is expected")
    return value


def _interface(value: Any) -> str:
    if value not in INTERFACES:
        raise ValueError(f"it must be one of {', '.join(INTERFACES)}")
    return str(value)


PLUGIN = DriverPlugin(
    name="openstack",
    api=DRIVER_API,
    open=_open,
    options=(
        Option("region", "the region, where clouds.yaml does not say it", _text),
        Option("interface", "which endpoints of the catalog: public, internal or admin", _interface),
        Option("password", "the password, where neither clouds.yaml nor secure.yaml has it", _text),
        Option("physical_network", "the physical network of Neutron that networks with a vlan_id are on", _text),
    ),
    extra="openstack",
    requires=("openstack", "msgspec"),
    story={"user": "cirros", "flavor": "m1.tiny", "external_network": "public"},
)
