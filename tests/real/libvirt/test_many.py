"""Many servers at once, by more than one process."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Generator
from typing import Any

import libvirt  # type: ignore[import-untyped, unused-ignore]
import pytest
from bed import LibvirtBed
from libvirt_faults import inventory
from racing import race
from saved_guest import deleting_all

from cloudkit import Cloud
from cloudkit.types import ServerStatus

CLIENTS, SERVERS_EACH = 2, 12

CLIENT = """
import json, sys
import cloudkit

cloud = cloudkit.connect("bed")
print("ready", flush=True)
sys.stdin.readline()
names = [f"{sys.argv[1]}-{number}" for number in range(int(sys.argv[2]))]
like = {"image": "blank", "flavor": "small", "networks": ["net"]}
servers = cloud.servers.create_many([{"name": name, **like} for name in names])
print(json.dumps([[each.name, each.status, each.addresses[0].ip, each.addresses[0].mac] for each in servers]))
"""


@pytest.fixture
def empty(cloud: Cloud) -> Generator[Cloud]:
    with deleting_all(cloud):
        cloud.networks.create("net", cidr="172.16.1.0/24")
        cloud.images.upload("blank", data=io.BytesIO(bytes(4096)), disk_format="raw")
        cloud.flavors.create("small", vcpus=1, ram_mib=32, disk_gib=1)
        yield cloud


def test_two_processes_make_many_servers_and_none_shares_an_address(bed: LibvirtBed, empty: Cloud) -> None:
    before = inventory(bed)
    outcomes = race([(CLIENT, str(client), str(SERVERS_EACH)) for client in range(CLIENTS)], timeout_s=240)
    made: list[list[str]] = [server for outcome in outcomes for server in outcome]
    names, statuses, ips, macs = zip(*made, strict=True)
    assert sorted(names) == sorted(f"{client}-{index}" for client in range(CLIENTS) for index in range(SERVERS_EACH))
    assert set(statuses) == {ServerStatus.ACTIVE}
    assert len(set(ips)) == len(set(macs)) == CLIENTS * SERVERS_EACH
    shown = list(empty.servers.list())
    assert sorted(ips) == sorted(address.ip for server in shown for address in server.addresses)
    for server in shown:
        empty.servers.delete(server)
    assert inventory(bed) == before


def test_a_batch_starts_no_more_at_once_than_the_host_has_cores(
    empty: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, running, most = threading.Lock(), 0, 0
    create = libvirt.virDomain.create

    def counted(domain: Any) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return create(domain)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(libvirt.virDomain, "create", counted)
    like = {"image": "blank", "flavor": "small", "networks": "none"}
    servers = empty.servers.create_many([{"name": f"s{index}", **like} for index in range(10)])
    assert len(servers) == 10
    assert 1 <= most <= (os.cpu_count() or 1)
