"""Many servers: create, list and delete them by cloudkit against libvirt-python by hand, on the same libvirt.

    python tests/real/libvirt/run.py --shell python tests/benchmarks/many_servers.py [NUMBER [ROUNDS]]

By hand means what a careful script does for the same result: for each server an overlay, a seed with the user's key
and the server's own host key, a defined and started domain with an address that the network reserves; as many at once
as libvirt serves, of which no more start than there are cores. A list by hand gives name, state and address of each.
No guest boots: the image is blank, so that what is compared is the work of the two, and not the guests'. At last a
few servers are made and deleted by each with its calls to libvirtd counted, and how many of them list all volumes.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import BoundedSemaphore
from typing import Any
from xml.etree import ElementTree as ET

import bare_libvirt
import libvirt  # type: ignore[import-untyped, unused-ignore]
from libvirt_calls import counting

import cloudkit
from cloudkit._keys import generate_key_pair

BOUND = 1.1
NUMBER = 100
COUNTED = 5
ROUNDS = 3
WORKERS = 8
"""More than libvirt serves at once for one connection (max_client_requests), as create_many uses too."""
RAM_MIB = 32
VERBS = ("create", "list", "delete")
IMAGE = bytes(4096)

VOLUME = """
<volume>
  <name>{name}</name><capacity unit="bytes">{size}</capacity>
  <target><format type="{format}"/></target>{backing}
</volume>
"""
BACKING = '<backingStore><path>{path}</path><format type="raw"/></backingStore>'


class ByHand:
    """The three verbs by libvirt-python."""

    def __init__(self, connection: Any, folder: Path, number: int, public_key: str) -> None:
        self._virt = connection
        self._folder = folder
        self._names = [f"bare-{index}" for index in range(number)]
        self._public_key = public_key
        self._starts = BoundedSemaphore(os.cpu_count() or 1)
        self._pool = connection.storagePoolCreateXML(
            f"<pool type='dir'><name>bare</name><target><path>{folder}</path></target></pool>"
        )
        self._network = connection.networkCreateXML(bare_libvirt.network_xml(number))
        self._image = self._volume("image", len(IMAGE), "raw", IMAGE)

    def close(self) -> None:
        self._image.delete()
        self._network.destroy()
        self._pool.destroy()

    def _volume(self, name: str, size: int, format: str, data: bytes = b"", backing: str = "") -> Any:
        volume = self._pool.createXML(VOLUME.format(name=name, size=size, format=format, backing=backing))
        if data:
            stream = self._virt.newStream()
            volume.upload(stream, 0, len(data))
            stream.sendAll(lambda _stream, size, source: source.read(size), io.BytesIO(data))
            stream.finish()
        return volume

    def create(self) -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(self._create_one, range(len(self._names))))

    def _create_one(self, index: int) -> None:
        name = self._names[index]
        iso = bare_libvirt.seed_iso(name, self._public_key, bare_libvirt.HostKey.generate())
        disk = self._volume(f"{name}.disk", 1 << 30, "qcow2", backing=BACKING.format(path=self._image.path()))
        data = self._volume(f"{name}.seed", len(iso), "raw", iso)
        console = self._folder / f"{name}.console"
        domain = self._virt.defineXML(
            bare_libvirt.domain_xml(name, index, RAM_MIB, Path(disk.path()), Path(data.path()), console)
        )
        # As a careful script, and cloudkit, do it.
        with self._starts:
            domain.create()

    def list(self) -> int:
        ips = {host.get("mac"): host.get("ip") for host in ET.fromstring(self._network.XMLDesc()).iter("host")}
        found = [
            (domain.name(), state["state.state"], ips[ET.fromstring(domain.XMLDesc()).find(".//mac").get("address")])  # type: ignore[union-attr]
            for domain, state in self._virt.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE)
            if domain.name() in self._names
        ]
        return len(found)

    def delete(self) -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(self._delete_one, self._names))
        self._pool.refresh()
        for volume in self._pool.listAllVolumes():
            if volume.name().endswith(".console"):
                volume.delete()

    def _delete_one(self, name: str) -> None:
        domain = self._virt.lookupByName(name)
        domain.destroy()
        domain.undefine()
        for kind in ("disk", "seed"):
            self._pool.storageVolLookupByName(f"{name}.{kind}").delete()


class ByCloudkit:
    """The same by the portable API."""

    def __init__(self, cloud: Any, number: int, public_key: str) -> None:
        self._cloud = cloud
        self._names = [f"bench-{index}" for index in range(number)]
        cloud.networks.create("bench", cidr="172.16.8.0/24")
        cloud.images.upload("bench", data=io.BytesIO(IMAGE), disk_format="raw")
        cloud.flavors.create("bench", vcpus=1, ram_mib=RAM_MIB, disk_gib=1)
        cloud.key_pairs.create("bench", public_key=public_key)

    def create(self) -> None:
        like = {"image": "bench", "flavor": "bench", "networks": ["bench"], "key_pair": "bench"}
        self._cloud.servers.create_many([{"name": name, **like} for name in self._names])

    def list(self) -> int:
        return sum(1 for server in self._cloud.servers.list() if server.addresses)

    def delete(self) -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(self._cloud.servers.delete, list(self._cloud.servers.list())))


@contextmanager
def both(number: int) -> Iterator[dict[str, Any]]:
    """The two ways, on the same libvirt."""
    uri, bed = os.environ["CLOUDKIT_TEST_LIBVIRT_URI"], os.environ["CLOUDKIT_TEST_BED"]
    _, public_key = generate_key_pair()
    connection = libvirt.open(uri)
    with (
        tempfile.TemporaryDirectory(dir=bed) as folder,
        cloudkit.connect(f"libvirt+{uri}", pool_path=f"{bed}/pool", external_cidr="", host_network="off") as cloud,
        cloud.scope("bench") as mine,
    ):
        by_hand = ByHand(connection, Path(folder), number, public_key)
        try:
            yield {"by hand": by_hand, "cloudkit": ByCloudkit(mine, number, public_key)}
        finally:
            by_hand.close()
            connection.close()


def timed(call: Callable[[], object]) -> float:
    start = time.monotonic()
    call()
    return time.monotonic() - start


def print_calls() -> None:
    """What each way asks of libvirtd for a server."""
    with both(COUNTED) as ways:
        for name, way in ways.items():
            for verb in ("create", "delete"):
                with counting() as counts:
                    getattr(way, verb)()
                listings = counts["virStoragePoolListAllVolumes"]
                print(
                    f"{verb} by {name.removeprefix('by ')}: {counts.total() / COUNTED:.1f} calls to libvirtd a "
                    f"server, {listings / COUNTED:.1f} of them list all volumes"
                )


def main(arguments: list[str] | None = None) -> int:
    number = int(arguments[0]) if arguments else NUMBER
    rounds = int(arguments[1]) if arguments and len(arguments) > 1 else ROUNDS
    seconds: dict[str, list[tuple[float, float]]] = {verb: [] for verb in VERBS}
    with both(number) as ways:
        for round in range(rounds):
            times: dict[str, dict[str, float]] = {}
            for name in sorted(ways, reverse=bool(round % 2)):
                way = ways[name]
                times[name] = {"create": timed(way.create), "list": timed(way.list)}
                if way.list() != number:
                    raise SystemExit(f"{name}: not all servers are there")
                times[name]["delete"] = timed(way.delete)
            for verb in VERBS:
                pair = times["by hand"][verb], times["cloudkit"][verb]
                seconds[verb].append(pair)
                print(f"round {round + 1}: {verb} by hand {pair[0]:.2f} s, cloudkit {pair[1]:.2f} s", flush=True)
    failed = False
    for verb, pairs in seconds.items():
        # Of the pairs, as what else the machine does meets both halves of a pair alike.
        ratio = median(ours / bare for bare, ours in pairs)
        failed = failed or ratio > BOUND
        print(f"{verb} {number} servers: {ratio:.2f} × (bound {BOUND} ×)")
    print_calls()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
