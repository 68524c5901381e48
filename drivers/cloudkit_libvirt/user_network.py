"""The one network of an unprivileged libvirt: QEMU's user networking.

An ordinary user may make no bridges. QEMU itself plays a router, a DHCP server and a name server for each guest, so
that each guest is alone on a network of its own, on which it always has the same address; it reaches out through the
user's own sockets, and is reached through ports that QEMU forwards (see ``forwarding``). Addresses are those of
QEMU's documentation, "Using the user mode network stack".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cloudkit._schema import to_data
from cloudkit.errors import InvalidRequest, NotFound
from cloudkit.types import Nic
from cloudkit_libvirt.blobs import BlobExists, BlobStore
from cloudkit_libvirt.bodies import NetworkBody, Phase, PortBody, SubnetBody
from cloudkit_libvirt.ports import Ports, Wish, random_mac
from cloudkit_libvirt.record_bytes import encode
from cloudkit_libvirt.records import Record, View, first_blob_name

NAME = "user"
NETWORK_ID = "75e20000-0000-4000-8000-000000000001"
SUBNET_ID = "75e20000-0000-4000-8000-000000000002"
GUEST_IP = "10.0.2.15"

_COMMON: dict[str, Any] = {
    "phase": Phase.READY,
    "project_id": "default",
    "name": NAME,
    # Nobody made it; a time that is the same in every process keeps values equal.
    "created_at": "1970-01-01T00:00:00+00:00",
    "shared": True,
}
_NETWORK = NetworkBody(**_COMMON, description="QEMU's user networking: each server alone behind a NAT of its own")
_SUBNET = SubnetBody(
    **_COMMON,
    network_id=NETWORK_ID,
    cidr="10.0.2.0/24",
    bridge_ip="10.0.2.2",
    gateway_ip="10.0.2.2",
    pools=((GUEST_IP, GUEST_IP),),
    dns=("10.0.2.3",),
)


class UserPorts(Ports):
    """The interfaces of servers on the network ``user``."""

    def check(self, nics: Sequence[Nic]) -> None:
        """One interface a server, at the one address that there is; raises InvalidRequest, NotFound."""
        if len(nics) > 1:
            raise InvalidRequest(
                "a server has one interface at most here",
                driver="libvirt",
                hint="An unprivileged libvirt has the network 'user' only; qemu:///system has as many as you make.",
            )
        for nic in nics:
            if nic.port_id is not None:
                raise NotFound(f"there is no free port {nic.port_id!r}", driver="libvirt", resource=nic.port_id)
            if nic.fixed_ip not in (None, GUEST_IP):
                raise InvalidRequest(
                    f"the address {nic.fixed_ip} cannot be given: on the network {NAME!r} each server has {GUEST_IP}",
                    driver="libvirt",
                )

    def make(self, view: View, id: str, body: PortBody, wish: Wish) -> Record[PortBody]:  # noqa: ARG002
        """Write the record: nothing is to be taken, as each server's network is its own."""
        ready = replace(
            body, phase=Phase.READY, subnet_id=SUBNET_ID, mac=wish.mac or random_mac(), ip=GUEST_IP, own_mac=False
        )
        return self._context.records.create(id, ready)

    def remove(self, id: str, view: View | None = None) -> None:
        """Remove the record."""
        self._context.records.remove(PortBody, id, view)


class PresetBlobs:
    """A store that also shows the records of the network ``user``, which are in no pool and never change."""

    def __init__(self, store: BlobStore) -> None:
        """Keep all other blobs in ``store``."""
        self._store = store
        self._presets = {
            first_blob_name(NetworkBody, NETWORK_ID): encode(to_data(_NETWORK)),
            first_blob_name(SubnetBody, SUBNET_ID): encode(to_data(_SUBNET)),
        }

    def names(self) -> list[str]:
        """All names."""
        return [*self._presets, *self._store.names()]

    def create(self, name: str, data: bytes, quiet: bool = False) -> None:
        """Take a name, unless it is a preset's."""
        if name in self._presets:
            raise BlobExists(name)
        self._store.create(name, data, quiet)

    def read(self, name: str) -> bytes:
        """The bytes."""
        return self._presets.get(name) or self._store.read(name)

    def delete(self, name: str) -> bool:
        """Whether there was something that could be deleted."""
        return name not in self._presets and self._store.delete(name)

    def age_s(self, name: str) -> float:
        """See BlobStore."""
        return self._store.age_s(name)
