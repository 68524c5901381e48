"""Lists, gets and creates of servers on an OpenStack of fixed answers: cloudkit's against keystoneauth by hand.

By hand means a keystoneauth session, and msgspec into the structs and values that cloudkit itself uses. The first
list is told apart: it also asks for all ports, which tell the ports behind the addresses.
"""

from __future__ import annotations

import itertools
import sys
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import static_openstack as static
from openstack_peers import create_all, peers

import cloudkit
from cloudkit.types import Address, FrozenMap, Server, ServerStatus
from cloudkit_openstack.server_body import ServerBody, decode_one, decode_page
from cloudkit_openstack.wire import time_of

NUMBER, ROUNDS, GETS = 10_000, 5, 300
LIST_BOUND = GET_BOUND = 1.3
PEAK_MIB_BOUND = 90
CREATES, LATENCY_S, IN_FLIGHT = 100, 0.05, 32
CREATE_BOUND = 1.2


def main() -> int:
    with static.running(NUMBER) as url, cloudkit.connect("openstack://") as cloud:
        results = [lists(cloud, url), gets(cloud, url), peak(cloud)]
        for peer in peers(url):
            print(f"{peer.name}: list {timed(peer.list) * 1e6 / NUMBER:.0f} µs each", end=", ")
            ids = some_ids(cloud)
            print(f"get {busy(lambda: [peer.get(id) for id in ids]) * 1e6 / GETS:.0f} µs")  # noqa: B023
    with static.running(0, LATENCY_S) as url, cloudkit.connect("openstack://") as cloud:
        results.append(creates(cloud))
        for peer in peers(url):
            seconds = timed(lambda: create_all(peer, CREATES, IN_FLIGHT))  # noqa: B023
            print(f"{peer.name}: {CREATES} creates in {IN_FLIGHT} threads, each with its own wait: {seconds:.1f} s")
    return int(not all(results))


def lists(cloud: Any, url: str) -> bool:
    by_hand = ByHand(cloud, url)
    first = timed(lambda: count(cloud.servers.list(), NUMBER))
    assert next(iter(cloud.servers.list())) == next(by_hand.list())
    pairs = [
        (busy(lambda: count(by_hand.list(), NUMBER)), busy(lambda: count(cloud.servers.list(), NUMBER)))
        for _ in range(ROUNDS)
    ]
    return told(
        f"list of {NUMBER} servers", pairs, LIST_BOUND, 1e6 / NUMBER, "µs each", f"; the first one {first:.2f} s"
    )


def gets(cloud: Any, url: str) -> bool:
    by_hand = ByHand(cloud, url)
    ids = some_ids(cloud)
    pairs = [
        (busy(lambda: [by_hand.get(id) for id in ids]), busy(lambda: [cloud.servers.get(id) for id in ids]))
        for _ in range(ROUNDS)
    ]
    return told("get of a server", pairs, GET_BOUND, 1e6 / GETS, "µs")


def peak(cloud: Any) -> bool:
    """What a loop over all of them holds at most, beyond what there was before."""
    tracemalloc.start()
    count(cloud.servers.list(), NUMBER)
    mib = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    print(f"memory of a loop over {NUMBER} servers: {mib:.0f} MiB at most (bound {PEAK_MIB_BOUND})")
    return mib <= PEAK_MIB_BOUND


def creates(cloud: Any) -> bool:
    specs = [
        {"name": f"server-{number}", "image": static.IMAGE, "flavor": static.FLAVOR, "networks": [static.NETWORK]}
        for number in range(CREATES)
    ]

    def ideal() -> None:
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            list(pool.map(lambda _: time.sleep(LATENCY_S), range(CREATES)))
        # The list of servers, for a batch that is ready at the first look; and that of ports, behind the addresses.
        for _ in ("servers", "ports"):
            time.sleep(LATENCY_S)

    def ours() -> None:
        assert all(each.status == "ACTIVE" for each in cloud.servers.create_many(specs))

    pairs = [(timed(ideal), timed(ours)) for _ in range(ROUNDS)]
    return told(
        f"{CREATES} creates at {LATENCY_S * 1000:g} ms",
        pairs,
        CREATE_BOUND,
        1e3,
        "ms",
        than=f"{CREATES + 2} requests, {IN_FLIGHT} in flight,",
    )


class ByHand:
    """What somebody writes who needs nothing but speed."""

    def __init__(self, cloud: Any, url: str) -> None:
        self._session = cloud.native.session
        self._url = f"{url}/compute/servers"
        self._cloud_id = next(iter(cloud.servers.list())).cloud_id

    def list(self) -> Any:
        marker, more = None, True
        while more:
            query = {"limit": static.PAGE, **({"marker": marker} if marker else {})}
            bodies, more = decode_page(self._session.get(f"{self._url}/detail", params=query).content)
            yield from map(self._value, bodies)
            marker = bodies[-1].id

    def get(self, id: str) -> Server:
        return self._value(decode_one(self._session.get(f"{self._url}/{id}").content))

    def _value(self, body: ServerBody) -> Server:
        return Server(
            id=body.id,
            name=body.name,
            project_id=body.tenant_id,
            cloud_id=self._cloud_id,
            created_at=time_of(body.created),
            updated_at=time_of(body.updated),
            description=body.description or "",
            status=ServerStatus(body.status),
            native_status=body.status,
            image_id=body.image.id,
            flavor_id=body.flavor.id,
            key_pair=body.key_name,
            security_groups=tuple([group.name for group in body.security_groups]),
            addresses=tuple(
                [
                    Address(
                        ip=each.addr, mac=each.mac, network_id=static.NETWORK, port_id=body.id, version=each.version
                    )
                    for each in body.addresses["private"]
                ]
            ),
            volume_ids=tuple([volume.id for volume in body.volumes]),
            metadata=FrozenMap(body.metadata),
            tags=tuple(body.tags),
            availability_zone=body.zone,
            locked=body.locked,
            task=body.task,
        )  # type: ignore[arg-type, union-attr]


def some_ids(cloud: Any) -> list[str]:
    return [each.id for each in itertools.islice(cloud.servers.list(), GETS)]


def count(found: Any, number: int) -> None:
    assert sum(1 for _ in found) == number


def told(
    what: str,
    pairs: list[tuple[float, float]],
    bound: float,
    scale: float,
    unit: str,
    more: str = "",
    than: str = "by hand",
) -> bool:
    floor, ours = (median(times) * scale for times in zip(*pairs, strict=True))
    ratio = median(ours / floor for floor, ours in pairs)
    print(
        f"{what}: {than} {floor:.1f} {unit}, cloudkit {ours:.1f} {unit}; ratio {ratio:.2f} × (bound {bound} ×){more}"
    )
    return ratio <= bound


def busy(call: Callable[[], object]) -> float:
    """Seconds of the processor: what the other end does is nobody's here."""
    start = time.process_time()
    call()
    return time.process_time() - start


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
