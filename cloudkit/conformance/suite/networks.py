"""Networks and subnets."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from cloudkit import Cloud, CloudError, Conflict, InvalidRequest, Kind, NotFound, ResourceFailed
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab
from cloudkit.conformance.suite.addresses import in_pools

NOBODY = "00000000-0000-4000-8000-000000000000"

BAD_SUBNETS: dict[str, dict[str, Any]] = {
    "no CIDR": {"cidr": "10.213.0.0"},
    "bits of a host": {"cidr": "10.213.0.1/24"},
    "too long a prefix": {"cidr": "10.213.0.0/33"},
    "words": {"cidr": "private/24"},
    "not even text": {"cidr": 10},
    "gateway outside": {"gateway_ip": "198.51.100.1"},
    "gateway that is no address": {"gateway_ip": "router"},
    "gateway of another version": {"gateway_ip": "2001:db8::1"},
    "name server that is no address": {"dns": ["dns.example"]},
    "name servers as text": {"dns": "8.8.8.8"},
    "dhcp that is neither on nor off": {"dhcp": "yes"},
}

BAD_POOLS: dict[str, Any] = {
    "outside": [("198.51.100.1", "198.51.100.9")],
    "backwards": [("10.213.0.9", "10.213.0.7")],
    "half": [("10.213.0.9",)],
    "no addresses": [("first", "last")],
    "text": "10.213.0.7-10.213.0.9",
}


@needs("networks.create")
class TestNetworks(Conformance):
    def test_a_network_is_active_and_has_no_subnet(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"))
        assert (network.status, network.subnet_ids, network.external, network.shared) == ("ACTIVE", (), False, False)

    @needs("subnets.create")
    def test_with_a_cidr_it_has_a_subnet_of_the_same_name(self, lab: Lab, cloud: Cloud) -> None:
        cidr = lab.cidr()
        network = cloud.networks.create(lab.name("network"), cidr=cidr, dns=["192.0.2.53"])
        (subnet,) = cloud.subnets.list(network_id=network.id)
        assert network.subnet_ids == (subnet.id,)
        assert (subnet.name, subnet.cidr, subnet.dns) == (network.name, cidr, ("192.0.2.53",))
        assert cloud.networks.get(network) == network

    @needs("subnets.create")
    def test_its_delete_deletes_its_subnet(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), cidr=lab.cidr())
        cloud.networks.delete(network)
        with pytest.raises(NotFound):
            cloud.subnets.get(network.subnet_ids[0])
        assert cloud.subnets.find(network.name) is None

    @needs("subnets.create")
    def test_its_range_is_free_after_its_delete(self, lab: Lab, cloud: Cloud) -> None:
        cidr = lab.cidr()
        for _ in range(2):
            cloud.networks.delete(cloud.networks.create(lab.name("network"), cidr=cidr))
        assert cloud.networks.create(lab.name("network"), cidr=cidr).subnet_ids

    @needs("networks.create:mtu")
    def test_its_mtu_is_kept(self, lab: Lab, cloud: Cloud) -> None:
        assert cloud.networks.create(lab.name("network"), mtu=1400).mtu == 1400
        default = cloud.networks.create(lab.name("network")).mtu
        assert default is not None
        assert default >= 1280

    @needs("networks.create:mtu")
    @pytest.mark.parametrize("mtu", [0, 67, 65536, "1500", 1400.5, True])
    def test_what_is_no_mtu_is_refused(self, lab: Lab, mtu: Any) -> None:
        with pytest.raises(InvalidRequest):
            lab.cloud.networks.create(lab.name("network"), mtu=mtu)

    @needs("networks.create:tags")
    def test_its_tags_are_kept(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), tags=["blue", "big", "blue"])
        assert sorted(network.tags) == ["big", "blue"]
        assert sorted(cloud.networks.get(network).tags) == ["big", "blue"]

    @needs("networks.create:shared", "subnets.create")
    def test_a_shared_one_is_used_by_other_projects(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), cidr=lab.cidr(), shared=True)
        assert network.shared
        assert other.networks.get(network.name).id == network.id
        assert [each.network_id for each in lab.server(other, networks=[network]).addresses] == [network.id]
        with pytest.raises(CloudError):
            other.networks.delete(network)
        with pytest.raises(CloudError):
            other.subnets.create(lab.name("subnet"), network=network, cidr=lab.cidr())
        assert cloud.networks.get(network).subnet_ids == network.subnet_ids

    @needs("networks.create:shared", "networks.update", "subnets.create")
    def test_it_is_shared_later_and_no_longer(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), cidr=lab.cidr())
        (subnet_id,) = network.subnet_ids
        assert other.networks.find(network.name) is None
        assert cloud.networks.update(network, shared=True).shared
        assert other.networks.get(network.name).id == network.id
        assert other.subnets.get(subnet_id).network_id == network.id
        assert not cloud.networks.update(network, shared=False).shared
        assert other.networks.find(network.name) is None
        with pytest.raises(NotFound):
            other.subnets.get(subnet_id)

    @needs("networks.create:shared", "networks.update", "subnets.create", "ports.create")
    def test_one_that_others_use_stays_shared(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), cidr=lab.cidr(), shared=True)
        port = other.ports.create(lab.name("port"), network=network)
        with pytest.raises(Conflict):
            cloud.networks.update(network, shared=False)
        assert other.networks.get(network.id).shared
        other.ports.delete(port)
        assert not cloud.networks.update(network, shared=False).shared

    @needs("networks.create:external", "subnets.create")
    def test_an_external_one_is_seen_by_other_projects(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), cidr=lab.cidr(), external=True)
        assert network.external
        assert network in other.networks.list(external=True)

    @needs("networks.update")
    def test_name_and_description_are_changed(self, lab: Lab, cloud: Cloud) -> None:
        network, name = cloud.networks.create(lab.name("network"), description="old"), lab.name()
        updated = cloud.networks.update(network, name=name, description="new")
        assert (updated.id, updated.name, updated.description) == (network.id, name, "new")
        assert cloud.networks.find(network.name) is None

    @needs("networks.update", "networks.create:tags")
    def test_tags_are_replaced_as_a_whole(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), tags=["blue"])
        assert cloud.networks.update(network, tags=["green"]).tags == ("green",)
        assert cloud.networks.update(network, tags=[]).tags == ()

    @needs("subnets.create")
    @pytest.mark.parametrize("what", BAD_SUBNETS)
    def test_no_network_is_left_of_a_bad_subnet(self, lab: Lab, what: str) -> None:
        before = lab.inventory(Kind.NETWORK, Kind.SUBNET, Kind.PORT)
        with pytest.raises(InvalidRequest):
            lab.make(lab.cloud, Kind.NETWORK, **{"cidr": lab.cidr(), **BAD_SUBNETS[what]})
        assert lab.inventory(Kind.NETWORK, Kind.SUBNET, Kind.PORT) == before

    @needs("subnets.create", "subnets.create:allocation_pools")
    def test_no_network_is_left_of_a_subnet_that_the_back_end_refuses(self, lab: Lab) -> None:
        before = lab.inventory(Kind.NETWORK, Kind.SUBNET, Kind.PORT)
        cidr = lab.cidr()
        addresses = ip_network(cidr)
        with pytest.raises((InvalidRequest, Conflict)):
            lab.cloud.networks.create(
                lab.name("network"),
                cidr=cidr,
                gateway_ip=str(addresses[5]),
                allocation_pools=[(str(addresses[2]), str(addresses[9]))],
            )
        assert lab.inventory(Kind.NETWORK, Kind.SUBNET, Kind.PORT) == before

    @pytest.mark.parametrize("option", [{"dns": ["192.0.2.53"]}, {"gateway_ip": None}, {"dhcp": False}], ids=str)
    def test_options_of_a_subnet_need_a_cidr(self, lab: Lab, option: dict[str, Any]) -> None:
        with pytest.raises(InvalidRequest):
            lab.cloud.networks.create(lab.name("network"), **option)


@needs("networks.create", "subnets.create")
class TestSubnets(Conformance):
    def test_its_gateway_is_the_first_address(self, lab: Lab, cloud: Cloud) -> None:
        subnet = lab.make(cloud, Kind.SUBNET)
        addresses = ip_network(subnet.cidr)
        assert (subnet.gateway_ip, subnet.ip_version, subnet.dhcp, subnet.dns) == (str(addresses[1]), 4, True, ())

    def test_its_pools_hold_all_addresses_but_the_gateway(self, lab: Lab, cloud: Cloud) -> None:
        subnet = lab.make(cloud, Kind.SUBNET)
        addresses = ip_network(subnet.cidr)
        assert subnet.allocation_pools == ((str(addresses[2]), str(addresses[254])),)

    def test_its_gateway_may_be_another_address(self, lab: Lab, cloud: Cloud) -> None:
        cidr = lab.cidr()
        gateway_ip = str(ip_network(cidr)[254])
        subnet = lab.make(cloud, Kind.SUBNET, cidr=cidr, gateway_ip=gateway_ip)
        assert subnet.gateway_ip == gateway_ip
        assert not in_pools(subnet, gateway_ip)

    def test_it_may_have_no_gateway(self, lab: Lab, cloud: Cloud) -> None:
        subnet = lab.make(cloud, Kind.SUBNET, gateway_ip=None)
        assert subnet.gateway_ip is None
        assert cloud.subnets.get(subnet).gateway_ip is None

    def test_its_name_servers_are_kept_in_order(self, lab: Lab, cloud: Cloud) -> None:
        subnet = lab.make(cloud, Kind.SUBNET, dns=["192.0.2.54", "192.0.2.53"])
        assert cloud.subnets.get(subnet).dns == ("192.0.2.54", "192.0.2.53")

    def test_dhcp_may_be_off(self, lab: Lab, cloud: Cloud) -> None:
        subnet = lab.make(cloud, Kind.SUBNET, dhcp=False)
        assert not cloud.subnets.get(subnet).dhcp

    @needs("subnets.create:allocation_pools")
    def test_addresses_are_from_its_pools(self, lab: Lab, cloud: Cloud) -> None:
        cidr = lab.cidr()
        first, last = (str(ip_network(cidr)[number]) for number in (50, 51))
        network = cloud.networks.create(lab.name("network"), cidr=cidr, allocation_pools=[(first, last)])
        (subnet,) = cloud.subnets.list(network_id=network.id)
        assert subnet.allocation_pools == ((first, last),)
        found = {lab.server(cloud, networks=[network]).addresses[0].ip for _ in range(2)}
        assert found == {first, last}
        with pytest.raises((Conflict, ResourceFailed)):
            lab.server(cloud, networks=[network])

    @needs("subnets.create:allocation_pools")
    @pytest.mark.parametrize("what", BAD_POOLS)
    def test_a_bad_pool_is_refused(self, lab: Lab, what: str) -> None:
        before = lab.inventory(Kind.NETWORK, Kind.SUBNET, Kind.PORT)
        with pytest.raises(InvalidRequest):
            lab.cloud.networks.create(lab.name("network"), cidr="10.213.0.0/24", allocation_pools=BAD_POOLS[what])
        assert lab.inventory(Kind.NETWORK, Kind.SUBNET, Kind.PORT) == before

    @pytest.mark.parametrize("what", BAD_SUBNETS)
    def test_a_bad_one_is_refused(self, lab: Lab, cloud: Cloud, what: str) -> None:
        network = cloud.networks.create(lab.name("network"))
        with pytest.raises(InvalidRequest):
            lab.make(cloud, Kind.SUBNET, network=network, **BAD_SUBNETS[what])
        assert cloud.networks.get(network).subnet_ids == ()

    def test_overlapping_subnets_of_a_network_conflict(self, lab: Lab, cloud: Cloud) -> None:
        cidr = lab.cidr()
        network = cloud.networks.create(lab.name("network"), cidr=cidr)
        for overlapping in (cidr, cidr.replace("/24", "/25"), cidr.replace("/24", "/30")):
            with pytest.raises(Conflict):
                cloud.subnets.create(lab.name("subnet"), network=network, cidr=overlapping)
        assert cloud.networks.get(network).subnet_ids == network.subnet_ids

    def test_an_unknown_network_is_not_found(self, lab: Lab, cloud: Cloud) -> None:
        for network in (lab.name(), NOBODY):
            with pytest.raises(NotFound):
                cloud.subnets.create(lab.name("subnet"), network=network, cidr=lab.cidr())

    def test_another_projects_network_is_not_found(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"))
        with pytest.raises(NotFound):
            other.subnets.create(lab.name("subnet"), network=network.id, cidr=lab.cidr())

    def test_its_delete_leaves_the_network(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), cidr=lab.cidr())
        cloud.subnets.delete(network.subnet_ids[0])
        assert cloud.networks.get(network).subnet_ids == ()
