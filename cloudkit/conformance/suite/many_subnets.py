"""Networks with more than one subnet: of IPv4, of IPv6, and of both."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import pytest

from cloudkit import Cloud, Conflict, FixedIpSpec, InUse, InvalidRequest, Kind, Network, Port, Subnet, Unsupported
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab

BAD_IPV6: dict[str, dict[str, Any]] = {
    "a mode that is none": {"ipv6_mode": "auto"},
    "a mode for IPv4": {"cidr": "10.213.0.0/24", "ipv6_mode": "slaac"},
    "a mode without DHCP": {"ipv6_mode": "slaac", "dhcp": False},
    "a prefix in which guests make no addresses": {"cidr": "fd00:213::/80"},
    "a gateway of another version": {"gateway_ip": "10.213.0.1"},
    "a gateway outside": {"gateway_ip": "fd00:214::1"},
    "a route to another version": {"host_routes": [("10.9.0.0/16", "fd00:213::9")]},
    "a route by another version": {"host_routes": [("fd00:9::/64", "10.213.0.9")]},
    "a name server of another version": {"dns": ["192.0.2.53"]},
    "half a route": {"host_routes": [("fd00:9::/64",)]},
}


def from_mac(subnet: Subnet, mac: str) -> str:
    """The address that a guest makes itself (RFC 4291, appendix A)."""
    digits = f"{int(mac[:2], 16) ^ 2:02x}{mac[3:5]}{mac[6:8]}fffe{mac[9:11]}{mac[12:14]}{mac[15:]}"
    return str(IPv6Address(int(ip_network(subnet.cidr).network_address) | int(digits, 16)))


def fixed_ips(port: Port) -> dict[str, str]:
    """Subnet → address."""
    return {fixed.subnet_id: fixed.ip for fixed in port.fixed_ips}


def with_two_subnets(lab: Lab, cloud: Cloud, second: str) -> Network:
    """A network with a subnet of IPv4 and another one."""
    network = cloud.networks.create(lab.name("network"), cidr=lab.cidr())
    cloud.subnets.create(lab.name("subnet"), network=network, cidr=second)
    return cloud.networks.get(network)


@needs("networks.create", "subnets.create", "ports.create")
class TestSeveralSubnets(Conformance):
    @pytest.fixture
    def network(self, lab: Lab, cloud: Cloud) -> Network:
        return with_two_subnets(lab, cloud, lab.cidr())

    def test_a_network_has_them_all(self, cloud: Cloud, network: Network) -> None:
        subnets = list(cloud.subnets.list(network_id=network.id))
        assert len(subnets) == 2
        assert {subnet.id for subnet in subnets} == set(network.subnet_ids)

    def test_a_port_has_one_address_of_any(self, lab: Lab, cloud: Cloud, network: Network) -> None:
        (fixed,) = cloud.ports.create(lab.name("port"), network=network).fixed_ips
        assert ip_address(fixed.ip) in ip_network(cloud.subnets.get(fixed.subnet_id).cidr)

    def test_it_may_be_asked_for_from_each(self, lab: Lab, cloud: Cloud, network: Network) -> None:
        for subnet in cloud.subnets.list(network_id=network.id):
            by_subnet = cloud.ports.create(
                lab.name("port"), network=network, fixed_ips=[FixedIpSpec(subnet_id=subnet.id)]
            )
            assert ip_address(fixed_ips(by_subnet)[subnet.id]) in ip_network(subnet.cidr)
            ip = str(ip_network(subnet.cidr)[77])
            by_ip = cloud.ports.create(lab.name("port"), network=network, fixed_ips=[ip])
            assert fixed_ips(by_ip) == {subnet.id: ip}
            assert by_ip.mac != by_subnet.mac
            with pytest.raises(Conflict):
                cloud.ports.create(lab.name("port"), network=network, fixed_ips=[ip])

    def test_a_full_one_is_passed_over(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), cidr=lab.cidr().replace("/24", "/30"))
        cloud.subnets.create(lab.name("subnet"), network=network, cidr=lab.cidr())
        ports = [cloud.ports.create(lab.name("port"), network=network) for _ in range(4)]
        assert len({port.fixed_ips[0].ip for port in ports}) == 4

    def test_one_goes_while_the_other_is_in_use(self, lab: Lab, cloud: Cloud, network: Network) -> None:
        used, free = cloud.subnets.list(network_id=network.id)
        port = cloud.ports.create(lab.name("port"), network=network, fixed_ips=[FixedIpSpec(subnet_id=used.id)])
        with pytest.raises(InUse):
            cloud.subnets.delete(used)
        cloud.subnets.delete(free)
        assert cloud.networks.get(network).subnet_ids == (used.id,)
        assert cloud.ports.get(port).fixed_ips == port.fixed_ips

    @needs("routers")
    def test_a_router_joins_them_all(self, lab: Lab, cloud: Cloud, network: Network) -> None:
        router = cloud.routers.create(lab.name("router"), networks=[network])
        ports = list(cloud.ports.list(device_id=router.id))
        assert {fixed.subnet_id for port in ports for fixed in port.fixed_ips} == set(network.subnet_ids)
        cloud.routers.remove_interface(router, network.subnet_ids[0])
        (left,) = cloud.ports.list(device_id=router.id)
        assert set(fixed_ips(left)) == {network.subnet_ids[1]}


@needs("networks.create", "subnets.create", "ports.create", "subnets.create:ipv6_mode")
class TestIpv6(Conformance):
    @pytest.fixture
    def network(self, lab: Lab, cloud: Cloud) -> Network:
        return with_two_subnets(lab, cloud, lab.cidr6())

    @pytest.fixture
    def subnet(self, cloud: Cloud, network: Network) -> Subnet:
        (subnet,) = (each for each in cloud.subnets.list(network_id=network.id) if each.ip_version == 6)
        return subnet

    def test_guests_make_their_addresses_unless_told_otherwise(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), cidr=lab.cidr6(), dns=["2001:db8::53"])
        subnet = cloud.subnets.get(network.subnet_ids[0])
        assert (subnet.ip_version, subnet.ipv6_mode, subnet.dhcp) == (6, "slaac", True)
        assert (subnet.gateway_ip, subnet.dns) == (str(ip_network(subnet.cidr)[1]), ("2001:db8::53",))
        port = cloud.ports.create(lab.name("port"), network=network)
        assert fixed_ips(port) == {subnet.id: from_mac(subnet, port.mac)}

    def test_an_ipv4_subnet_has_no_mode(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), cidr=lab.cidr())
        assert cloud.subnets.get(network.subnet_ids[0]).ipv6_mode is None

    @pytest.mark.parametrize("what", BAD_IPV6)
    def test_what_makes_no_sense_is_refused(self, lab: Lab, cloud: Cloud, what: str) -> None:
        before = lab.inventory()
        with pytest.raises(InvalidRequest):
            lab.make(cloud, Kind.NETWORK, **{"cidr": "fd00:213::/64", **BAD_IPV6[what]})
        assert lab.inventory() == before

    def test_a_port_has_an_address_of_each_version(
        self, lab: Lab, cloud: Cloud, network: Network, subnet: Subnet
    ) -> None:
        found = fixed_ips(cloud.ports.create(lab.name("port"), network=network))
        assert set(found) == set(network.subnet_ids)
        ports = [
            cloud.ports.create(lab.name("port"), network=network, fixed_ips=wish)
            for wish in ([FixedIpSpec(subnet_id=network.subnet_ids[0])], [FixedIpSpec(subnet_id=subnet.id)])
        ]
        assert all(fixed_ips(port)[subnet.id] == from_mac(subnet, port.mac) for port in ports)

    def test_an_address_that_guests_make_cannot_be_asked_for(
        self, lab: Lab, cloud: Cloud, network: Network, subnet: Subnet
    ) -> None:
        with pytest.raises(InvalidRequest):
            cloud.ports.create(lab.name("port"), network=network, fixed_ips=[str(ip_network(subnet.cidr)[77])])

    def test_a_server_shows_both(self, lab: Lab, cloud: Cloud, network: Network, subnet: Subnet) -> None:
        server = lab.server(cloud, networks=[network])
        assert sorted(address.version for address in server.addresses) == [4, 6]
        (six,) = (address for address in server.addresses if address.version == 6)
        assert ip_address(six.ip) == ip_address(from_mac(subnet, six.mac))

    def test_ports_that_were_there_get_an_address(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"), cidr=lab.cidr())
        port = cloud.ports.create(lab.name("port"), network=network)
        subnet = cloud.subnets.create(lab.name("subnet"), network=network, cidr=lab.cidr6())
        assert fixed_ips(cloud.ports.get(port)) == {
            **fixed_ips(port),
            subnet.id: from_mac(subnet, port.mac),
        }
        cloud.subnets.delete(subnet)
        assert cloud.ports.get(port).fixed_ips == port.fixed_ips

    @needs("routers")
    def test_a_router_joins_it_at_its_gateway(self, lab: Lab, cloud: Cloud, network: Network, subnet: Subnet) -> None:
        router = cloud.routers.create(lab.name("router"), networks=[network])
        found = {key: ip for port in cloud.ports.list(device_id=router.id) for key, ip in fixed_ips(port).items()}
        assert set(found) == set(network.subnet_ids)
        assert found[subnet.id] == subnet.gateway_ip
        with pytest.raises(InUse):
            cloud.subnets.delete(subnet)
        cloud.routers.remove_interface(router, subnet)
        cloud.subnets.delete(subnet)

    @needs("floating_ips", "routers")
    def test_a_floating_ip_is_for_ipv4(self, lab: Lab, cloud: Cloud, network: Network) -> None:
        cloud.routers.create(lab.name("router"), external=lab.external, networks=[network])
        port = cloud.ports.create(lab.name("port"), network=network)
        floating_ip = cloud.floating_ips.create(external=lab.external, port=port)
        assert [floating_ip.fixed_ip] == [fixed.ip for fixed in port.fixed_ips if ":" not in fixed.ip]

    @pytest.mark.parametrize("mode", ["dhcpv6-stateless", "dhcpv6-stateful"])
    def test_another_mode_is_kept_or_refused(self, lab: Lab, cloud: Cloud, mode: str) -> None:
        before = lab.inventory()
        try:
            network = cloud.networks.create(lab.name("network"), cidr=lab.cidr6(), ipv6_mode=mode)
        except Unsupported:
            assert lab.inventory() == before
        else:
            assert cloud.subnets.get(network.subnet_ids[0]).ipv6_mode == mode


@needs("networks.create", "subnets.create", "subnets.create:host_routes")
class TestHostRoutes(Conformance):
    def test_they_are_kept(self, lab: Lab, cloud: Cloud) -> None:
        cidr = lab.cidr()
        routes = (("192.0.2.0/24", str(ip_network(cidr)[9])), ("198.51.100.0/24", str(ip_network(cidr)[8])))
        network = cloud.networks.create(lab.name("network"), cidr=cidr, host_routes=routes)
        assert set(cloud.subnets.get(network.subnet_ids[0]).host_routes) == set(routes)

    @pytest.mark.parametrize(
        "routes", ["10.9.0.0/16", [("10.9.0.0", "10.213.0.9")], [("10.9.0.0/16", "router")], [7]], ids=str
    )
    def test_what_is_no_route_is_refused(self, lab: Lab, cloud: Cloud, routes: Any) -> None:
        before = lab.inventory()
        with pytest.raises(InvalidRequest):
            cloud.networks.create(lab.name("network"), cidr="10.213.0.0/24", host_routes=routes)
        assert lab.inventory() == before
