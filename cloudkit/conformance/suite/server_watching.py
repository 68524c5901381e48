"""What running servers show: a console to type into, and what they use."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cloudkit import Closed, Cloud, Console, InUse, InvalidRequest, InvalidState, NotFound, Sample, WaitTimeout
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab
from cloudkit.meters import METERS

PATIENCE_S = 60.0
DISK = {name for name in METERS if name.startswith("disk.")}
NETWORK = {name for name in METERS if name.startswith("network.")}


def until_printed(console: Console, wanted: bytes, keys: bytes) -> None:
    """Type, and read until ``wanted`` was printed; typed again where nothing is."""
    deadline, printed = time.monotonic() + PATIENCE_S, b""
    console.send(keys)
    while wanted not in printed:
        assert time.monotonic() < deadline, f"{wanted!r} was not printed, but {printed[-200:]!r}"
        try:
            printed += console.receive(timeout_s=2)
        except WaitTimeout:
            console.send(keys)


@needs("servers.console")
class TestInteractiveConsole(Conformance):
    def test_it_asks_who_is_there_and_echoes(self, lab: Lab) -> None:
        server = lab.booted()
        with lab.cloud.servers.console(server) as console:
            assert console.server.id == server.id
            until_printed(console, b"login: ", b"\r")
            until_printed(console, b"nobody-here", b"nobody-here")

    def test_it_serves_one_at_a_time(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        with cloud.servers.console(server), pytest.raises(InUse):
            cloud.servers.console(server)
        with cloud.servers.console(server):
            pass

    @needs("servers.pause")
    def test_what_is_silent_is_waited_for_as_long_as_was_said(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.pause(lab.server(cloud))
        with cloud.servers.console(server) as console:

            def listen() -> None:
                # What was on its way may come first.
                while console.receive(timeout_s=0.1):
                    pass

            with pytest.raises(WaitTimeout):
                listen()

    def test_it_ends_with_the_guests_power(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        with cloud.servers.console(server) as console:
            cloud.servers.stop(server, hard=True)
            while console.receive(timeout_s=PATIENCE_S):
                pass
            with pytest.raises(Closed):
                console.send(b"\r")
        with pytest.raises(InvalidState):
            cloud.servers.console(server)
        cloud.servers.start(server)
        with cloud.servers.console(server):
            pass

    def test_a_closed_one_is_not_used_again(self, lab: Lab, cloud: Cloud) -> None:
        console = cloud.servers.console(lab.server(cloud))
        console.close()
        console.close()
        for use in (lambda: console.send(b"x"), console.receive):
            with pytest.raises(Closed) as raised:
                use()
            assert raised.value.operation == "servers.console"

    @pytest.mark.parametrize("data", ["text", None, 7])
    def test_only_bytes_are_typed(self, lab: Lab, cloud: Cloud, data: Any) -> None:
        with cloud.servers.console(lab.server(cloud)) as console:
            with pytest.raises(InvalidRequest):
                console.send(data)
            with pytest.raises(InvalidRequest):
                console.receive(timeout_s=-1)

    def test_that_of_a_server_that_is_not_there_is_not_found(self, lab: Lab, cloud: Cloud) -> None:
        with pytest.raises(NotFound):
            cloud.servers.console(lab.name())


@needs("servers.samples")
class TestSamples(Conformance):
    def test_a_running_server_uses_its_processor_memory_and_disk(self, lab: Lab) -> None:
        server = lab.booted()
        by_name = grouped(lab.cloud.servers.samples(server))
        assert [sample.volume for sample in by_name["vcpus"]] == [lab.flavor.vcpus]
        assert [sample.volume for sample in by_name["memory"]] == [lab.flavor.ram_mib]
        (cpu,) = by_name["cpu"]
        assert (cpu.unit, cpu.type, cpu.resource_id) == ("ns", "cumulative", server.id)
        assert cpu.volume > 0
        for name in DISK:
            (disk,) = by_name[name]
            assert (disk.resource_id, disk.type) == (f"{server.id}-vda", "cumulative")
        assert by_name["disk.device.read.bytes"][0].volume > 0
        for sample in by_name.get("memory.usage", []):
            assert 0 < sample.volume <= lab.flavor.ram_mib
        assert cpu.timestamp.tzinfo is not None
        assert {sample.timestamp for samples in by_name.values() for sample in samples} == {cpu.timestamp}
        for name, samples in by_name.items():
            assert {(sample.type, sample.unit) for sample in samples} == {METERS[name]}

    @needs("networks.create", "subnets.create")
    def test_each_interface_is_told_apart(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, networks=[lab.network, lab.network])
        by_name = grouped(cloud.servers.samples(server))
        for name in NETWORK:
            devices = {sample.resource_id for sample in by_name[name]}
            assert len(devices) == 2
            assert all(device.startswith(f"{server.id}-tap") for device in devices)

    def test_the_processors_time_only_grows(self, lab: Lab) -> None:
        server = lab.booted()
        first, second = (grouped(lab.cloud.servers.samples(server))["cpu"][0].volume for _ in range(2))
        assert second >= first

    def test_a_stopped_server_has_a_size_only(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.stop(lab.server(cloud), hard=True)
        assert set(grouped(cloud.servers.samples(server))) == {"vcpus", "memory"}

    def test_those_of_a_server_that_is_not_there_are_not_found(self, lab: Lab, cloud: Cloud) -> None:
        with pytest.raises(NotFound):
            cloud.servers.samples(lab.name())


def grouped(samples: tuple[Sample, ...]) -> dict[str, list[Sample]]:
    """The samples by their meter."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.name, []).append(sample)
    return found
