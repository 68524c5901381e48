"""What a server shows of other things: its addresses, volumes and security groups; and what vanishes with it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from cloudkit.types import Address, FloatingIp, Kind, NetworkStatus, Port, Server, Volume, VolumeStatus

if TYPE_CHECKING:
    from cloudkit_fake.cloud import FakeCloud
    from cloudkit_fake.state import State

COMPUTE_OWNER = "compute:nova"
KEPT_FOR = "kept_for"
"""Among the secrets of a volume: the shelved server that it is reserved for."""


def refresh_server(state: State, server_id: str) -> None:
    """Bring what is derived up to date; harmless where there is no such server."""
    server: Server | None = state.find(Kind.SERVER, server_id)
    if server is None:
        return
    ports = [state.get(Kind.PORT, id) for id in state.plugged.get(server_id, ())]
    group_ids = dict.fromkeys(id for port in ports for id in port.security_group_ids)
    groups = (state.find(Kind.SECURITY_GROUP, id) for id in group_ids)
    state.update(
        Kind.SERVER,
        server_id,
        addresses=tuple(address for port in ports for address in _addresses(state, port)),
        security_groups=tuple(group.name for group in groups if group is not None),
        volume_ids=tuple(
            volume.id
            for volume in state.all(Kind.VOLUME)
            if any(attachment.server_id == server_id for attachment in volume.attachments)
            or state.secrets.get(volume.id, {}).get(KEPT_FOR) == server_id
        ),
    )


def _addresses(state: State, port: Port) -> list[Address]:
    found = [
        Address(
            ip=fixed.ip,
            mac=port.mac,
            network_id=port.network_id,
            port_id=port.id,
            version=ip_address(fixed.ip).version,
        )
        for fixed in port.fixed_ips
    ]
    floating: list[FloatingIp] = [each for each in state.all(Kind.FLOATING_IP) if each.port_id == port.id]
    return found + [
        Address(ip=each.ip, mac=port.mac, network_id=port.network_id, port_id=port.id, floating=True)
        for each in floating
    ]


def free_floating_ips(state: State, port_id: str) -> None:
    """Floating IPs of a port that goes stay, and lead nowhere."""
    for floating_ip in state.all(Kind.FLOATING_IP):
        if floating_ip.port_id == port_id:
            state.update(
                Kind.FLOATING_IP,
                floating_ip.id,
                port_id=None,
                fixed_ip=None,
                router_id=None,
                status=NetworkStatus.DOWN,
                native_status=NetworkStatus.DOWN.value,
            )


def release_port(state: State, port: Port) -> None:
    """Take a port from a server: one that was made for it goes, another one stays and is free."""
    if state.secrets.get(port.id, {}).get("owned"):
        free_floating_ips(state, port.id)
        state.remove(Kind.PORT, port.id)
    else:
        set_free(state, port.id)


def set_free(state: State, port_id: str) -> None:
    """Nothing has the port any longer."""
    down = NetworkStatus.DOWN
    state.update(Kind.PORT, port_id, device_id="", device_owner="", status=down, native_status=down.value)


def release_volume(state: State, volume: Volume, server_id: str) -> None:
    """Take a volume from a server."""
    left = tuple(each for each in volume.attachments if each.server_id != server_id)
    status = VolumeStatus.IN_USE if left else VolumeStatus.AVAILABLE
    state.cancel(volume.id)
    state.secrets.pop(volume.id, None)
    state.update(Kind.VOLUME, volume.id, attachments=left, status=status, native_status=status.value)


def vanish(cloud: FakeCloud, kind: Kind, id: str) -> None:
    """Remove a thing for good, and give back what it had."""
    state = cloud.state
    value = state.find(kind, id)
    if value is None:
        return
    if kind is Kind.SERVER:
        cloud.end_guest(id, disk_too=True)
        for port_id in tuple(state.plugged.get(id, ())):
            release_port(state, state.get(Kind.PORT, port_id))
        for volume_id in value.volume_ids:
            release_volume(state, state.get(Kind.VOLUME, volume_id), id)
    state.remove(kind, id)
