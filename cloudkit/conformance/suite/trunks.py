"""Ports that are reached through another one by VLAN ids."""

from __future__ import annotations

from typing import Any

import pytest

from cloudkit import Cloud, Conflict, InUse, InvalidRequest, InvalidState, NotFound, Port, Subport
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab

NOBODY = "00000000-0000-4000-8000-000000000000"


def ports(lab: Lab, cloud: Cloud, number: int) -> list[Port]:
    """Ports of a network."""
    network = cloud.networks.create(lab.name("network"), cidr=lab.cidr())
    return [cloud.ports.create(lab.name("port"), network=network) for _ in range(number)]


@needs("ports.subports", "networks.create", "subnets.create", "ports.create")
class TestTrunks(Conformance):
    def test_a_port_is_no_trunk_by_itself(self, lab: Lab, cloud: Cloud) -> None:
        (port,) = ports(lab, cloud, 1)
        assert port.subports is None
        assert cloud.ports.get(port).subports is None

    def test_its_subports_are_told_by_vlan_id(self, lab: Lab, cloud: Cloud) -> None:
        trunk, first, second = ports(lab, cloud, 3)
        assert cloud.ports.add_subport(trunk, first, vlan_id=30).subports == (Subport(port_id=first.id, vlan_id=30),)
        changed = cloud.ports.add_subport(trunk, second.name, vlan_id=20)
        assert changed.subports == (
            Subport(port_id=second.id, vlan_id=20),
            Subport(port_id=first.id, vlan_id=30),
        )
        assert cloud.ports.get(trunk) == changed
        assert [port for port in cloud.ports.list(network_id=trunk.network_id) if port.id == trunk.id] == [changed]

    def test_a_subport_is_in_use(self, lab: Lab, cloud: Cloud) -> None:
        trunk, port = ports(lab, cloud, 2)
        cloud.ports.add_subport(trunk, port, vlan_id=20)
        subport = cloud.ports.get(port)
        assert subport.device_owner == "trunk:subport"
        assert subport.device_id
        assert (subport.mac, subport.fixed_ips, subport.subports) == (port.mac, port.fixed_ips, None)
        with pytest.raises(InUse):
            cloud.ports.delete(port)
        name = lab.name("server")
        with pytest.raises(InUse):
            lab.server(cloud, name=name, networks=[port])
        assert cloud.servers.find(name) is None

    def test_one_that_is_removed_is_free(self, lab: Lab, cloud: Cloud) -> None:
        trunk, port = ports(lab, cloud, 2)
        cloud.ports.add_subport(trunk, port, vlan_id=20)
        assert cloud.ports.remove_subport(trunk, port).subports == ()
        free = cloud.ports.get(port)
        assert (free.device_id, free.device_owner) == ("", "")
        with pytest.raises(InvalidState):
            cloud.ports.remove_subport(trunk, port)
        cloud.ports.add_subport(trunk, port, vlan_id=20)
        cloud.ports.remove_subport(trunk, port)
        cloud.ports.delete(port)

    def test_the_trunks_delete_sets_all_free(self, lab: Lab, cloud: Cloud) -> None:
        trunk, *others = ports(lab, cloud, 3)
        for vlan_id, port in enumerate(others, start=20):
            cloud.ports.add_subport(trunk, port, vlan_id=vlan_id)
        cloud.ports.delete(trunk)
        assert [cloud.ports.get(port).device_id for port in others] == ["", ""]

    def test_a_vlan_id_has_one_subport(self, lab: Lab, cloud: Cloud) -> None:
        trunk, first, second = ports(lab, cloud, 3)
        cloud.ports.add_subport(trunk, first, vlan_id=20)
        with pytest.raises(Conflict):
            cloud.ports.add_subport(trunk, second, vlan_id=20)
        assert cloud.ports.get(second).device_id == ""
        cloud.ports.remove_subport(trunk, first)
        assert cloud.ports.add_subport(trunk, second, vlan_id=20).subports == (
            Subport(port_id=second.id, vlan_id=20),
        )

    def test_a_subport_has_one_trunk_and_is_none(self, lab: Lab, cloud: Cloud) -> None:
        trunk, port, other = ports(lab, cloud, 3)
        cloud.ports.add_subport(trunk, port, vlan_id=20)
        for parent, child in ((other, port), (port, other), (other, trunk)):
            with pytest.raises(InUse):
                cloud.ports.add_subport(parent, child, vlan_id=21)
        with pytest.raises(InvalidRequest):
            cloud.ports.add_subport(trunk, trunk, vlan_id=21)
        assert cloud.ports.get(other).subports is None

    def test_a_servers_port_is_no_subport_and_becomes_no_trunk(self, lab: Lab, cloud: Cloud) -> None:
        plugged, free = ports(lab, cloud, 2)
        server = lab.server(cloud, networks=[plugged])
        with pytest.raises(InvalidState):
            cloud.ports.add_subport(plugged, free, vlan_id=20)
        with pytest.raises(InUse):
            cloud.ports.add_subport(free, plugged, vlan_id=20)
        assert cloud.ports.get(free).subports is None
        assert [address.port_id for address in cloud.servers.get(server).addresses] == [plugged.id]

    def test_a_servers_trunk_gains_and_loses_subports(self, lab: Lab, cloud: Cloud) -> None:
        trunk, first, second = ports(lab, cloud, 3)
        cloud.ports.add_subport(trunk, first, vlan_id=20)
        server = lab.server(cloud, networks=[trunk])
        assert [address.port_id for address in server.addresses] == [trunk.id]
        assert cloud.ports.get(trunk).device_id == server.id
        assert cloud.ports.add_subport(trunk, second, vlan_id=21).subports == (
            Subport(port_id=first.id, vlan_id=20),
            Subport(port_id=second.id, vlan_id=21),
        )
        cloud.ports.remove_subport(trunk, first)
        cloud.servers.delete(server)
        free = cloud.ports.get(trunk)
        assert (free.device_id, free.subports) == ("", (Subport(port_id=second.id, vlan_id=21),))

    @needs("networks.create:mtu")
    def test_a_subports_packets_fit_into_the_trunks(self, lab: Lab, cloud: Cloud) -> None:
        small = cloud.networks.create(lab.name("network"), cidr=lab.cidr(), mtu=1300)
        trunk = cloud.ports.create(lab.name("port"), network=small)
        (port,) = ports(lab, cloud, 1)
        with pytest.raises(Conflict):
            cloud.ports.add_subport(trunk, port, vlan_id=20)
        assert cloud.ports.get(port).device_id == ""
        assert cloud.ports.add_subport(port, trunk, vlan_id=20).subports == (Subport(port_id=trunk.id, vlan_id=20),)

    @pytest.mark.parametrize("vlan_id", [0, 4095, "7", 7.5, None, True])
    def test_what_is_no_id_is_refused(self, lab: Lab, vlan_id: Any) -> None:
        with pytest.raises(InvalidRequest, match="vlan_id"):
            lab.cloud.ports.add_subport(NOBODY, NOBODY, vlan_id=vlan_id)

    def test_ports_that_are_not_there_are_told(self, lab: Lab, cloud: Cloud) -> None:
        (port,) = ports(lab, cloud, 1)
        for trunk, subport in ((port, NOBODY), (NOBODY, port)):
            with pytest.raises(NotFound):
                cloud.ports.add_subport(trunk, subport, vlan_id=20)
        assert cloud.ports.get(port).subports is None
