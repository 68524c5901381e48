"""Routers, floating IPs and security groups."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from cloudkit import (
    AlreadyExists,
    Cloud,
    Conflict,
    FloatingIp,
    InUse,
    InvalidRequest,
    Kind,
    Network,
    NotFound,
    Router,
    Server,
)
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab

NOBODY = "00000000-0000-4000-8000-000000000000"


def network_of(lab: Lab, cloud: Cloud) -> Network:
    """A new network with a subnet."""
    return cloud.networks.create(lab.name("network"), cidr=lab.cidr())


@needs("routers", "networks.create", "subnets.create")
class TestRouters(Conformance):
    def test_a_router_may_lead_nowhere(self, lab: Lab, cloud: Cloud) -> None:
        router = cloud.routers.create(lab.name("router"))
        assert (router.external_network_id, router.external_ips) == (None, ())
        assert router.status in ("ACTIVE", "DOWN")

    def test_it_joins_networks_at_their_gateways(self, lab: Lab, cloud: Cloud) -> None:
        networks = [network_of(lab, cloud) for _ in range(2)]
        router = cloud.routers.create(lab.name("router"), networks=networks)
        ports = list(cloud.ports.list(device_id=router.id))
        gateways = {cloud.subnets.get(network.subnet_ids[0]).gateway_ip for network in networks}
        assert {fixed.ip for port in ports for fixed in port.fixed_ips} == gateways
        assert {port.device_owner for port in ports} == {"network:router_interface"}

    def test_it_joins_subnets(self, lab: Lab, cloud: Cloud) -> None:
        network = network_of(lab, cloud)
        router = cloud.routers.create(lab.name("router"), subnets=network.subnet_ids)
        assert [port.network_id for port in cloud.ports.list(device_id=router.id)] == [network.id]

    def test_it_joins_and_leaves_a_subnet(self, lab: Lab, cloud: Cloud) -> None:
        router, network = cloud.routers.create(lab.name("router")), network_of(lab, cloud)
        assert cloud.routers.add_interface(router, network.subnet_ids[0]).id == router.id
        assert len(list(cloud.ports.list(device_id=router.id))) == 1
        assert cloud.routers.remove_interface(router, network.subnet_ids[0]).id == router.id
        assert list(cloud.ports.list(device_id=router.id)) == []

    def test_it_leads_out(self, lab: Lab, cloud: Cloud) -> None:
        router = cloud.routers.create(lab.name("router"), external=lab.external)
        assert router.external_network_id == lab.external.id
        subnets = [ip_network(cloud.subnets.get(id).cidr) for id in lab.external.subnet_ids]
        assert router.external_ips
        assert all(any(ip_address(ip) in subnet for subnet in subnets) for ip in router.external_ips)

    def test_its_gateway_is_set_and_taken_away(self, lab: Lab, cloud: Cloud) -> None:
        router = cloud.routers.create(lab.name("router"))
        assert cloud.routers.set_gateway(router, lab.external.name).external_network_id == lab.external.id
        away = cloud.routers.set_gateway(router, None)
        assert (away.external_network_id, away.external_ips) == (None, ())

    def test_a_subnet_has_one_router_at_its_gateway(self, lab: Lab, cloud: Cloud) -> None:
        network = network_of(lab, cloud)
        cloud.routers.create(lab.name("router"), networks=[network])
        before = lab.inventory(Kind.ROUTER, Kind.PORT, Kind.FLOATING_IP)
        with pytest.raises(Conflict):
            cloud.routers.create(lab.name("router"), networks=[network])
        assert lab.inventory(Kind.ROUTER, Kind.PORT, Kind.FLOATING_IP) == before

    def test_ranges_that_overlap_do_not_meet(self, lab: Lab, cloud: Cloud) -> None:
        cidr = lab.cidr()
        networks = [cloud.networks.create(lab.name("network"), cidr=cidr)]
        before = lab.inventory(Kind.ROUTER, Kind.PORT, Kind.FLOATING_IP)
        # Where all networks share one table of routes, not even the second network is made.
        with cloud.scope("overlap") as mine, pytest.raises(Conflict):  # noqa: PT012
            networks.append(mine.networks.create(lab.name("network"), cidr=cidr))
            mine.routers.create(lab.name("router"), networks=networks)
        assert lab.inventory(Kind.ROUTER, Kind.PORT, Kind.FLOATING_IP) == before

    def test_a_network_without_a_subnet_is_refused(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name("network"))
        before = lab.inventory(Kind.ROUTER, Kind.PORT, Kind.FLOATING_IP)
        with pytest.raises(InvalidRequest):
            cloud.routers.create(lab.name("router"), networks=[network])
        assert lab.inventory(Kind.ROUTER, Kind.PORT, Kind.FLOATING_IP) == before

    def test_only_an_external_network_leads_out(self, lab: Lab, cloud: Cloud) -> None:
        network = network_of(lab, cloud)
        before = lab.inventory(Kind.ROUTER, Kind.PORT, Kind.FLOATING_IP)
        with pytest.raises(InvalidRequest):
            cloud.routers.create(lab.name("router"), external=network)
        assert lab.inventory(Kind.ROUTER, Kind.PORT, Kind.FLOATING_IP) == before

    def test_what_is_not_there_is_not_found(self, lab: Lab, cloud: Cloud) -> None:
        router = cloud.routers.create(lab.name("router"))
        with pytest.raises(NotFound):
            cloud.routers.create(lab.name("router"), external=lab.name())
        for verb in (cloud.routers.add_interface, cloud.routers.remove_interface):
            with pytest.raises(NotFound):
                verb(router, NOBODY)
            with pytest.raises(NotFound):
                verb(NOBODY, lab.network.subnet_ids[0])
        with pytest.raises(NotFound):
            cloud.routers.remove_interface(router, lab.network.subnet_ids[0])

    def test_its_delete_takes_its_interfaces_off(self, lab: Lab, cloud: Cloud) -> None:
        network = network_of(lab, cloud)
        router = cloud.routers.create(lab.name("router"), networks=[network], external=lab.external)
        cloud.routers.delete(router)
        assert list(cloud.ports.list(device_id=router.id)) == []
        cloud.networks.delete(network)
        assert cloud.networks.find(network.name) is None

    def test_a_network_that_it_has_joined_is_not_deleted(self, lab: Lab, cloud: Cloud) -> None:
        network = network_of(lab, cloud)
        cloud.routers.create(lab.name("router"), networks=[network])
        with pytest.raises(InUse):
            cloud.networks.delete(network)
        assert cloud.networks.get(network).subnet_ids == network.subnet_ids


def routed(lab: Lab, cloud: Cloud) -> tuple[Server, Router]:
    """A server whose network has a way out."""
    network = network_of(lab, cloud)
    router = cloud.routers.create(lab.name("router"), external=lab.external, networks=[network])
    return lab.server(cloud, networks=[network]), router


def floating(server: Server) -> list[str]:
    """The floating addresses of a server."""
    return [address.ip for address in server.addresses if address.floating]


@needs("floating_ips", "routers", "networks.create", "subnets.create")
class TestFloatingIps(Conformance):
    def test_a_free_one_leads_nowhere(self, lab: Lab, cloud: Cloud) -> None:
        taken = cloud.floating_ips.create(external=lab.external)
        assert taken.name == taken.ip
        assert any(ip_address(taken.ip) in ip_network(cloud.subnets.get(id).cidr) for id in lab.external.subnet_ids)
        assert taken.external_network_id == lab.external.id
        assert (taken.port_id, taken.fixed_ip, taken.router_id, taken.status) == (None, None, None, "DOWN")

    def test_two_are_different(self, lab: Lab, cloud: Cloud) -> None:
        one, two = (cloud.floating_ips.create(external=lab.external) for _ in range(2))
        assert one.ip != two.ip

    def test_a_server_gets_one_from_the_start(self, lab: Lab, cloud: Cloud) -> None:
        server, router = routed(lab, cloud)
        taken = cloud.floating_ips.create(external=lab.external, server=server)
        fixed = server.addresses[0]
        assert (taken.port_id, taken.fixed_ip, taken.router_id) == (fixed.port_id, fixed.ip, router.id)
        assert floating(cloud.servers.get(server)) == [taken.ip]

    def test_a_port_gets_one(self, lab: Lab, cloud: Cloud) -> None:
        server, _ = routed(lab, cloud)
        taken = cloud.floating_ips.create(external=lab.external, port=server.addresses[0].port_id)
        assert floating(cloud.servers.get(server)) == [taken.ip]

    def test_it_goes_from_server_to_server(self, lab: Lab, cloud: Cloud) -> None:
        (one, _), (two, _) = routed(lab, cloud), routed(lab, cloud)
        taken = cloud.floating_ips.create(external=lab.external)
        for server in (one, two):
            assert cloud.floating_ips.associate(taken, server).fixed_ip == server.addresses[0].ip
        assert floating(cloud.servers.get(one)) == []
        assert floating(cloud.servers.get(two)) == [taken.ip]

    def test_it_goes_to_a_port_value(self, lab: Lab, cloud: Cloud) -> None:
        server, _ = routed(lab, cloud)
        port = cloud.ports.get(server.addresses[0].port_id)
        taken = cloud.floating_ips.associate(
            cloud.floating_ips.create(external=lab.external), port, fixed_ip=port.fixed_ips[0].ip
        )
        assert (taken.port_id, taken.fixed_ip) == (port.id, port.fixed_ips[0].ip)

    def test_it_is_taken_away_and_kept(self, lab: Lab, cloud: Cloud) -> None:
        server, _ = routed(lab, cloud)
        taken = cloud.floating_ips.create(external=lab.external, server=server)
        free: FloatingIp = cloud.floating_ips.disassociate(taken)
        assert (free.id, free.ip, free.port_id, free.fixed_ip) == (taken.id, taken.ip, None, None)
        assert floating(cloud.servers.get(server)) == []

    def test_it_outlives_its_server(self, lab: Lab, cloud: Cloud) -> None:
        server, _ = routed(lab, cloud)
        taken = cloud.floating_ips.create(external=lab.external, server=server)
        cloud.servers.delete(server)
        assert cloud.floating_ips.get(taken).port_id is None

    def test_its_delete_takes_it_from_the_server(self, lab: Lab, cloud: Cloud) -> None:
        server, _ = routed(lab, cloud)
        cloud.floating_ips.delete(cloud.floating_ips.create(external=lab.external, server=server))
        assert floating(cloud.servers.get(server)) == []

    def test_without_a_way_out_it_conflicts_and_none_is_taken(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, networks=[network_of(lab, cloud)])
        before = lab.inventory(Kind.ROUTER, Kind.PORT, Kind.FLOATING_IP)
        with pytest.raises(Conflict):
            cloud.floating_ips.create(external=lab.external, server=server)
        assert lab.inventory(Kind.ROUTER, Kind.PORT, Kind.FLOATING_IP) == before

    def test_a_server_without_an_address_gets_none(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        before = lab.inventory(Kind.ROUTER, Kind.PORT, Kind.FLOATING_IP)
        with pytest.raises(InvalidRequest):
            cloud.floating_ips.create(external=lab.external, server=server)
        assert lab.inventory(Kind.ROUTER, Kind.PORT, Kind.FLOATING_IP) == before

    def test_a_router_that_it_needs_stays(self, lab: Lab, cloud: Cloud) -> None:
        server, router = routed(lab, cloud)
        cloud.floating_ips.create(external=lab.external, server=server)
        (subnet,) = cloud.subnets.list(network_id=server.addresses[0].network_id)
        with pytest.raises(InUse):
            cloud.routers.remove_interface(router, subnet)
        with pytest.raises(InUse):
            cloud.routers.set_gateway(router, None)
        with pytest.raises(InUse):
            cloud.routers.delete(router)
        assert cloud.routers.get(router).external_network_id == lab.external.id

    def test_only_external_networks_give_them(self, lab: Lab, cloud: Cloud) -> None:
        with pytest.raises(InvalidRequest):
            cloud.floating_ips.create(external=lab.network)

    def test_server_and_port_contradict_each_other(self, lab: Lab, cloud: Cloud) -> None:
        with pytest.raises(InvalidRequest):
            cloud.floating_ips.create(external=lab.external, server=NOBODY, port=NOBODY)

    @needs("floating_ips.create:ip")
    def test_the_address_that_was_asked_for_is_given_once(self, lab: Lab, cloud: Cloud) -> None:
        taken = cloud.floating_ips.create(external=lab.external)
        cloud.floating_ips.delete(taken)
        again = cloud.floating_ips.create(external=lab.external, ip=taken.ip)
        assert again.ip == taken.ip
        with pytest.raises(Conflict):
            cloud.floating_ips.create(external=lab.external, ip=taken.ip)
        with pytest.raises(InvalidRequest):
            cloud.floating_ips.create(external=lab.external, ip="no address")


BAD_RULES: dict[str, dict[str, Any]] = {
    "unknown protocol": {"protocol": "carrier-pigeon"},
    "port without a protocol": {"port": 22},
    "port of a protocol without ports": {"protocol": "gre", "port": 22},
    "port 0": {"protocol": "tcp", "port": 0},
    "port 65536": {"protocol": "tcp", "port": 65536},
    "range backwards": {"protocol": "tcp", "port": (90, 80)},
    "range of three": {"protocol": "tcp", "port": (1, 2, 3)},
    "port in words": {"protocol": "tcp", "port": "ssh"},
    "bad CIDR": {"protocol": "tcp", "port": 22, "cidr": "10.0.0.1/8"},
    "CIDR and group": {"protocol": "tcp", "port": 22, "cidr": "10.0.0.0/8", "remote_group": NOBODY},
    "unknown direction": {"direction": "sideways"},
    "version 5": {"ip_version": 5},
    "version that is not the CIDR's": {"cidr": "2001:db8::/32", "ip_version": 4},
}


@needs("security_groups")
class TestSecurityGroups(Conformance):
    def test_a_new_one_lets_everything_out_and_nothing_in(self, lab: Lab, cloud: Cloud) -> None:
        group = cloud.security_groups.create(lab.name("group"))
        assert {rule.direction for rule in group.rules} == {"egress"}
        assert {(rule.ip_version, rule.protocol, rule.remote_cidr) for rule in group.rules} == {
            (4, None, None),
            (6, None, None),
        }

    def test_a_rule_is_kept(self, lab: Lab, cloud: Cloud) -> None:
        group = cloud.security_groups.create(lab.name("group"))
        rule = cloud.security_groups.add_rule(group, "tcp", port=(80, 90), cidr="10.0.0.0/8", description="web")
        assert (rule.direction, rule.protocol, rule.ip_version) == ("ingress", "tcp", 4)
        assert (rule.port_min, rule.port_max, rule.remote_cidr, rule.description) == (80, 90, "10.0.0.0/8", "web")
        assert rule in cloud.security_groups.get(group).rules

    def test_rules_of_all_sorts_are_taken(self, lab: Lab, cloud: Cloud) -> None:
        group = cloud.security_groups.create(lab.name("group"))
        rules = [
            cloud.security_groups.add_rule(group, "tcp", port=22),
            cloud.security_groups.add_rule(group, "udp", port=53, direction="egress"),
            cloud.security_groups.add_rule(group, "icmp"),
            cloud.security_groups.add_rule(group, "icmp", port=8, cidr="192.0.2.0/24"),
            cloud.security_groups.add_rule(group, 89),
            cloud.security_groups.add_rule(group, remote_group=group),
            cloud.security_groups.add_rule(group, "tcp", port=22, cidr="2001:db8::/32"),
        ]
        assert set(rules) <= set(cloud.security_groups.get(group).rules)
        assert rules[-1].ip_version == 6

    def test_a_rule_is_taken_away(self, lab: Lab, cloud: Cloud) -> None:
        group = cloud.security_groups.create(lab.name("group"))
        rule = cloud.security_groups.add_rule(group.name, "tcp", port=22)
        cloud.security_groups.remove_rule(group, rule)
        assert rule not in cloud.security_groups.get(group).rules
        with pytest.raises(NotFound):
            cloud.security_groups.remove_rule(group, rule.id)

    def test_a_rule_is_there_once(self, lab: Lab, cloud: Cloud) -> None:
        group = cloud.security_groups.create(lab.name("group"))
        cloud.security_groups.add_rule(group, "tcp", port=22)
        before = cloud.security_groups.get(group).rules
        with pytest.raises(AlreadyExists):
            cloud.security_groups.add_rule(group, "tcp", port=(22, 22))
        assert cloud.security_groups.get(group).rules == before

    @pytest.mark.parametrize("what", BAD_RULES)
    def test_a_bad_rule_is_refused(self, lab: Lab, cloud: Cloud, what: str) -> None:
        group = cloud.security_groups.create(lab.name("group"))
        with pytest.raises(InvalidRequest):
            cloud.security_groups.add_rule(group, **BAD_RULES[what])
        assert cloud.security_groups.get(group).rules == group.rules

    def test_an_unknown_group_is_not_found(self, lab: Lab, cloud: Cloud) -> None:
        group = cloud.security_groups.create(lab.name("group"))
        with pytest.raises(NotFound):
            cloud.security_groups.add_rule(NOBODY, "tcp", port=22)
        with pytest.raises(NotFound):
            cloud.security_groups.add_rule(group, remote_group=lab.name("group"))

    def test_every_project_has_its_group_default(self, lab: Lab) -> None:
        mine, theirs = lab.cloud.security_groups.get("default"), lab.other.security_groups.get("default")
        assert mine.id != theirs.id
        assert any(rule.remote_group_id == mine.id for rule in mine.rules)

    def test_default_is_not_deleted(self, lab: Lab) -> None:
        with pytest.raises(InUse):
            lab.cloud.security_groups.delete("default")
        assert lab.cloud.security_groups.find("default") is not None

    @needs("networks.create", "subnets.create", "servers.create:security_group_ids")
    def test_one_in_use_is_not_deleted(self, lab: Lab, cloud: Cloud) -> None:
        group = cloud.security_groups.create(lab.name("group"))
        server = lab.server(cloud, networks=[lab.network], security_groups=[group])
        with pytest.raises(InUse):
            cloud.security_groups.delete(group)
        cloud.servers.delete(server)
        cloud.security_groups.delete(group)
        assert cloud.security_groups.find(group.name) is None
