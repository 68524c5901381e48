"""QEMU's user network: one preset network, servers that have one address each, forwarded ports."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import libvirt_qemu
import pytest
from hypothesis import given
from hypothesis import strategies as st
from specs import flavor_spec, make_server, server_spec

from cloudkit import Cloud, _context
from cloudkit.driver import EVERYTHING, check_declaration
from cloudkit.errors import CloudError, InvalidRequest, NotFound, Unsupported
from cloudkit.types import Kind, Nic
from cloudkit_libvirt.blobs import BlobExists, MemoryBlobs
from cloudkit_libvirt.driver import LibvirtDriver
from cloudkit_libvirt.forwarding import Forward, forward, parse_forwards
from cloudkit_libvirt.images import add_preset
from cloudkit_libvirt.records import Records
from cloudkit_libvirt.user_network import GUEST_IP, NETWORK_ID, SUBNET_ID, PresetBlobs
from cloudkit_libvirt.xml_tree import parse

Left = Callable[[], list[str]]

# Printed by QEMU 7.2 for two guests' worth of connections on one device.
USERNET = """\
Hub -1 (hostnet0):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[ESTABLISHED]   37       127.0.0.1 41355       10.0.2.15    22     0     0
  TCP[HOST_FORWARD]  35       127.0.0.1 41355       10.0.2.15    22     0     0
  TCP[HOST_FORWARD]  36               * 8080        10.0.2.15    80     0     0
  UDP[236 sec]       38       10.0.2.15 48190        10.0.2.3    53     0     0
Hub -1 (hostnet1):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[HOST_FORWARD]  40       127.0.0.1 39999       10.0.2.15    22     0     0
"""


@pytest.fixture
def user_driver(driver: Any) -> Any:
    """A driver on libvirt's test hypervisor that behaves as on a session."""
    context = replace(driver._context, user_network=True, records=Records(PresetBlobs(MemoryBlobs())))
    driver._context = context
    add_preset(context)
    return LibvirtDriver(context, "default")


class TestNetwork:
    def test_it_declares_what_it_has(self, user_driver: Any) -> None:
        check_declaration(user_driver)
        assert not user_driver.capabilities & {"networks.create", "subnets.create", "ports.create"}

    def test_one_network_for_every_project(self, user_driver: Any) -> None:
        for driver in (user_driver, user_driver.for_project("another")):
            (network,) = driver.network.networks.list(EVERYTHING)
            (subnet,) = driver.network.subnets.list(EVERYTHING)
            assert (network.id, network.name, network.shared) == (NETWORK_ID, "user", True)
            assert (subnet.id, subnet.network_id, network.subnet_ids) == (SUBNET_ID, NETWORK_ID, (SUBNET_ID,))
            assert driver.raw(Kind.NETWORK, NETWORK_ID) == network
            assert list(driver.network.ports.list(EVERYTHING)) == []

    def test_a_servers_port_comes_and_goes_with_it(self, user_driver: Any, left: Left) -> None:
        one, two = (make_server(user_driver, Nic(network_id=NETWORK_ID), name=name) for name in ("one", "two"))
        assert [address.ip for server in (one, two) for address in server.addresses] == [GUEST_IP] * 2
        assert one.addresses[0].mac != two.addresses[0].mac
        ports = {port.device_id: port for port in user_driver.network.ports.list(EVERYTHING)}
        assert ports[one.id].id == one.addresses[0].port_id
        assert ports[one.id].fixed_ips[0].subnet_id == SUBNET_ID
        for server in (one, two):
            interface = parse(user_driver.raw(Kind.SERVER, server.id)).find("devices/interface")
            assert interface is not None
            assert interface.get("type") == "user"
            user_driver.compute.servers.delete(server.id)
        assert list(user_driver.network.ports.list(EVERYTHING)) == []
        assert [name for name in left() if "port" in name or name.startswith("ck-")] == []

    @pytest.mark.parametrize(
        ("nics", "error"),
        [
            ((Nic(network_id=NETWORK_ID), Nic(network_id=NETWORK_ID)), InvalidRequest),
            ((Nic(network_id=NETWORK_ID, fixed_ip="10.0.2.16"),), InvalidRequest),
            ((Nic(port_id="a-port"),), NotFound),
            ((Nic(network_id="another"),), NotFound),
        ],
    )
    def test_what_cannot_be_had_is_refused_before_anything_is_made(
        self, user_driver: Any, left: Left, nics: tuple[Nic, ...], error: type[CloudError]
    ) -> None:
        flavor = user_driver.compute.flavors.create(flavor_spec())
        before = left()
        with pytest.raises(error):
            user_driver.compute.servers.create(server_spec(user_driver, flavor, *nics))
        assert left() == before

    def test_the_address_that_it_has_may_be_asked_for(self, user_driver: Any) -> None:
        server = make_server(user_driver, Nic(network_id=NETWORK_ID, fixed_ip=GUEST_IP))
        assert [address.ip for address in server.addresses] == [GUEST_IP]

    def test_a_scope_ends_though_ports_are_not_deleted_by_themselves(self, user_driver: Any) -> None:
        cloud = Cloud(_context.Context(user_driver, _context.Lifetime()), "test", {})
        with cloud.scope("mine") as mine:
            flavor = mine.flavors.create("small", vcpus=1, ram_mib=64, disk_gib=1)
            server = mine.servers.create("one", image="test", flavor=flavor)
            (port,) = mine.ports.list()
            assert port.mark is not None
            assert port.mark.scope
            assert server.addresses[0].network_id == NETWORK_ID
            with pytest.raises(Unsupported):
                mine.ports.delete(port)
        assert [*cloud.servers.list(), *cloud.ports.list(), *cloud.sweep()] == []


class TestPresetBlobs:
    def test_presets_are_neither_taken_nor_deleted(self) -> None:
        inner = MemoryBlobs()
        blobs = PresetBlobs(inner)
        inner.create("mine", b"1")
        preset, *_ = blobs.names()
        with pytest.raises(BlobExists):
            blobs.create(preset, b"other")
        assert not blobs.delete(preset)
        assert blobs.read(preset).startswith(b"cloudkit ")
        assert blobs.delete("mine")
        assert inner.names() == []


class Qemu:
    """QEMU's monitor as far as forwards go; ``refuse`` makes it say no."""

    def __init__(self) -> None:
        self.forwards: dict[int, int] = {}
        self.refuse = False
        self.commands = 0

    def command(self, _domain: object, command: str, _flags: int) -> str:
        self.commands += 1
        if command == "info usernet":
            lines = (
                f"  TCP[HOST_FORWARD]  {35 + number}       127.0.0.1 {host_port}       10.0.2.15 {port:5}     0     0"
                for number, (port, host_port) in enumerate(self.forwards.items())
            )
            return "\r\n".join(["Hub -1 (hostnet0):", *lines, ""])
        match = re.fullmatch(r"hostfwd_add hostnet0 tcp:127\.0\.0\.1:0-10\.0\.2\.15:(\d+)", command)
        if match is None or self.refuse:
            return "Could not set up host forwarding rule\r\n"
        self.forwards[int(match[1])] = 40000 + len(self.forwards)
        return ""


@pytest.fixture
def qemu(monkeypatch: pytest.MonkeyPatch) -> Qemu:
    qemu = Qemu()
    monkeypatch.setattr(libvirt_qemu, "qemuMonitorCommand", qemu.command)
    return qemu


RUNNING = parse("<domain><devices><interface type='user'><alias name='net0'/></interface></devices></domain>")


class TestForwarding:
    def test_each_port_once(self, qemu: Qemu) -> None:
        assert forward(None, RUNNING, 22) == forward(None, RUNNING, 22) == 40000
        assert forward(None, RUNNING, 80) == 40001
        assert qemu.forwards == {22: 40000, 80: 40001}

    def test_a_refusal_is_told_in_qemus_words(self, qemu: Qemu) -> None:
        qemu.refuse = True
        with pytest.raises(CloudError, match="does not forward the port 22") as raised:
            forward(None, RUNNING, 22)
        assert raised.value.fault == "Could not set up host forwarding rule"

    @pytest.mark.parametrize("devices", ["", "<interface type='network'><alias name='net0'/></interface>"])
    def test_without_a_user_interface_nothing_is_asked(self, qemu: Qemu, devices: str) -> None:
        assert forward(None, parse(f"<domain><devices>{devices}</devices></domain>"), 22) is None
        assert qemu.commands == 0

    def test_only_forwards_from_this_host_alone_count(self) -> None:
        assert list(parse_forwards(USERNET)) == [Forward("hostnet0", 41355, 22), Forward("hostnet1", 39999, 22)]

    @given(st.text(st.sampled_from("TCP[HOST_FORWARD] 127.0.0.1\n(hostnet0):0239"), max_size=200))
    def test_no_text_is_too_odd(self, text: str) -> None:
        for found in parse_forwards(text):
            assert found.port >= 0
            assert found.host_port >= 0
