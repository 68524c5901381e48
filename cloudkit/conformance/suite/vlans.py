"""Networks that are a VLAN outside of the cloud."""

from __future__ import annotations

from typing import Any

import pytest

from cloudkit import Cloud, Conflict, InvalidRequest
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab


@needs("networks.create", "networks.create:vlan_id")
class TestVlans(Conformance):
    def test_the_id_is_kept(self, lab: Lab, cloud: Cloud) -> None:
        vlan_id = lab.vlan_id()
        network = cloud.networks.create(lab.name("network"), vlan_id=vlan_id)
        assert (network.vlan_id, network.status) == (vlan_id, "ACTIVE")
        assert cloud.networks.get(network) == network

    def test_they_are_told_apart_by_it(self, lab: Lab, cloud: Cloud) -> None:
        networks = [cloud.networks.create(lab.name("network"), vlan_id=lab.vlan_id()) for _ in range(2)]
        for network in networks:
            assert [each.id for each in cloud.networks.list(vlan_id=network.vlan_id)] == [network.id]

    @needs("subnets.create", "ports.create")
    def test_it_has_subnets_and_ports_as_any_other(self, lab: Lab, cloud: Cloud) -> None:
        cidr = lab.cidr()
        network = cloud.networks.create(lab.name("network"), cidr=cidr, vlan_id=lab.vlan_id())
        (subnet,) = cloud.subnets.list(network_id=network.id)
        port = cloud.ports.create(lab.name("port"), network=network)
        assert subnet.cidr == cidr
        assert [fixed.subnet_id for fixed in port.fixed_ips] == [subnet.id]

    def test_an_id_has_one_network_in_all_projects(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), vlan_id=lab.vlan_id())
        refused = lab.name("network")
        for project in (cloud, lab.other):
            with pytest.raises(Conflict):
                project.networks.create(refused, vlan_id=network.vlan_id)
            assert project.networks.find(refused) is None

    @needs("subnets.create")
    def test_its_id_is_free_after_its_delete(self, lab: Lab, cloud: Cloud) -> None:
        vlan_id, cidr = lab.vlan_id(), lab.cidr()
        for _ in range(2):
            network = cloud.networks.create(lab.name("network"), cidr=cidr, vlan_id=vlan_id)
            assert network.vlan_id == vlan_id
            cloud.networks.delete(network)
        assert not list(cloud.networks.list(vlan_id=vlan_id))

    @pytest.mark.parametrize("vlan_id", [0, 4095, -1, "7", 7.5, True])
    def test_what_is_no_id_is_refused(self, lab: Lab, vlan_id: Any) -> None:
        name = lab.name("network")
        with pytest.raises(InvalidRequest, match="vlan_id"):
            lab.cloud.networks.create(name, vlan_id=vlan_id)
        assert lab.cloud.networks.find(name) is None
