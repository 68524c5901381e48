"""What a fake server uses follows its clock; its console is a getty."""

from __future__ import annotations

import threading

import pytest

import cloudkit
from cloudkit import Cloud, Image, Network, Sample, Server


def used(cloud: Cloud, server: Server, name: str) -> int:
    (sample,) = (each for each in cloud.servers.samples(server) if each.name == name)
    return sample.volume


@pytest.fixture
def server(cloud: Cloud, image: Image, network: Network) -> Server:
    return cloud.servers.create("web", image=image, flavor="m1.tiny", networks=[network])


def test_its_processors_time_grows_while_it_runs(cloud: Cloud, server: Server) -> None:
    before = used(cloud, server, "cpu")
    cloud.native.clock.advance(100)
    after = used(cloud, server, "cpu")
    assert after - before == 5_000_000_000
    cloud.native.clock.advance(100)
    assert used(cloud, server, "cpu") - after == after - before


def test_a_pause_holds_it(cloud: Cloud, server: Server) -> None:
    cloud.native.clock.advance(100)
    cloud.servers.pause(server)
    cloud.native.clock.advance(1000)
    assert {sample.name for sample in cloud.servers.samples(server)} == {"vcpus", "memory"}
    cloud.servers.unpause(server)
    ran_ns = used(cloud, server, "cpu")
    # The tasks themselves take a second.
    assert 100 <= ran_ns / 50_000_000 <= 103


def test_it_starts_from_nothing_when_it_is_powered_on(cloud: Cloud, server: Server) -> None:
    cloud.native.clock.advance(1000)
    cloud.servers.stop(server, hard=True)
    cloud.servers.start(server)
    assert used(cloud, server, "cpu") == 0


def test_it_goes_on_over_a_reboot(cloud: Cloud, server: Server) -> None:
    cloud.native.clock.advance(1000)
    before = used(cloud, server, "cpu")
    cloud.servers.reboot(server)
    assert used(cloud, server, "cpu") >= before


def test_the_interfaces_are_called_as_nova_calls_them(cloud: Cloud, server: Server) -> None:
    (port,) = cloud.ports.list(device_id=server.id)
    samples: list[Sample] = [each for each in cloud.servers.samples(server) if each.name == "network.incoming.bytes"]
    assert [sample.resource_id for sample in samples] == [f"{server.id}-tap{port.id[:11]}"]


class TestTerminal:
    def test_nobody_is_let_in(self, cloud: Cloud, server: Server) -> None:
        with cloud.servers.console(server) as console:
            console.send(b"\r")
            assert console.receive() == b"\r\nweb login: "
            console.send(b"rooot\x7f\x7ft\r")
            assert console.receive() == b"rooot\b \b\b \bt\r\nPassword: "
            console.send(b"secret\x7f\r")
            assert console.receive() == b"\r\n\r\nLogin incorrect\r\nweb login: "

    def test_nothing_is_erased_beyond_the_start_of_the_line(self, cloud: Cloud, server: Server) -> None:
        with cloud.servers.console(server) as console:
            console.send(b"\x08\x08\r")
            assert console.receive() == b"\r\nweb login: "

    def test_an_answer_wakes_whoever_waits(self, cloud: Cloud, server: Server) -> None:
        with cloud.servers.console(server) as console:
            got: list[bytes] = []
            reader = threading.Thread(target=lambda: got.append(console.receive(timeout_s=30)))
            reader.start()
            console.send(b"\r")
            reader.join(30)
        assert b"".join(got).startswith(b"\r\n")

    def test_closing_the_cloud_ends_it(self, image: Image, cloud: Cloud, server: Server) -> None:
        console = cloud.servers.console(server)
        terminal = cloud.native.consoles[server.id]
        cloud.close()
        assert terminal.receive(0) == b""
        with pytest.raises(cloudkit.Closed):
            console.receive()

    def test_it_says_who_it_is_about(self, cloud: Cloud, server: Server) -> None:
        with cloud.servers.console(server) as console, pytest.raises(cloudkit.InvalidRequest) as raised:
            console.send("text")  # type: ignore[arg-type]
        assert raised.value.resource == server
