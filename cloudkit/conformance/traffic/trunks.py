"""Packets of a guest whose one interface is in three networks, two of them by VLAN ids."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest

from cloudkit import Cloud, Network, Port, SecurityGroup, Server, Shell
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab
from cloudkit.conformance.traffic.networks import WEB, gets_page, logged_in

RED, BLUE = 20, 30
"""VLAN ids."""
TRIES = 4
_USE_VLAN = """
modprobe 8021q 2>/dev/null
ip link add link eth0 name eth0.{vlan_id} type vlan id {vlan_id} &&
ip link set dev eth0.{vlan_id} address {mac} &&
ip addr add {ip}/{prefix} dev eth0.{vlan_id} &&
ip link set dev eth0.{vlan_id} up
"""


@dataclass(frozen=True)
class Field:
    """A guest with a trunk, and one with an interface in each of the trunk's two VLANs; each serves a page.

    ``guard`` is the group of the subports, and of the other guest besides the one for logins; it lets nothing in.
    """

    cloud: Cloud
    networks: Sequence[Network]
    trunk: Port
    subports: tuple[Port, ...]
    servers: tuple[Server, ...]
    guest: Shell
    other: Shell
    others: tuple[str, ...]
    guard: SecurityGroup
    soon: Callable[[Callable[[], bool]], bool]

    def use_vlans(self) -> None:
        """Have the guest be in both VLANs."""
        for port, vlan_id in zip(self.subports, (RED, BLUE), strict=True):
            self.guest.run(use_vlan(self.cloud, port, vlan_id), sudo=True, check=True)


@contextmanager
def trunk_field_of(lab: Lab) -> Generator[Field]:
    """A field, which is deleted at the end."""
    with lab.cloud.scope("trunk-traffic") as cloud:
        home, red, blue = networks = [cloud.networks.create(lab.name("network"), cidr=lab.cidr()) for _ in range(3)]
        for network in (home, red):
            lab.join(cloud, network)
        guard = cloud.security_groups.create(lab.name("guard"))
        trunk = cloud.ports.create(lab.name("trunk"), network=home, security_groups=[lab.login_group])
        subports = tuple(
            cloud.ports.create(lab.name("subport"), network=network, security_groups=[guard])
            for network in (red, blue)
        )
        for port, vlan_id in zip(subports, (RED, BLUE), strict=True):
            trunk = cloud.ports.add_subport(trunk, port, vlan_id=vlan_id)
        options = {"key_pair": lab.key_pair.name, "security_groups": [lab.login_group, guard], "wait": False}
        begun = [
            lab.server(cloud, networks=[trunk], **{**options, "security_groups": ()}),
            lab.server(cloud, networks=[red, blue], **options),
        ]
        servers = tuple(map(cloud.servers.wait, begun))
        others = tuple(_address_on(servers[1], network) for network in (red, blue))
        with logged_in(lab, servers) as (guest, other):
            field = Field(cloud, networks, trunk, subports, servers, guest, other, others, guard, lab.soon)
            field.use_vlans()
            yield field


@needs("ports.subports", "security_groups", "servers.ssh", "networks.create", "subnets.create", "ports.create")
class TestTrunkTraffic(Conformance):
    @pytest.fixture
    @classmethod
    def field(cls, lab: Lab) -> Generator[Field]:
        with trunk_field_of(lab) as field:
            yield field

    def test_each_vlan_leads_to_its_network_and_is_filtered(self, field: Field) -> None:
        cloud, red, blue = field.cloud, *field.others
        own_red, own_blue = (port.fixed_ips[0].ip for port in field.subports)
        assert not gets_page(field.guest, red)
        assert not gets_page(field.other, own_red)
        cloud.security_groups.add_rule(field.guard, "tcp", port=WEB)
        assert field.soon(lambda: all(gets_page(field.guest, address) for address in (red, blue)))
        assert field.soon(lambda: all(gets_page(field.other, address) for address in (own_red, own_blue)))
        cloud.ports.remove_subport(field.trunk, field.subports[1])
        assert field.soon(lambda: not gets_page(field.guest, blue))
        assert gets_page(field.guest, red)
        # A guest that uses another VLAN for a network does not get there.
        field.guest.run("ip link set dev eth0.20 down", sudo=True, check=True)
        field.guest.run(use_vlan(cloud, field.subports[0], RED + 1), sudo=True, check=True)
        assert not gets_page(field.guest, red)
        cloud.ports.remove_subport(field.trunk, field.subports[0])
        cloud.ports.add_subport(field.trunk, field.subports[0], vlan_id=RED + 1)
        # A switch may have learned that nobody is there.
        assert field.soon(lambda: any(gets_page(field.guest, red) for _ in range(TRIES)))


def use_vlan(cloud: Cloud, port: Port, vlan_id: int) -> str:
    """What a guest does to be in a VLAN."""
    (fixed,) = port.fixed_ips
    prefix = ip_network(cloud.subnets.get(fixed.subnet_id).cidr).prefixlen
    return _USE_VLAN.format(vlan_id=vlan_id, mac=port.mac, ip=fixed.ip, prefix=prefix)


def _address_on(server: Server, network: Network) -> str:
    return next(
        address.ip
        for address in server.addresses
        if address.network_id == network.id and ip_address(address.ip).version == 4
    )
