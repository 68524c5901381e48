"""Addresses: unique, from the pools, given back."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cloudkit
from cloudkit import AlreadyExists, Cloud, Conflict, FixedIpSpec, Image, InUse, InvalidRequest, Network, NotFound
from cloudkit_fake.networks import default_pools

CIDRS = st.builds(
    lambda number, length: ip_network((number >> (32 - length) << (32 - length), length)),
    st.integers(10 << 24, (11 << 24) - 1),
    st.integers(27, 30),
)


@given(cidr=CIDRS, with_gateway=st.booleans(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_ports_take_each_address_of_the_pools_once_and_give_it_back(
    cidr: Any, with_gateway: bool, data: st.DataObject
) -> None:
    with cloudkit.connect("fake://") as cloud:
        network = cloud.networks.create("n", cidr=str(cidr), gateway_ip="auto" if with_gateway else None)
        subnet = cloud.subnets.get(network.subnet_ids[0])
        allowed = {
            str(ip_address(number))
            for low, high in subnet.allocation_pools
            for number in range(int(ip_address(low)), int(ip_address(high)) + 1)
        }
        ports = [cloud.ports.create(f"p{number}", network=network) for number in range(len(allowed))]
        taken = [port.fixed_ips[0].ip for port in ports]
        assert set(taken) == allowed
        assert len(set(taken)) == len(taken)
        assert subnet.gateway_ip not in allowed
        with pytest.raises(Conflict, match="no free address"):
            cloud.ports.create("one more", network=network)
        freed = data.draw(st.sampled_from(ports))
        cloud.ports.delete(freed)
        assert cloud.ports.create("again", network=network).fixed_ips == freed.fixed_ips


@given(cidr=CIDRS, offset=st.integers(0, 31))
def test_default_pools_are_all_usable_addresses_but_the_gateway(cidr: Any, offset: int) -> None:
    gateway = str(cidr.network_address + offset % cidr.num_addresses)
    pools = default_pools(cidr, gateway)
    numbers = [number for low, high in pools for number in range(int(ip_address(low)), int(ip_address(high)) + 1)]
    assert numbers == [int(host) for host in cidr.hosts() if str(host) != gateway]


def test_a_network_has_one_address_of_each_version(cloud: Cloud, network: Network) -> None:
    cloud.subnets.create("v6", network=network, cidr="2001:db8::/64", dhcp=False)
    port = cloud.ports.create("p", network=network)
    assert [fixed.ip for fixed in port.fixed_ips] == ["172.16.1.2", "2001:db8::2"]


def test_two_interfaces_on_one_network_have_different_addresses(cloud: Cloud, image: Image, network: Network) -> None:
    server = cloud.servers.create("web", image=image, flavor="m1.tiny", networks=[network, network])
    assert [address.ip for address in server.addresses] == ["172.16.1.2", "172.16.1.3"]


def test_given_addresses_are_checked(cloud: Cloud, image: Image, network: Network) -> None:
    port = cloud.ports.create("p", network=network, fixed_ips=["172.16.1.77"], mac="fa:16:3e:00:00:01")
    assert port.fixed_ips[0].ip == "172.16.1.77"
    for ip in ("172.16.1.77", "172.16.1.1"):
        with pytest.raises(Conflict, match="taken"):
            cloud.ports.create("q", network=network, fixed_ips=[ip])
    for ip in ("172.16.1.0", "172.16.1.255", "10.0.0.1"):
        with pytest.raises(InvalidRequest, match="no usable address"):
            cloud.ports.create("q", network=network, fixed_ips=[ip])
    with pytest.raises(AlreadyExists, match="MAC"):
        cloud.ports.create("q", network=network, mac="fa:16:3e:00:00:01")
    with pytest.raises(Conflict, match="taken"):
        cloud.servers.create(
            "web",
            image=image,
            flavor="m1.tiny",
            networks=[cloudkit.Nic(network_id=network.id, fixed_ip="172.16.1.77")],
        )
    assert [each.name for each in cloud.ports.list()] == ["p"]


def test_an_address_is_asked_for_by_subnet(cloud: Cloud, network: Network) -> None:
    second = cloud.subnets.create("second", network=network, cidr="172.16.2.0/24")
    port = cloud.ports.create("p", network=network, fixed_ips=[FixedIpSpec(subnet_id=second.id)])
    assert port.fixed_ips[0].ip == "172.16.2.2"
    foreign = cloud.networks.create("other", cidr="172.16.3.0/24").subnet_ids[0]
    with pytest.raises(InvalidRequest, match="another network"):
        cloud.ports.create("p", network=network, fixed_ips=[FixedIpSpec(subnet_id=foreign)])


def test_an_interface_needs_a_network(driver: Any, cloud: Cloud, image: Image) -> None:
    spec = cloudkit.types.ServerSpec(
        name="web",
        mark=cloudkit.types.Mark(request="r"),
        image_id=image.id,
        flavor_id="1",
        nics=(cloudkit.Nic(),),
    )
    with pytest.raises(InvalidRequest, match="a network or a port"):
        driver.compute.servers.create(spec)
    assert list(cloud.servers.list()) == []


@pytest.mark.parametrize(
    ("pools", "words"),
    [
        ([("172.16.9.9", "172.16.9.2")], "ends before it starts"),
        ([("172.16.9.1", "172.16.9.9")], "holds the gateway"),
        ([("172.16.9.2", "172.16.9.9"), ("172.16.9.9", "172.16.9.12")], "overlaps"),
        ([("172.16.9.0", "172.16.9.9")], "no usable address"),
        ([("172.16.8.2", "172.16.9.9")], "no usable address"),
    ],
)
def test_bad_pools_are_refused_by_the_driver_itself(
    driver: Any, cloud: Cloud, pools: list[tuple[str, str]], words: str
) -> None:
    network = cloud.networks.create("n")
    spec = cloudkit.types.SubnetSpec(
        name="s",
        mark=cloudkit.types.Mark(request="r"),
        network_id=network.id,
        cidr="172.16.9.0/24",
        ip_version=4,
        allocation_pools=tuple(pools),
    )
    with pytest.raises(InvalidRequest, match=words):
        driver.network.subnets.create(spec)
    assert cloud.networks.get(network).subnet_ids == ()


def test_a_subnet_that_is_none_is_refused_by_the_driver_itself(driver: Any, network: Network) -> None:
    spec = cloudkit.types.SubnetSpec(
        name="s", mark=cloudkit.types.Mark(request="r"), network_id=network.id, cidr="172.16.1.9/24", ip_version=4
    )
    with pytest.raises(InvalidRequest, match="is no subnet"):
        driver.network.subnets.create(spec)


def test_subnets_of_a_network_do_not_overlap(cloud: Cloud, network: Network) -> None:
    with pytest.raises(Conflict, match="overlaps"):
        cloud.subnets.create("s", network=network, cidr="172.16.0.0/16")
    with pytest.raises(NotFound):
        cloud.subnets.create("s", network="public", cidr="172.16.9.0/24")


def test_pools_of_ones_own_are_kept_to(cloud: Cloud) -> None:
    network = cloud.networks.create("n", cidr="172.16.9.0/24", allocation_pools=[("172.16.9.50", "172.16.9.51")])
    first, second = (cloud.ports.create(name, network=network) for name in "ab")
    assert [first.fixed_ips[0].ip, second.fixed_ips[0].ip] == ["172.16.9.50", "172.16.9.51"]
    with pytest.raises(Conflict):
        cloud.ports.create("c", network=network)


def test_a_network_or_subnet_in_use_stays(cloud: Cloud, network: Network) -> None:
    port = cloud.ports.create("p", network=network)
    with pytest.raises(InUse, match=port.id):
        cloud.networks.delete(network)
    with pytest.raises(InUse, match="addresses"):
        cloud.subnets.delete(network.subnet_ids[0])
    cloud.ports.delete(port)
    cloud.subnets.delete(network.subnet_ids[0])
    assert cloud.networks.get(network).subnet_ids == ()
    with pytest.raises(NotFound):
        cloud.ports.create("p", network="00000000-0000-4000-8000-000000000000")


def test_deleting_a_network_deletes_its_subnets(cloud: Cloud, network: Network) -> None:
    cloud.networks.delete(network)
    assert [subnet.name for subnet in cloud.subnets.list()] == ["public"]


def test_deleting_a_network_that_leads_out_is_refused(cloud: Cloud) -> None:
    outside = cloud.networks.create("outside", cidr="198.51.100.0/24", external=True)
    router = cloud.routers.create("r", external=outside)
    with pytest.raises(InUse, match="router"):
        cloud.networks.delete(outside)
    cloud.routers.delete(router)
    floating_ip = cloud.floating_ips.create(external=outside)
    with pytest.raises(InUse, match="floating IP"):
        cloud.networks.delete(outside)
    cloud.floating_ips.delete(floating_ip)
    cloud.networks.delete(outside)
    assert cloud.networks.find("outside") is None
