"""A list of 1,000 defined servers: cloudkit's against libvirt-python's by hand, on the same domains.

    python tests/real/libvirt/run.py --shell python tests/benchmarks/list_servers.py [NUMBER]

By hand: state, name and MAC of each domain, which takes a description of each. cloudkit's first list reads each
record once; every later one takes one bulk call for the names of all records, and two for the states of all domains.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from xml.etree import ElementTree as ET

import bare_libvirt
import libvirt  # type: ignore[import-untyped, unused-ignore]

import cloudkit
from cloudkit._schema import to_data
from cloudkit_libvirt.bodies import Phase, PortBody, ServerBody, now_text
from cloudkit_libvirt.record_bytes import encode

BOUND = 1.1
NUMBER = 1000
ROUNDS = 5


def main(arguments: list[str] | None = None) -> int:
    number = int(arguments[0]) if arguments else NUMBER
    uri, bed = os.environ["CLOUDKIT_TEST_LIBVIRT_URI"], os.environ["CLOUDKIT_TEST_BED"]
    connection = libvirt.open(uri)
    with cloudkit.connect(f"libvirt+{uri}", pool_path=f"{bed}/pool", external_cidr="", host_network="off") as cloud:
        made = [str(uuid.uuid4()) for _ in range(number)]
        try:
            define(connection, Path(bed) / "pool", made)
            cloud.native.storagePoolLookupByName("cloudkit").refresh()
            first = timed(lambda: by_cloudkit(cloud, number))
            pairs = [(timed(lambda: by_hand(connection, number)), timed(lambda: by_cloudkit(cloud, number)))
                     for _ in range(ROUNDS)]  # fmt: skip
        finally:
            remove(connection, Path(bed) / "pool", made)
            cloud.native.storagePoolLookupByName("cloudkit").refresh()
            connection.close()
    bare, ours = (median(times) for times in zip(*pairs, strict=True))
    ratio = median(ours / bare for bare, ours in pairs)
    print(f"list of {number} servers: by hand {bare * 1000:.0f} ms, cloudkit {ours * 1000:.0f} ms, "
          f"the first one {first * 1000:.0f} ms; ratio {ratio:.2f} × (bound {BOUND} ×)")  # fmt: skip
    return int(ratio > BOUND)


def define(connection: Any, pool: Path, ids: list[str]) -> None:
    """Domains that never run, and their records as the driver writes them; a port has its server's id."""
    network_id = str(uuid.uuid4())
    for index, id in enumerate(ids):
        common: dict[str, Any] = {
            "phase": Phase.READY, "project_id": "default", "name": f"server-{index}", "created_at": now_text(),
        }  # fmt: skip
        mac = f"52:54:00:01:{index >> 8:02x}:{index & 255:02x}"
        port = PortBody(
            **common, network_id=network_id, subnet_id=network_id, mac=mac, ip=f"172.16.{index >> 8}.{index & 255}",
            device_id=id, owned=True,
        )  # fmt: skip
        server = ServerBody(
            **common, image_id=str(uuid.uuid4()), flavor_id="small", vcpus=1, ram_mib=32, disk_bytes=1 << 30,
            port_ids=(id,),
        )  # fmt: skip
        (pool / f"ck1.server.{id}.1").write_bytes(encode(to_data(server)))
        (pool / f"ck1.port.{id}.1").write_bytes(encode(to_data(port)))
        files = (pool / f"ck-{id}.{kind}" for kind in ("disk", "seed", "console"))
        connection.defineXML(bare_libvirt.domain_xml(f"ck-{id}", index % 200, 32, *files))


def remove(connection: Any, pool: Path, ids: list[str]) -> None:
    for id in ids:
        connection.lookupByName(f"ck-{id}").undefine()
        for kind in ("server", "port"):
            (pool / f"ck1.{kind}.{id}.1").unlink()


def by_hand(connection: Any, number: int) -> None:
    found = []
    for domain, state in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE):
        mac = ET.fromstring(domain.XMLDesc()).find(".//mac")
        assert mac is not None
        found.append((domain.name(), state["state.state"], mac.get("address")))
    assert len(found) == number


def by_cloudkit(cloud: Any, number: int) -> None:
    servers = list(cloud.servers.list())
    assert len(servers) == number
    assert all(server.addresses for server in servers)


def timed(call: Callable[[], object]) -> float:
    start = time.monotonic()
    call()
    return time.monotonic() - start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
