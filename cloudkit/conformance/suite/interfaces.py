"""Network interfaces that are plugged into servers that are there, and pulled out again."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from cloudkit import Cloud, Conflict, InUse, InvalidRequest, InvalidState, Network, Nic, NotFound, Port, Server
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab

NOBODY = "00000000-0000-4000-8000-000000000000"


@needs("servers.interfaces", "networks.create", "subnets.create", "ports.create")
class TestInterfaces(Conformance):
    @pytest.fixture
    def server(self, lab: Lab, cloud: Cloud) -> Server:
        """A running server without any."""
        return lab.server(cloud)

    @pytest.fixture
    def network(self, lab: Lab, cloud: Cloud) -> Network:
        """A network with a subnet."""
        return cloud.networks.create(lab.name("network"), cidr=lab.cidr())

    @pytest.fixture
    def port(self, lab: Lab, cloud: Cloud, network: Network) -> Port:
        """A port that nothing has."""
        return cloud.ports.create(lab.name("port"), network=network)

    def test_it_gets_a_port_of_its_own(self, cloud: Cloud, server: Server, network: Network) -> None:
        port = cloud.servers.attach_interface(server, network)
        assert (port.network_id, port.device_id) == (network.id, server.id)
        (address,) = cloud.servers.get(server).addresses
        assert (address.port_id, address.mac, address.network_id) == (port.id, port.mac, network.id)
        (subnet,) = cloud.subnets.list(network_id=network.id)
        assert ip_address(address.ip) in ip_network(subnet.cidr)

    def test_several_are_plugged_in_by_names(self, cloud: Cloud, server: Server, network: Network) -> None:
        ports = [cloud.servers.attach_interface(server.name, network.name) for _ in range(2)]
        assert [each.port_id for each in cloud.servers.get(server).addresses] == [port.id for port in ports]

    def test_it_has_the_address_that_was_asked_for(self, cloud: Cloud, server: Server, network: Network) -> None:
        (subnet,) = cloud.subnets.list(network_id=network.id)
        wanted = str(ip_network(subnet.cidr)[99])
        port = cloud.servers.attach_interface(server, Nic(network_id=network.id, fixed_ip=wanted))
        assert [fixed.ip for fixed in port.fixed_ips] == [wanted]
        with pytest.raises(Conflict):
            cloud.servers.attach_interface(server, Nic(network_id=network.id, fixed_ip=wanted))
        assert len(cloud.servers.get(server).addresses) == 1

    def test_a_port_that_is_there_is_plugged_in(self, cloud: Cloud, server: Server, port: Port) -> None:
        plugged = cloud.servers.attach_interface(server, port)
        assert (plugged.id, plugged.mac, plugged.device_id) == (port.id, port.mac, server.id)

    def test_a_port_is_in_one_place(self, lab: Lab, cloud: Cloud, server: Server, port: Port) -> None:
        cloud.servers.attach_interface(server, port)
        for other in (server, lab.server(cloud)):
            with pytest.raises(InUse):
                cloud.servers.attach_interface(other, port)
        assert [each.port_id for each in cloud.servers.get(server).addresses] == [port.id]

    def test_a_stopped_server_takes_it_and_gives_it_back(
        self, cloud: Cloud, server: Server, network: Network
    ) -> None:
        cloud.servers.stop(server, hard=True)
        port = cloud.servers.attach_interface(server, network)
        assert [each.port_id for each in cloud.servers.start(server).addresses] == [port.id]
        cloud.servers.stop(server, hard=True)
        cloud.servers.detach_interface(server, port)
        assert cloud.servers.get(server).addresses == ()
        with pytest.raises(NotFound):
            cloud.ports.get(port)

    def test_a_running_server_gives_it_back(self, lab: Lab, cloud: Cloud, port: Port) -> None:
        server = lab.booted()
        before = cloud.servers.get(server).addresses
        for _ in range(2):
            cloud.servers.attach_interface(server, port)
            cloud.servers.detach_interface(server, port)
            # The user's own port stays.
            assert cloud.ports.get(port).device_id == ""
        assert cloud.servers.get(server).addresses == before

    def test_it_goes_with_its_server(self, cloud: Cloud, server: Server, network: Network, port: Port) -> None:
        made = cloud.servers.attach_interface(server, network)
        cloud.servers.attach_interface(server, port)
        cloud.servers.delete(server)
        with pytest.raises(NotFound):
            cloud.ports.get(made)
        assert cloud.ports.get(port).device_id == ""

    def test_what_is_not_plugged_in_is_not_pulled_out(self, cloud: Cloud, server: Server, port: Port) -> None:
        with pytest.raises(InvalidState):
            cloud.servers.detach_interface(server, port)
        with pytest.raises(NotFound):
            cloud.servers.detach_interface(server, NOBODY)

    def test_what_cannot_be_is_refused(self, lab: Lab, cloud: Cloud, server: Server) -> None:
        bare = cloud.networks.create(lab.name("network"))
        with pytest.raises(InvalidRequest):
            cloud.servers.attach_interface(server, bare)
        with pytest.raises(NotFound):
            cloud.servers.attach_interface(server, NOBODY)
        with pytest.raises(NotFound):
            cloud.servers.attach_interface(server, Nic(port_id=NOBODY))
        assert cloud.servers.get(server).addresses == ()

    @needs("servers.suspend")
    def test_a_suspended_server_takes_none(self, cloud: Cloud, server: Server, network: Network, port: Port) -> None:
        cloud.servers.attach_interface(server, port)
        cloud.servers.suspend(server)
        with pytest.raises(InvalidState):
            cloud.servers.attach_interface(server, network)
        with pytest.raises(InvalidState):
            cloud.servers.detach_interface(server, port)
        assert [each.port_id for each in cloud.servers.get(server).addresses] == [port.id]

    @needs("servers.lock")
    def test_a_locked_server_takes_none(self, cloud: Cloud, server: Server, network: Network) -> None:
        cloud.servers.lock(server)
        with pytest.raises(InvalidState):
            cloud.servers.attach_interface(server, network)
        cloud.servers.unlock(server)
        assert cloud.servers.get(server).addresses == ()
