"""Servers' addresses: known when create returns, from the subnet's pools, given back at the end."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from cloudkit import Cloud, Conflict, InUse, InvalidRequest, Kind, Network, Nic, NotFound, ResourceFailed, Subnet
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab

NOBODY = "00000000-0000-4000-8000-000000000000"


def subnet_of(cloud: Cloud, network: Network) -> Subnet:
    """The network's only subnet."""
    (subnet,) = cloud.subnets.list(network_id=network.id)
    return subnet


def host(subnet: Subnet, number: int) -> str:
    """An address of a subnet."""
    return str(ip_network(subnet.cidr)[number])


def in_pools(subnet: Subnet, ip: str) -> bool:
    """Whether an address is one of those that a subnet gives by itself."""
    pools = [[int(ip_address(end)) for end in pool] for pool in subnet.allocation_pools]
    return any(first <= int(ip_address(ip)) <= last for first, last in pools)


@needs("networks.create", "subnets.create")
class TestAddresses(Conformance):
    def test_they_are_known_when_create_returns(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, networks=[lab.network])
        (address,) = server.addresses
        subnet = subnet_of(cloud, lab.network)
        assert ip_address(address.ip) in ip_network(subnet.cidr)
        assert in_pools(subnet, address.ip)
        assert address.ip != subnet.gateway_ip
        assert (address.network_id, address.version, address.floating) == (lab.network.id, 4, False)
        assert cloud.servers.get(server).addresses == server.addresses

    def test_each_has_a_port_that_says_the_same(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, networks=[lab.network])
        (address,) = server.addresses
        (port,) = cloud.ports.list(device_id=server.id)
        assert (port.id, port.mac, port.network_id) == (address.port_id, address.mac, lab.network.id)
        assert [fixed.ip for fixed in port.fixed_ips] == [address.ip]
        assert port.status == "ACTIVE"
        assert port.device_owner.startswith("compute:")

    def test_two_servers_have_different_ones(self, lab: Lab, cloud: Cloud) -> None:
        one, two = (lab.server(cloud, networks=[lab.network]).addresses[0] for _ in range(2))
        assert one.ip != two.ip
        assert one.mac != two.mac

    def test_they_stay_over_a_stop(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, networks=[lab.network])
        cloud.servers.stop(server, hard=True)
        assert cloud.servers.start(server).addresses == server.addresses

    def test_a_server_without_an_interface_has_none(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, networks="none")
        assert server.addresses == ()
        assert list(cloud.ports.list(device_id=server.id)) == []

    def test_networks_are_named_by_value_id_and_name(self, lab: Lab, cloud: Cloud) -> None:
        for ref in (lab.network, lab.network.id, lab.network.name, Nic(network_id=lab.network.name)):
            assert [each.network_id for each in lab.server(cloud, networks=[ref]).addresses] == [lab.network.id]

    def test_interfaces_are_in_the_order_asked_for(self, lab: Lab, cloud: Cloud) -> None:
        second = cloud.networks.create(lab.name("network"), cidr=lab.cidr())
        for order in ((lab.network, second), (second, lab.network)):
            server = lab.server(cloud, networks=order)
            assert [each.network_id for each in server.addresses] == [network.id for network in order]

    def test_two_interfaces_on_one_network_differ(self, lab: Lab, cloud: Cloud) -> None:
        one, two = lab.server(cloud, networks=[lab.network, lab.network]).addresses
        assert one.ip != two.ip
        assert one.port_id != two.port_id

    def test_an_address_that_is_asked_for_is_given(self, lab: Lab, cloud: Cloud) -> None:
        ip = host(subnet_of(cloud, lab.network), 77)
        server = lab.server(cloud, networks=[Nic(network_id=lab.network.id, fixed_ip=ip)])
        assert [address.ip for address in server.addresses] == [ip]

    def test_a_taken_address_is_refused_and_nothing_is_left(self, lab: Lab, cloud: Cloud) -> None:
        nic = Nic(network_id=lab.network.id, fixed_ip=host(subnet_of(cloud, lab.network), 78))
        lab.server(cloud, networks=[nic])
        before = lab.inventory(Kind.SERVER, Kind.PORT)
        with pytest.raises(Conflict):
            lab.server(cloud, networks=[nic])
        with pytest.raises(Conflict):
            lab.server(cloud, networks=[lab.network, nic])
        assert lab.inventory(Kind.SERVER, Kind.PORT) == before

    @pytest.mark.parametrize("number", [0, 255], ids=["network", "broadcast"])
    def test_an_unusable_address_is_refused(self, lab: Lab, cloud: Cloud, number: int) -> None:
        nic = Nic(network_id=lab.network.id, fixed_ip=host(subnet_of(cloud, lab.network), number))
        before = lab.inventory(Kind.SERVER, Kind.PORT)
        with pytest.raises(InvalidRequest):
            lab.server(cloud, networks=[nic])
        assert lab.inventory(Kind.SERVER, Kind.PORT) == before

    @pytest.mark.parametrize("ip", ["198.51.100.7", "no address", "10.0.0.0/24", ""])
    def test_an_address_of_another_range_is_refused(self, lab: Lab, cloud: Cloud, ip: str) -> None:
        before = lab.inventory(Kind.SERVER, Kind.PORT)
        with pytest.raises(InvalidRequest):
            lab.server(cloud, networks=[Nic(network_id=lab.network.id, fixed_ip=ip)])
        assert lab.inventory(Kind.SERVER, Kind.PORT) == before

    @pytest.mark.parametrize("nic", [Nic(), Nic(network_id=NOBODY, port_id=NOBODY)], ids=["neither", "both"])
    def test_an_interface_is_on_a_network_or_a_port(self, lab: Lab, cloud: Cloud, nic: Nic) -> None:
        with pytest.raises(InvalidRequest):
            lab.server(cloud, networks=[nic])

    def test_a_network_without_a_subnet_is_refused(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"))
        before = lab.inventory(Kind.SERVER, Kind.PORT)
        with pytest.raises(InvalidRequest):
            lab.server(cloud, networks=[network])
        assert lab.inventory(Kind.SERVER, Kind.PORT) == before

    def test_the_only_network_is_taken_where_none_is_named(self, lab: Lab, other: Cloud) -> None:
        network = other.networks.create(lab.name("network"), cidr=lab.cidr())
        server = lab.server(other, networks=())
        assert [each.network_id for each in server.addresses] == [network.id]

    def test_of_several_networks_none_is_taken_by_itself(self, lab: Lab, other: Cloud) -> None:
        names = [other.networks.create(lab.name("network"), cidr=lab.cidr()).name for _ in range(2)]
        with pytest.raises(InvalidRequest) as raised:
            lab.server(other, networks=())
        assert all(name in raised.value.message for name in names)
        assert list(other.servers.list()) == []

    def test_no_network_at_all_is_told(self, lab: Lab, other: Cloud) -> None:
        assert lab.image
        with pytest.raises(InvalidRequest) as raised:
            lab.server(other, networks=())
        assert "none" in raised.value.hint

    def test_another_projects_network_is_not_found(self, lab: Lab, other: Cloud) -> None:
        for ref in (lab.network.id, lab.network.name):
            with pytest.raises(NotFound):
                lab.server(other, networks=[ref])

    def test_delete_leaves_no_port(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, networks=[lab.network])
        cloud.servers.delete(server)
        assert list(cloud.ports.list(device_id=server.id)) == []
        with pytest.raises(NotFound):
            cloud.ports.get(server.addresses[0].port_id)

    def test_delete_gives_the_address_back(self, lab: Lab, cloud: Cloud) -> None:
        nic = Nic(network_id=lab.network.id, fixed_ip=host(subnet_of(cloud, lab.network), 79))
        for _ in range(2):
            server = lab.server(cloud, networks=[nic])
            assert [address.ip for address in server.addresses] == [nic.fixed_ip]
            cloud.servers.delete(server)

    def test_a_network_in_use_is_not_deleted(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), cidr=lab.cidr())
        server = lab.server(cloud, networks=[network])
        with pytest.raises(InUse):
            cloud.networks.delete(network)
        with pytest.raises(InUse):
            cloud.subnets.delete(subnet_of(cloud, network))
        assert cloud.servers.get(server).addresses == server.addresses
        assert cloud.networks.get(network).status == "ACTIVE"

    def test_a_full_subnet_has_no_room(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), cidr=lab.cidr().replace("/24", "/30"))
        assert [address.version for address in lab.server(cloud, networks=[network]).addresses] == [4]
        before = lab.inventory(Kind.SERVER, Kind.PORT)
        # Nova takes the request, and finds out when it builds the server.
        with pytest.raises((Conflict, ResourceFailed)):
            lab.server(cloud, networks=[network])
        assert lab.inventory(Kind.SERVER, Kind.PORT) == before


@needs("networks.create", "subnets.create", "ports.create")
class TestPorts(Conformance):
    def test_a_port_has_a_mac_and_an_address(self, lab: Lab, cloud: Cloud) -> None:
        port = cloud.ports.create(lab.name("port"), network=lab.network)
        (fixed,) = port.fixed_ips
        assert ip_address(fixed.ip) in ip_network(subnet_of(cloud, lab.network).cidr)
        assert fixed.subnet_id == subnet_of(cloud, lab.network).id
        assert len(port.mac.split(":")) == 6
        assert port.mac == port.mac.lower()
        assert (port.device_id, port.device_owner, port.status) == ("", "", "DOWN")

    def test_it_has_the_address_that_was_asked_for(self, lab: Lab, cloud: Cloud) -> None:
        ip = host(subnet_of(cloud, lab.network), 80)
        port = cloud.ports.create(lab.name("port"), network=lab.network, fixed_ips=[ip])
        assert [fixed.ip for fixed in port.fixed_ips] == [ip]
        with pytest.raises(Conflict):
            cloud.ports.create(lab.name("port"), network=lab.network, fixed_ips=[ip])

    def test_the_gateways_address_is_taken(self, lab: Lab, cloud: Cloud) -> None:
        gateway_ip = subnet_of(cloud, lab.network).gateway_ip
        assert gateway_ip is not None
        with pytest.raises(Conflict):
            cloud.ports.create(lab.name("port"), network=lab.network, fixed_ips=[gateway_ip])

    def test_an_address_of_another_range_is_refused(self, lab: Lab, cloud: Cloud) -> None:
        before = lab.inventory(Kind.SERVER, Kind.PORT)
        with pytest.raises(InvalidRequest):
            cloud.ports.create(lab.name("port"), network=lab.network, fixed_ips=["198.51.100.7"])
        assert lab.inventory(Kind.SERVER, Kind.PORT) == before

    def test_a_server_takes_it_with_its_address(self, lab: Lab, cloud: Cloud) -> None:
        port = cloud.ports.create(lab.name("port"), network=lab.network)
        server = lab.server(cloud, networks=[port])
        assert [(each.ip, each.mac, each.port_id) for each in server.addresses] == [
            (port.fixed_ips[0].ip, port.mac, port.id)
        ]
        plugged = cloud.ports.get(port)
        assert (plugged.device_id, plugged.status) == (server.id, "ACTIVE")

    def test_it_outlives_its_server(self, lab: Lab, cloud: Cloud) -> None:
        port = cloud.ports.create(lab.name("port"), network=lab.network)
        cloud.servers.delete(lab.server(cloud, networks=[Nic(port_id=port.id)]))
        free = cloud.ports.get(port)
        assert (free.device_id, free.device_owner, free.status) == ("", "", "DOWN")
        assert free.fixed_ips == port.fixed_ips
        assert lab.server(cloud, networks=[port]).addresses[0].ip == port.fixed_ips[0].ip

    def test_it_serves_one_server_only(self, lab: Lab, cloud: Cloud) -> None:
        port = cloud.ports.create(lab.name("port"), network=lab.network)
        server = lab.server(cloud, networks=[port])
        before = lab.inventory(Kind.SERVER, Kind.PORT)
        with pytest.raises(InUse):
            lab.server(cloud, networks=[port])
        assert lab.inventory(Kind.SERVER, Kind.PORT) == before
        assert cloud.ports.get(port).device_id == server.id

    def test_it_is_not_deleted_while_it_is_in_use(self, lab: Lab, cloud: Cloud) -> None:
        port = cloud.ports.create(lab.name("port"), network=lab.network)
        lab.server(cloud, networks=[port])
        with pytest.raises(InUse):
            cloud.ports.delete(port)
        assert cloud.ports.get(port).device_id

    def test_a_network_with_a_port_is_not_deleted(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), cidr=lab.cidr())
        port = cloud.ports.create(lab.name("port"), network=network)
        with pytest.raises(InUse):
            cloud.networks.delete(network)
        cloud.ports.delete(port)
        cloud.networks.delete(network)
        assert cloud.networks.find(network.name) is None

    @needs("ports.create:mac")
    def test_it_has_the_mac_that_was_asked_for(self, lab: Lab, cloud: Cloud) -> None:
        port = cloud.ports.create(lab.name("port"), network=lab.network, mac="52:54:00:C0:FF:EE")
        assert port.mac == "52:54:00:c0:ff:ee"
        server = lab.server(cloud, networks=[port])
        assert [address.mac for address in server.addresses] == [port.mac]

    @needs("ports.create:mac")
    def test_a_mac_is_taken_once(self, lab: Lab, cloud: Cloud) -> None:
        cloud.ports.create(lab.name("port"), network=lab.network, mac="52:54:00:c0:ff:01")
        before = lab.inventory(Kind.SERVER, Kind.PORT)
        with pytest.raises(Conflict):
            cloud.ports.create(lab.name("port"), network=lab.network, mac="52:54:00:c0:ff:01")
        assert lab.inventory(Kind.SERVER, Kind.PORT) == before

    @needs("ports.create:mac")
    @pytest.mark.parametrize(
        "mac", ["", "52:54:00", "01:00:5e:00:00:01", "00:00:00:00:00:00", "g2:54:00:00:00:01", 7]
    )
    def test_what_is_no_mac_of_a_card_is_refused(self, lab: Lab, cloud: Cloud, mac: str) -> None:
        with pytest.raises(InvalidRequest):
            cloud.ports.create(lab.name("port"), network=lab.network, mac=mac)

    @needs("ports.create:security_group_ids", "security_groups")
    def test_it_is_in_its_security_groups(self, lab: Lab, cloud: Cloud) -> None:
        group = cloud.security_groups.create(lab.name("group"))
        port = cloud.ports.create(lab.name("port"), network=lab.network, security_groups=[group])
        assert port.security_group_ids == (group.id,)
        assert cloud.ports.create(lab.name("port"), network=lab.network, security_groups=[]).security_group_ids == ()
        default = cloud.ports.create(lab.name("port"), network=lab.network).security_group_ids
        assert [cloud.security_groups.get(id).name for id in default] == ["default"]
