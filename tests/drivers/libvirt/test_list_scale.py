"""How often libvirt is asked: each look at the store's names costs time in proportion to what there is.

1,000 servers are listed by one such look and two at libvirt; each record is read once.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import libvirt
import pytest
from specs import flavor_spec, make_network, server_spec

from cloudkit.driver import EVERYTHING
from cloudkit.types import Nic
from cloudkit_libvirt.blobs import MemoryBlobs
from cloudkit_libvirt.bodies import Phase, PortBody, ServerBody, now_text
from cloudkit_libvirt.domain_xml import libvirt_name
from cloudkit_libvirt.records import Records

SERVERS = 1000
DOMAIN = "<domain type='test'><name>{name}</name><memory>1024</memory><os><type>hvm</type></os></domain>"


def fill(driver: Any) -> None:
    # Another client's, so that the driver has read none of them.
    records = Records(driver._context.records._store)
    for index in range(SERVERS):
        id = str(uuid.uuid4())
        common: Any = {
            "phase": Phase.READY, "project_id": driver.project_id, "name": f"s{index}", "created_at": now_text(),
        }  # fmt: skip
        records.create(
            id,
            PortBody(**common, network_id="n", subnet_id="s", mac="52:54:00:00:00:01", ip="172.16.1.2", device_id=id),
        )
        records.create(
            id,
            ServerBody(
                **common, image_id="i", flavor_id="f", vcpus=1, ram_mib=32, disk_bytes=1 << 30, port_ids=(id,)
            ),
        )
        driver.native.defineXML(DOMAIN.format(name=libvirt_name(id)))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counted: Counter[str] = Counter()

    def counting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counter(*arguments: Any) -> Any:
            counted[name] += 1
            return call(*arguments)

        return counter

    for owner in (libvirt.virConnect, libvirt.virDomain, libvirt.virStoragePool, libvirt.virStorageVol):
        for name, call in vars(owner).items():
            # Names and liveness are known without asking the daemon.
            if callable(call) and not name.startswith("_") and name not in ("name", "isAlive"):
                monkeypatch.setattr(owner, name, counting(name, call))
    for name in ("names", "read"):
        monkeypatch.setattr(MemoryBlobs, name, counting(name, getattr(MemoryBlobs, name)))
    return counted


def test_a_server_is_made_and_deleted_with_few_looks(driver: Any, calls: Counter[str]) -> None:
    network, _ = make_network(driver)
    flavor = driver.compute.flavors.create(flavor_spec())
    spec = server_spec(driver, flavor, Nic(network_id=network.id))
    calls.clear()
    server = driver.compute.servers.create(spec)
    # To check, when the server's and when the port's records are written, and for what is returned.
    assert (calls["names"], calls["read"]) == (4, 0)
    calls.clear()
    driver.compute.servers.delete(server.id)
    # Before and after the mark; and to whom the address belongs.
    assert (calls["names"], calls["read"]) == (2, 1)


def test_a_list_of_many_servers_takes_three_calls(driver: Any, calls: Counter[str]) -> None:
    fill(driver)
    reads: list[int] = []
    for _ in range(2):
        calls.clear()
        servers = list(driver.compute.servers.list(EVERYTHING))
        assert len(servers) == SERVERS
        assert all(server.addresses for server in servers)
        reads.append(calls.pop("read", 0))
        assert calls == {"names": 1, "listAllDomains": 1, "getAllDomainStats": 1}
    assert reads == [2 * SERVERS, 0]
