from __future__ import annotations

import pytest

from cloudkit import AlreadyExists, Cloud, Conflict, Image, InUse, InvalidRequest, Network, NotFound, Router, Server


@pytest.fixture
def router(cloud: Cloud, network: Network) -> Router:
    return cloud.routers.create("router", external="public", networks=[network])


@pytest.fixture
def web(cloud: Cloud, image: Image, network: Network) -> Server:
    return cloud.servers.create("web", image=image, flavor="m1.tiny", networks=[network])


def test_an_interface_is_a_port_at_the_gateway_address(cloud: Cloud, network: Network, router: Router) -> None:
    (port,) = cloud.ports.list(device_id=router.id)
    assert (port.device_owner, port.fixed_ips[0].ip) == ("network:router_interface", "172.16.1.1")
    with pytest.raises(InUse, match="interface"):
        cloud.ports.delete(port)
    with pytest.raises(InUse):
        cloud.networks.delete(network)


def test_a_router_takes_and_gives_back_an_external_address(cloud: Cloud) -> None:
    router = cloud.routers.create("r", external="public")
    assert router.external_ips == ("203.0.113.2",)
    assert cloud.routers.set_gateway(router, "public").external_ips == ("203.0.113.2",)
    assert cloud.routers.set_gateway(router, None).external_ips == ()
    again = cloud.routers.create("s", external="public")
    assert again.external_ips == ("203.0.113.2",)
    cloud.routers.delete(again)
    assert cloud.floating_ips.create().ip == "203.0.113.2"


def test_what_cannot_be_joined_is_refused(cloud: Cloud, network: Network, router: Router) -> None:
    subnet = network.subnet_ids[0]
    with pytest.raises(Conflict, match=r"172\.16\.1\.1 is taken"):
        cloud.routers.add_interface(cloud.routers.create("second"), subnet)
    same = cloud.networks.create("same", cidr="172.16.1.0/25")
    with pytest.raises(Conflict, match="overlaps"):
        cloud.routers.add_interface(router, same.subnet_ids[0])
    blind = cloud.networks.create("blind", cidr="172.16.5.0/24", gateway_ip=None)
    with pytest.raises(InvalidRequest, match="no gateway"):
        cloud.routers.add_interface(router, blind.subnet_ids[0])
    with pytest.raises(NotFound):
        cloud.routers.add_interface(router, cloud.networks.get("public").subnet_ids[0])
    with pytest.raises(InvalidRequest, match="not external"):
        cloud.routers.create("r", external=network)


def test_leaving_a_subnet_that_was_not_joined_is_not_found(cloud: Cloud, router: Router, network: Network) -> None:
    cloud.routers.remove_interface(router, network.subnet_ids[0])
    with pytest.raises(NotFound, match="not joined"):
        cloud.routers.remove_interface(router, network.subnet_ids[0])


def test_the_driver_deletes_no_router_with_interfaces(cloud: Cloud, router: Router) -> None:
    with pytest.raises(InUse, match="interfaces"):
        cloud._context.driver.network.routers.delete(router.id)  # type: ignore[attr-defined]
    cloud.routers.delete(router)
    assert list(cloud.ports.list()) == []


def test_a_floating_ip_leads_to_a_server_and_shows_in_its_addresses(
    cloud: Cloud, router: Router, web: Server
) -> None:
    floating_ip = cloud.floating_ips.create(server=web)
    assert (floating_ip.fixed_ip, floating_ip.status, floating_ip.router_id) == ("172.16.1.2", "ACTIVE", router.id)
    assert [(each.ip, each.floating) for each in cloud.servers.get(web).addresses] == [
        ("172.16.1.2", False),
        (floating_ip.ip, True),
    ]
    freed = cloud.floating_ips.disassociate(floating_ip)
    assert (freed.port_id, freed.fixed_ip, freed.status) == (None, None, "DOWN")
    assert len(cloud.servers.get(web).addresses) == 1


def test_associating_the_same_again_changes_nothing(cloud: Cloud, router: Router, web: Server) -> None:
    floating_ip = cloud.floating_ips.create(server=web)
    again = cloud.floating_ips.associate(floating_ip, web)
    assert (again.port_id, again.fixed_ip) == (floating_ip.port_id, floating_ip.fixed_ip)
    other = cloud.floating_ips.create()
    with pytest.raises(Conflict, match="already"):
        cloud.floating_ips.associate(other, web)


def test_a_floating_ip_moves(cloud: Cloud, router: Router, web: Server, image: Image, network: Network) -> None:
    second = cloud.servers.create("two", image=image, flavor="m1.tiny", networks=[network])
    floating_ip = cloud.floating_ips.create(server=web)
    moved = cloud.floating_ips.associate(floating_ip, second, fixed_ip="172.16.1.3")
    assert moved.fixed_ip == "172.16.1.3"
    assert len(cloud.servers.get(web).addresses) == 1
    assert len(cloud.servers.get(second).addresses) == 2


def test_without_a_way_out_there_is_a_conflict(cloud: Cloud, web: Server) -> None:
    with pytest.raises(Conflict, match="no router leads"):
        cloud.floating_ips.create(server=web)
    assert list(cloud.floating_ips.list()) == []


def test_floating_ips_keep_their_way(cloud: Cloud, router: Router, web: Server, network: Network) -> None:
    floating_ip = cloud.floating_ips.create(server=web)
    with pytest.raises(InUse, match="needs the way"):
        cloud.routers.remove_interface(router, network.subnet_ids[0])
    with pytest.raises(InUse, match="need the gateway"):
        cloud.routers.set_gateway(router, None)
    cloud.servers.delete(web)
    assert cloud.floating_ips.get(floating_ip).port_id is None
    cloud.routers.set_gateway(router, None)


def test_deleting_a_floating_ip_frees_its_address(cloud: Cloud, router: Router, web: Server) -> None:
    floating_ip = cloud.floating_ips.create(server=web)
    cloud.floating_ips.delete(floating_ip)
    assert len(cloud.servers.get(web).addresses) == 1
    assert cloud.floating_ips.create().ip == floating_ip.ip


def test_a_given_address_must_be_free_and_of_the_network(cloud: Cloud) -> None:
    assert cloud.floating_ips.create(ip="203.0.113.77").ip == "203.0.113.77"
    with pytest.raises(AlreadyExists):
        cloud.floating_ips.create(ip="203.0.113.77")
    with pytest.raises(InvalidRequest, match="no address that"):
        cloud.floating_ips.create(ip="198.51.100.1")


def test_an_external_network_runs_out(cloud: Cloud) -> None:
    outside = cloud.networks.create("outside", cidr="198.51.100.0/30", external=True)
    cloud.floating_ips.create(external=outside)
    with pytest.raises(Conflict, match="no free address"):
        cloud.floating_ips.create(external=outside)
    bare = cloud.networks.create("bare", external=True)
    with pytest.raises(Conflict, match="no subnet"):
        cloud.floating_ips.create(external=bare)


def test_a_port_without_such_an_address_is_refused(
    cloud: Cloud, router: Router, web: Server, network: Network
) -> None:
    floating_ip = cloud.floating_ips.create()
    with pytest.raises(InvalidRequest, match="no IPv4 address"):
        cloud.floating_ips.associate(floating_ip, web, fixed_ip="172.16.1.99")
    with pytest.raises(NotFound):
        cloud.floating_ips.create(port="00000000-0000-4000-8000-000000000000")
    port = cloud.ports.create("p", network=network)
    assert cloud.floating_ips.associate(floating_ip, port).port_id == port.id
    cloud.ports.delete(port)
    assert cloud.floating_ips.get(floating_ip).status == "DOWN"
