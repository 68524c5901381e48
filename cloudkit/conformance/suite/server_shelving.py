"""Shelving: a server that is off gives its place on the host back, and keeps all else."""

from __future__ import annotations

import pytest

from cloudkit import Cloud, InvalidState, NotFound, Server
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab
from cloudkit.conformance.suite.server_life import lasting, stopped

SHELVED = ("SHELVED_OFFLOADED", "SHELVED")
"""A cloud may leave a shelved server on its host."""


@needs("servers.shelve")
class TestShelve(Conformance):
    def test_it_comes_back_as_the_same_server(self, lab: Lab, cloud: Cloud) -> None:
        server = stopped(lab, cloud)
        assert cloud.servers.shelve(server).status in SHELVED
        shelved = cloud.servers.get(server)
        assert shelved.status in SHELVED
        back = cloud.servers.unshelve(server)
        assert back.status == "ACTIVE"
        assert lasting(back) == lasting(shelved) == lasting(server)

    @pytest.mark.parametrize(
        "verb",
        [
            pytest.param("pause", marks=needs("servers.pause")),
            pytest.param("suspend", marks=needs("servers.suspend")),
        ],
    )
    def test_a_halted_server_is_shelved(self, lab: Lab, cloud: Cloud, verb: str) -> None:
        server: Server = getattr(cloud.servers, verb)(lab.server(cloud))
        with pytest.raises(InvalidState):
            cloud.servers.unshelve(server)
        assert cloud.servers.shelve(server).status in SHELVED
        assert cloud.servers.unshelve(server).status == "ACTIVE"

    def test_a_shelved_server_refuses_verbs_and_is_deleted(self, lab: Lab, cloud: Cloud) -> None:
        servers, server = cloud.servers, stopped(lab, cloud)
        servers.shelve(server)
        for verb in (servers.shelve, servers.start, servers.stop, servers.reboot):
            with pytest.raises(InvalidState):
                verb(server)
        for name in ("pause", "suspend", "rescue"):
            if cloud.supports(f"servers.{name}"):
                with pytest.raises(InvalidState):
                    getattr(servers, name)(server)
        with pytest.raises(InvalidState):
            servers.reboot(server, hard=True)
        assert servers.get(server).status in SHELVED
        servers.delete(server)
        with pytest.raises(NotFound):
            servers.get(server)

    @needs("volumes.attach")
    def test_its_volume_is_kept_for_it(self, lab: Lab, cloud: Cloud) -> None:
        server = stopped(lab, cloud)
        volume, other = (cloud.volumes.create(lab.name(), size_gib=1) for _ in range(2))
        cloud.volumes.attach(volume, server)
        server = cloud.servers.shelve(server)
        assert server.volume_ids == (volume.id,)
        for verb, argument in (
            (cloud.volumes.attach, other),
            (cloud.volumes.attach, volume),
            (cloud.volumes.detach, volume),
        ):
            with pytest.raises(InvalidState):
                verb(argument, server)
        if server.status == "SHELVED_OFFLOADED":
            kept = cloud.volumes.get(volume)
            assert (kept.status, kept.attachments) == ("reserved", ())
            with pytest.raises(InvalidState):
                cloud.volumes.delete(volume)
            if cloud.supports("volumes.extend"):
                with pytest.raises(InvalidState):
                    cloud.volumes.extend(volume, 2)
        server = cloud.servers.unshelve(server)
        assert server.volume_ids == (volume.id,)
        back = cloud.volumes.get(volume)
        assert (back.status, [each.server_id for each in back.attachments]) == ("in-use", [server.id])

    @needs("volumes.attach")
    def test_its_volume_is_free_when_it_is_deleted(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = stopped(lab, cloud), cloud.volumes.create(lab.name(), size_gib=1)
        cloud.volumes.attach(volume, server)
        cloud.servers.shelve(server)
        cloud.servers.delete(server)
        assert cloud.volumes.wait(volume).status == "available"

    @needs("servers.ssh")
    def test_the_guest_keeps_its_disk_and_its_host_key(self, lab: Lab) -> None:
        server = lab.booted()
        with lab.shell(server) as shell:
            shell.run("echo before the shelf >shelf", check=True)
        lab.cloud.servers.shelve(server)
        server = lab.cloud.servers.unshelve(server)
        with lab.shell(server) as shell:
            assert shell.run("cat shelf").stdout == "before the shelf\n"
