from __future__ import annotations

from typing import Any

import pytest

from cloudkit import (
    AlreadyExists,
    Cloud,
    Conflict,
    FixedIpSpec,
    InUse,
    InvalidRequest,
    Network,
    NetworkStatus,
    Server,
)


@pytest.fixture
def server(cloud: Cloud, server_args: dict[str, Any]) -> Server:
    return cloud.servers.create("web", **server_args)


def test_a_network_and_its_subnet_by_one_call(cloud: Cloud) -> None:
    network = cloud.networks.create("n", cidr="10.1.0.0/16", dns=["8.8.8.8"], gateway_ip="10.1.0.9", dhcp=False)
    (subnet,) = cloud.subnets.list(network_id=network.id)
    assert network.subnet_ids == (subnet.id,)
    assert (subnet.name, subnet.cidr, subnet.dns) == ("n", "10.1.0.0/16", ("8.8.8.8",))
    assert (subnet.gateway_ip, subnet.dhcp) == ("10.1.0.9", False)
    cloud.networks.delete(network)
    assert list(cloud.subnets.list(network_id=network.id)) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"dns": ["8.8.8.8"]}, "no cidr is given"),
        ({"gateway_ip": None}, "no cidr is given"),
        ({"cidr": "10.0.0.0/33"}, "is no CIDR"),
        ({"cidr": "10.0.0.0/24", "gateway_ip": "10.0.1.1"}, "gateway_ip: 10.0.1.1 is not within"),
        ({"cidr": "10.0.0.0/24", "gateway_ip": "::1"}, "an IPv4 address is expected"),
        ({"cidr": "10.0.0.0/24", "dns": ["x"]}, "dns: an IPv4 address"),
        ({"cidr": "10.0.0.0/24", "allocation_pools": [("10.0.0.1", "10.0.0.9")]}, "holds the gateway"),
        ({"mtu": 67}, "mtu: it is 67"),
        ({"external": "yes"}, "external: True or False"),
    ],
)
def test_a_wrong_network_makes_nothing(cloud: Cloud, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        cloud.networks.create("n", **arguments)
    assert [network.name for network in cloud.networks.list()] == ["public"]


def test_overlapping_subnets_of_a_network_conflict(cloud: Cloud, network: Network) -> None:
    with pytest.raises(Conflict, match="overlaps"):
        cloud.subnets.create("s", network=network, cidr="172.16.0.0/16")
    assert len(list(cloud.subnets.list(network_id=network.id))) == 1


def test_ports(cloud: Cloud, network: Network) -> None:
    port = cloud.ports.create("p", network="private", fixed_ips=[FixedIpSpec(subnet_id=network.subnet_ids[0])])
    assert port.fixed_ips[0].ip == "172.16.1.2"
    with pytest.raises(Conflict, match=r"172\.16\.1\.2 is taken"):
        cloud.ports.create("q", network=network, fixed_ips=["172.16.1.2"])
    with pytest.raises(InvalidRequest, match="an address or a subnet is expected"):
        cloud.ports.create("q", network=network, fixed_ips=[FixedIpSpec()])
    with pytest.raises(AlreadyExists, match="MAC"):
        cloud.ports.create("q", network=network, mac=port.mac)
    assert cloud.ports.create("q", network=network, security_groups=()).security_group_ids == ()
    with pytest.raises(InUse):
        cloud.networks.delete(network)


def test_a_router_joins_leaves_and_leads_out(cloud: Cloud, network: Network) -> None:
    router = cloud.routers.create("r", external="public", networks=["private"])
    assert router.external_ips
    (subnet_id,) = network.subnet_ids
    with pytest.raises(Conflict):
        cloud.routers.add_interface("r", subnet_id)
    cloud.routers.remove_interface("r", subnet_id)
    assert cloud.routers.add_interface(router, "private") == router
    assert cloud.routers.set_gateway("r", None).external_network_id is None
    assert cloud.routers.set_gateway("r", "public").external_ips
    cloud.routers.delete("r")
    assert list(cloud.ports.list()) == []


def test_a_router_cannot_join_a_network_without_a_subnet(cloud: Cloud) -> None:
    cloud.networks.create("bare")
    with pytest.raises(InvalidRequest, match="has no subnet to join"):
        cloud.routers.create("r", networks=["bare"])
    assert list(cloud.routers.list()) == []


def test_floating_ips(cloud: Cloud, server: Server) -> None:
    with pytest.raises(Conflict, match="no router leads"):
        cloud.floating_ips.create(server="web")
    assert list(cloud.floating_ips.list()) == []
    cloud.routers.create("r", external="public", networks=["private"])
    floating_ip = cloud.floating_ips.create(server="web")
    assert floating_ip.name == floating_ip.ip
    assert (floating_ip.fixed_ip, floating_ip.status) == ("172.16.1.2", NetworkStatus.ACTIVE)
    assert [address.ip for address in cloud.servers.get(server).addresses if address.floating] == [floating_ip.ip]
    with pytest.raises(InUse):
        cloud.routers.delete("r")
    assert cloud.floating_ips.disassociate(floating_ip.ip).port_id is None
    port = cloud.ports.get(server.addresses[0].port_id)
    assert cloud.floating_ips.associate(floating_ip, port, fixed_ip="172.16.1.2").port_id == port.id
    cloud.floating_ips.disassociate(floating_ip)
    assert cloud.floating_ips.associate(floating_ip, "web").port_id == port.id
    cloud.floating_ips.delete(floating_ip.ip)
    assert len(cloud.servers.get(server).addresses) == 1
    with pytest.raises(InvalidRequest, match="not to both"):
        cloud.floating_ips.create(server=server, port=port)


def test_a_server_without_an_address_or_with_several_needs_a_port(cloud: Cloud, server_args: dict[str, Any]) -> None:
    bare = cloud.servers.create("bare", **{**server_args, "networks": "none"})
    with pytest.raises(InvalidRequest, match="no IPv4 address"):
        cloud.floating_ips.create(server=bare)
    second = cloud.networks.create("second", cidr="10.0.0.0/24")
    both = cloud.servers.create("both", **{**server_args, "networks": ["private", second]})
    with pytest.raises(InvalidRequest, match="has 2 ports") as raised:
        cloud.floating_ips.create(server=both)
    assert raised.value.hint == "Pass port=."


def test_which_external_network_must_be_clear(cloud: Cloud) -> None:
    cloud.networks.create("outside", cidr="198.51.100.0/24", external=True)
    with pytest.raises(InvalidRequest, match=r"there are 2: public, outside"):
        cloud.floating_ips.create()
    assert cloud.floating_ips.create(external="outside", ip="198.51.100.7").ip == "198.51.100.7"
    with pytest.raises(AlreadyExists):
        cloud.floating_ips.create(external="outside", ip="198.51.100.7")


def test_security_groups(cloud: Cloud, server_args: dict[str, Any]) -> None:
    group = cloud.security_groups.create("ssh")
    assert {rule.direction for rule in group.rules} == {"egress"}
    rule = cloud.security_groups.add_rule("ssh", "tcp", port=22, cidr="10.0.0.0/8")
    assert (rule.port_min, rule.port_max, rule.remote_cidr, rule.direction) == (22, 22, "10.0.0.0/8", "ingress")
    with pytest.raises(AlreadyExists):
        cloud.security_groups.add_rule(group, "TCP", port=(22, 22), cidr="10.0.0.0/8")
    icmp = cloud.security_groups.add_rule("ssh", "icmp", port=(8, 0))
    assert (icmp.port_min, icmp.port_max) == (8, 0)
    six = cloud.security_groups.add_rule("ssh", "icmp", port=128, cidr="::/0")
    assert (six.ip_version, six.protocol, six.port_min, six.port_max) == (6, "icmpv6", 128, None)
    friend = cloud.security_groups.add_rule("ssh", 47, remote_group="default")
    assert (friend.protocol, friend.remote_group_id) == ("47", cloud.security_groups.get("default").id)
    server = cloud.servers.create("web", **server_args, security_groups=["ssh", group])
    assert server.security_groups == ("ssh",)
    with pytest.raises(InUse):
        cloud.security_groups.delete("ssh")
    assert cloud.servers.set_security_groups(server, ["default"]).security_groups == ("default",)
    cloud.security_groups.remove_rule("ssh", rule)
    cloud.security_groups.remove_rule("ssh", icmp.id)
    assert {each.id for each in cloud.security_groups.get("ssh").rules} >= {six.id, friend.id}
    cloud.security_groups.delete("ssh")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"protocol": "tpc"}, "protocol: there is no 'tpc'"),
        ({"protocol": 256}, "protocol: it is 256"),
        ({"protocol": "300"}, "protocol: it is 300"),
        ({"port": 22}, "the protocol any has no ports"),
        ({"protocol": "gre", "port": 22}, "the protocol gre has no ports"),
        ({"protocol": "tcp", "port": 0}, "port: it is 0"),
        ({"protocol": "tcp", "port": 65536}, "port: it is 65536"),
        ({"protocol": "tcp", "port": (9, 1)}, "ends before it starts"),
        ({"protocol": "tcp", "port": (1, 2, 3)}, "first and last of a range"),
        ({"protocol": "icmp", "port": 256}, "port: it is 256"),
        ({"cidr": "10.0.0.0/8", "remote_group": "default"}, "either cidr or remote_group"),
        ({"cidr": "10.0.0.0/8", "ip_version": 6}, "the cidr is one of version 4"),
        ({"ip_version": 5}, "4 or 6 is expected"),
        ({"direction": "inwards"}, "direction: there is no 'inwards'"),
    ],
)
def test_wrong_rules(cloud: Cloud, arguments: dict[str, Any], says: str) -> None:
    before = cloud.security_groups.get("default")
    with pytest.raises(InvalidRequest, match=says):
        cloud.security_groups.add_rule("default", **arguments)
    assert cloud.security_groups.get("default") == before


def test_server_groups(cloud: Cloud, server_args: dict[str, Any]) -> None:
    group = cloud.server_groups.create("together", policy="affinity")
    server = cloud.servers.create("web", **server_args, server_group="together")
    assert cloud.server_groups.get(group).server_ids == (server.id,)
    with pytest.raises(InvalidRequest, match="policy: there is no 'togetherness'"):
        cloud.server_groups.create("x", policy="togetherness")


def test_snapshots_and_volumes_from_them(cloud: Cloud) -> None:
    cloud.volumes.create("data", size_gib=2)
    snapshot = cloud.snapshots.create("s", volume="data", metadata={"a": "b"})
    assert (snapshot.status, snapshot.size_gib) == ("available", 2)
    copy = cloud.volumes.create("copy", size_gib=3, snapshot="s")
    assert copy.snapshot_id == snapshot.id
    with pytest.raises(InvalidRequest, match="one image, snapshot or volume"):
        cloud.volumes.create("x", size_gib=1, snapshot="s", image="blank")
    with pytest.raises(InvalidRequest, match="at least 2 GiB"):
        cloud.volumes.create("x", size_gib=1, snapshot="s")
    with pytest.raises(InUse):
        cloud.volumes.delete("data")
    cloud.snapshots.delete("s")
    cloud.volumes.delete("data")
