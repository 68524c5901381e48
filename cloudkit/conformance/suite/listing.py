"""Lists: whole, filtered exactly."""

from __future__ import annotations

import pytest

from cloudkit import Cloud, InvalidRequest
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import PUBLIC_KEY, Lab


class TestListing(Conformance):
    def test_many_are_listed_each_once(self, lab: Lab, cloud: Cloud) -> None:
        names = [lab.name("key") for _ in range(40)]
        cloud.key_pairs.create_many([{"name": name, "public_key": PUBLIC_KEY} for name in names])
        shown = [key_pair.name for key_pair in cloud.key_pairs.list() if key_pair.name in names]
        assert sorted(shown) == sorted(names)

    def test_a_list_ends_though_things_come_and_go(self, lab: Lab, cloud: Cloud) -> None:
        lab.volume(cloud)
        for volume in cloud.volumes.list():
            lab.volume(cloud, name=volume.name)
            assert len(list(cloud.volumes.list())) < 20

    def test_servers_by_status(self, lab: Lab, cloud: Cloud) -> None:
        running, stopped = lab.server(cloud), lab.server(cloud)
        cloud.servers.stop(stopped, hard=True)
        by_status = {
            status: {each.id for each in cloud.servers.list(status=status)} for status in ("ACTIVE", "SHUTOFF")
        }
        assert running.id in by_status["ACTIVE"] - by_status["SHUTOFF"]
        assert stopped.id in by_status["SHUTOFF"] - by_status["ACTIVE"]

    def test_an_unknown_status_is_refused(self, lab: Lab) -> None:
        with pytest.raises(InvalidRequest) as raised:
            lab.cloud.servers.list(status="ACTVE")
        assert "ACTIVE" in raised.value.hint

    def test_by_a_reference_to_another_thing(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        assert server.id in {each.id for each in cloud.servers.list(flavor_id=lab.flavor.id)}
        assert list(cloud.servers.list(flavor_id="00000000-0000-4000-8000-000000000000")) == []

    def test_by_size(self, lab: Lab, cloud: Cloud) -> None:
        small, large = lab.volume(cloud), lab.volume(cloud, size_gib=3)
        shown = {volume.id for volume in cloud.volumes.list(size_gib=3)}
        assert large.id in shown
        assert small.id not in shown

    def test_several_filters_all_hold(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud, size_gib=3)
        assert [each.id for each in cloud.volumes.list(name=volume.name, size_gib=3)] == [volume.id]
        assert list(cloud.volumes.list(name=volume.name, size_gib=1)) == []

    def test_volumes_by_metadata(self, lab: Lab, cloud: Cloud) -> None:
        key = lab.name()
        web = lab.volume(cloud, metadata={key: "web", "more": "1"})
        lab.volume(cloud, metadata={key: "database"})
        assert [each.id for each in cloud.volumes.list(metadata={key: "web"})] == [web.id]
        assert list(cloud.volumes.list(metadata={key: "we"})) == []

    @needs("servers.create:metadata")
    def test_servers_by_metadata(self, lab: Lab, cloud: Cloud) -> None:
        key = lab.name()
        web = lab.server(cloud, metadata={key: "web", "more": "1"})
        assert [each.id for each in cloud.servers.list(metadata={key: "web"})] == [web.id]
        assert list(cloud.servers.list(metadata={key: "web", "more": "2"})) == []

    @needs("servers.create:tags")
    def test_servers_by_tags(self, lab: Lab, cloud: Cloud) -> None:
        tag = lab.name()
        both, one = lab.server(cloud, tags=[tag, "blue"]), lab.server(cloud, tags=[tag])
        assert {each.id for each in cloud.servers.list(tags=[tag])} == {both.id, one.id}
        assert [each.id for each in cloud.servers.list(tags=["blue", tag])] == [both.id]

    @needs("networks.create", "networks.create:tags")
    def test_networks_by_tags(self, lab: Lab, cloud: Cloud) -> None:
        tag = lab.name()
        network = cloud.networks.create(lab.name(), tags=[tag])
        cloud.networks.create(lab.name())
        assert [each.id for each in cloud.networks.list(tags=[tag])] == [network.id]

    @needs("networks.create", "subnets.create", "ports.create")
    def test_ports_by_network(self, lab: Lab, cloud: Cloud) -> None:
        network = cloud.networks.create(lab.name(), cidr=lab.cidr())
        port = cloud.ports.create(lab.name(), network=network)
        assert [each.id for each in cloud.ports.list(network_id=network.id)] == [port.id]
