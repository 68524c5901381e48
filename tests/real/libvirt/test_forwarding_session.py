"""Guests on QEMU's user network: reached through forwarded ports, and nothing to configure."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bare_driver import guest_path, until
from saved_guest import USER
from session_cloud import POOL, URL, connect, left_in_pool

from cloudkit import Cloud, Endpoint, InvalidRequest, Nic, NotFound, Server, Unsupported

NETWORK_STEPS = {
    "network with a subnet",
    "router to the outside",
    "security group for ssh and ping",
    "floating IP",
    "ssh by the floating IP",
}


@dataclass(frozen=True)
class Guest:
    cloud: Cloud
    server: Server
    key_path: Path


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Generator[Guest]:
    """A guest that has booted."""
    key_path = tmp_path_factory.mktemp("guest") / "id_ed25519"
    with ExitStack() as stack:
        cloud = stack.enter_context(connect().scope("forwarding"))
        key_pair = cloud.key_pairs.generate("guest", key_path)
        image = cloud.images.upload("guest", path=guest_path())
        flavor = cloud.flavors.create("guest", vcpus=1, ram_mib=128, disk_gib=1)
        server = cloud.servers.create("guest", image=image, flavor=flavor, key_pair=key_pair)
        cloud.ssh(server, user=USER, key=key_path).close()
        yield Guest(cloud, server, key_path)
    assert left_in_pool() == []


def endpoints(guest: Guest, port: int) -> tuple[Endpoint, ...]:
    """What the driver says of a port."""
    driver: Any = guest.cloud._driver
    return tuple(driver.compute.servers.endpoints(guest.server.id, port))


def hostname(guest: Guest) -> str:
    with guest.cloud.ssh(guest.server, user=USER, key=guest.key_path) as shell:
        return shell.run("hostname", check=True).stdout.strip()


def hear(endpoint: Endpoint) -> bytes:
    """The first that is said at an endpoint; nothing where nobody listens behind it."""
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=20) as connection:
            return connection.recv(100)
    except ConnectionResetError:
        return b""


def is_open(endpoint: Endpoint) -> bool:
    try:
        socket.create_connection((endpoint.host, endpoint.port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


class TestForwards:
    def test_a_port_is_forwarded_once_however_often_it_is_asked_for(self, guest: Guest) -> None:
        first = endpoints(guest, 22)
        assert [endpoint.host for endpoint in first] == ["127.0.0.1"]
        assert endpoints(guest, 22) == first

    def test_each_port_has_a_forward_of_its_own(self, guest: Guest) -> None:
        (ssh,), (other,) = endpoints(guest, 22), endpoints(guest, 8080)
        assert ssh.port != other.port
        assert is_open(other)

    def test_what_listens_in_the_guest_is_reached(self, guest: Guest) -> None:
        with guest.cloud.ssh(guest.server, user=USER, key=guest.key_path) as shell:
            shell.run("(echo hello from the guest | nc -l -p 7001 >/dev/null 2>&1 &) </dev/null", check=True)
        (endpoint,) = endpoints(guest, 7001)
        # QEMU accepts before it knows whether the guest does.
        heard = until(lambda: hear(endpoint), "somebody in the guest speaks")
        assert heard == b"hello from the guest\n"

    def test_two_clients_at_once_get_ways_that_work(self, guest: Guest) -> None:
        with connect() as other, ThreadPoolExecutor(2) as pool:
            pair = Guest(other, guest.server, guest.key_path)
            found = [each for (each,) in pool.map(endpoints, (guest, pair) * 4, [9000] * 8)]
            assert all(map(is_open, found))
            assert endpoints(guest, 9000) == endpoints(pair, 9000)

    def test_a_server_that_was_off_is_reached_again_though_its_port_is_taken(self, guest: Guest) -> None:
        (before,) = endpoints(guest, 22)
        guest.cloud.servers.stop(guest.server)
        assert endpoints(guest, 22) == ()
        assert not is_open(before)
        with socket.create_server((before.host, before.port)):
            guest.cloud.servers.start(guest.server)
            assert endpoints(guest, 22) != (before,)
            assert hostname(guest) == "guest"

    def test_they_end_with_the_server(self, guest: Guest) -> None:
        server = guest.cloud.servers.create("short", image="guest", flavor="guest")
        (endpoint,) = endpoints(Guest(guest.cloud, server, guest.key_path), 22)
        assert is_open(endpoint)
        guest.cloud.servers.delete(server)
        assert not is_open(endpoint)

    def test_a_server_without_an_interface_has_none(self, guest: Guest) -> None:
        server = guest.cloud.servers.create("alone", image="guest", flavor="guest", networks="none")
        assert endpoints(Guest(guest.cloud, server, guest.key_path), 22) == ()
        guest.cloud.servers.delete(server)


class TestNetwork:
    def test_there_is_one_that_every_project_sees(self, guest: Guest) -> None:
        (network,) = guest.cloud.networks.list()
        (subnet,) = guest.cloud.subnets.list()
        assert (network.name, network.shared, network.subnet_ids) == ("user", True, (subnet.id,))
        assert (subnet.cidr, subnet.gateway_ip, subnet.dns) == ("10.0.2.0/24", "10.0.2.2", ("10.0.2.3",))
        assert list(guest.cloud.for_project("another").networks.list()) == [network]
        assert guest.cloud.raw(network) == network

    def test_the_servers_port_is_on_it(self, guest: Guest) -> None:
        (address,) = guest.server.addresses
        (port,) = guest.cloud.ports.list(device_id=guest.server.id)
        assert (address.ip, address.mac, address.port_id) == ("10.0.2.15", port.mac, port.id)
        assert [fixed.ip for fixed in port.fixed_ips] == ["10.0.2.15"]
        with guest.cloud.ssh(guest.server, user=USER, key=guest.key_path) as shell:
            seen = shell.run("ip -4 address; ip link; ip route; cat /etc/resolv.conf", check=True).stdout
        assert "10.0.2.15/24" in seen
        assert port.mac in seen
        assert "default via 10.0.2.2" in seen
        assert "10.0.2.3" in seen

    @pytest.mark.parametrize(
        ("networks", "error"),
        [
            (["user", "user"], InvalidRequest),
            ([Nic(network_id="user", fixed_ip="10.0.2.16")], InvalidRequest),
            ([Nic(port_id="11111111-0000-4000-8000-000000000000")], NotFound),
        ],
        ids=["two interfaces", "another address", "a port"],
    )
    def test_what_it_cannot_give_is_refused_and_nothing_is_left(
        self, guest: Guest, networks: list[object], error: type[Exception]
    ) -> None:
        before = left_in_pool()
        with pytest.raises(error):
            guest.cloud.servers.create("no", image="guest", flavor="guest", networks=networks)  # type: ignore[arg-type, unused-ignore]
        assert left_in_pool() == before

    def test_none_can_be_made_or_deleted(self, guest: Guest) -> None:
        with pytest.raises(Unsupported):
            guest.cloud.networks.create("net")
        with pytest.raises(Unsupported):
            guest.cloud.networks.delete("user")
        assert [network.name for network in guest.cloud.networks.list()] == ["user"]


def test_the_demo_tells_the_story_without_networks(tmp_path: Path) -> None:
    before = left_in_pool()
    config = tmp_path / "cloudkit.toml"
    text = json.dumps
    config.write_text(f"[clouds.mine]\nurl = {text(URL)}\nstory = {{ image = {text(str(guest_path()))} }}\n")
    done = subprocess.run(
        [sys.executable, "-m", "cloudkit.cli", "demo", "--cloud", "mine"],
        env={**os.environ, "CLOUDKIT_CONFIG": str(config)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Disk /dev/vdb: 1 GiB" in done.stdout
    assert done.stdout.count("not offered") >= len(NETWORK_STEPS)
    assert all(step in done.stdout for step in NETWORK_STEPS)
    assert left_in_pool() == before


def test_the_pool_is_for_nobody_else(guest: Guest) -> None:
    assert f"{POOL}/" in guest.cloud.raw(guest.server)
    assert POOL.stat().st_mode & 0o077 == 0
