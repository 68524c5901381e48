"""When a port can be reached through another one: the same for all drivers that have trunks."""

from __future__ import annotations

from collections.abc import Iterable

from cloudkit.errors import Conflict, InUse, InvalidState
from cloudkit.types import Port, Subport

SUBPORT_OWNER = "trunk:subport"
"""The ``device_owner`` of a subport: Neutron's (neutron_lib.services.trunk.constants)."""


def by_vlan_id(subports: Iterable[Subport]) -> tuple[Subport, ...]:
    """In the order in which a port shows them."""
    return tuple(sorted(subports, key=lambda subport: subport.vlan_id))


def check_subport(driver: str, trunk: Port, port: Port, vlan_id: int) -> None:
    """Raise what ``driver.Subports`` says of a port that cannot be made a subport of ``trunk``."""
    if trunk.device_owner == SUBPORT_OWNER:
        raise InUse("the port is a subport itself", driver=driver, resource=trunk)
    if port.device_owner == SUBPORT_OWNER:
        raise InUse(f"the port {port.name!r} is a subport already", driver=driver, resource=port)
    if port.device_id:
        raise InUse(f"the port {port.name!r} is in use by {port.device_id}", driver=driver, resource=port)
    if port.subports is not None:
        raise InUse(f"the port {port.name!r} is a trunk itself", driver=driver, resource=port)
    if any(subport.vlan_id == vlan_id for subport in trunk.subports or ()):
        raise Conflict(f"another subport has the VLAN id {vlan_id}", driver=driver, resource=trunk)
    if trunk.device_id and trunk.subports is None:
        raise InvalidState(
            "a server has the port, and it is no trunk",
            driver=driver,
            resource=trunk,
            hint="Add the first subport before a server takes the port.",
        )


def check_is_subport(driver: str, trunk: Port, port_id: str) -> None:
    """Raise InvalidState for a port that is not reached through ``trunk``."""
    if not any(subport.port_id == port_id for subport in trunk.subports or ()):
        raise InvalidState("the port is no subport of this one", driver=driver, resource=port_id)


def check_mtu(driver: str, trunk_mtu: int | None, subport_mtu: int | None) -> None:
    """Raise Conflict where a subport's network has larger packets than its trunk's, as Neutron does."""
    if trunk_mtu is not None and subport_mtu is not None and subport_mtu > trunk_mtu:
        raise Conflict(
            f"packets of the subport's network have up to {subport_mtu} bytes, and those of the trunk's {trunk_mtu}",
            driver=driver,
        )
