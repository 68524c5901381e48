"""The host's network written whole, for clouds of several sizes: what one change of a rule costs beside nft alone.

    python tests/real/libvirt/run.py --shell python tests/benchmarks/run.py --bed reconcile

The servers are records of ports without guests, in groups of 20 rules each; networks, nft and libvirt are real. By
hand is nft loading the text that is written anyway. A cost that grew with the square of the cloud would make twice
the cloud four times as dear.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from statistics import median
from typing import Any

import cloudkit
from cloudkit._schema import to_data
from cloudkit.types import SecurityGroupRule
from cloudkit_libvirt.bodies import Phase, PortBody, now_text
from cloudkit_libvirt.hostnet.rules import render
from cloudkit_libvirt.record_bytes import encode
from cloudkit_libvirt.routing_bodies import SecurityGroupBody

SIZES = ((50, 12), (100, 25), (200, 50), (400, 100))
"""Servers and groups."""
MEASURED = (200, 50)
RULES = 20
ROUNDS = 5
BOUND_S = 1.0
GROWTH_BOUND = 3
CIDR = "10.20.0.0/16"


def main() -> int:
    uri, bed = os.environ["CLOUDKIT_TEST_LIBVIRT_URI"], os.environ["CLOUDKIT_TEST_BED"]
    seconds: dict[tuple[int, int], float] = {}
    with (
        cloudkit.connect(f"libvirt+{uri}", pool_path=f"{bed}/pool", external_cidr="", host_network="on") as cloud,
        cloud.scope("bench") as mine,
    ):
        network = mine.networks.create("bench", cidr=CIDR)
        changed = mine.security_groups.create("changed")
        for size in SIZES:
            seconds[size] = measured(mine, network, changed, Path(bed) / "pool", *size)
    whole = seconds[MEASURED]
    growth = seconds[SIZES[-1]] / whole
    print(f"a change with {MEASURED[0]} servers: {whole * 1000:.0f} ms (bound {BOUND_S * 1000:.0f} ms)")
    print(f"twice the cloud: {growth:.2f} × (bound {GROWTH_BOUND} ×)")
    return int(whole > BOUND_S or growth > GROWTH_BOUND)


def measured(cloud: Any, network: Any, changed: Any, pool: Path, servers: int, groups: int) -> float:
    files = dict(records(network, servers, groups))
    refresh = cloud.native.storagePoolLookupByName("cloudkit").refresh
    for name, content in files.items():
        (pool / name).write_bytes(content)
    try:
        refresh()
        # The first look reads each record.
        one_change(cloud, changed)
        driver = cloud._context.driver
        script = render(driver._context.hostnet._wanted(), driver.cloud_id)
        pairs = [(timed(lambda: by_hand(script)), timed(lambda: one_change(cloud, changed))) for _ in range(ROUNDS)]
    finally:
        for name in files:
            (pool / name).unlink()
        refresh()
    bare, ours = (median(times) for times in zip(*pairs, strict=True))
    print(
        f"{servers} servers, {groups} groups of {RULES} rules: nft alone {bare * 1000:.0f} ms, a change of a rule "
        f"{ours * 1000:.0f} ms; {len(script.splitlines())} lines",
        flush=True,
    )
    return ours


def records(network: Any, servers: int, groups: int) -> Any:
    """Names and contents of the records, as the driver writes them."""
    project = network.project_id
    common: dict[str, Any] = {"phase": Phase.READY, "project_id": project, "name": "", "created_at": now_text()}
    ids = [str(uuid.uuid4()) for _ in range(groups)]
    for number, id in enumerate(ids):
        rules = tuple(rule(position, ids[(number + position) % groups]) for position in range(RULES))
        yield f"ck1.security_group.{id}.1", encode(to_data(SecurityGroupBody(**common, rules=rules)))
    for number in range(servers):
        port = PortBody(
            **common,
            network_id=network.id,
            subnet_id=network.subnet_ids[0],
            mac=f"52:54:00:02:{number >> 8:02x}:{number & 255:02x}",
            ip=str(ip_network(CIDR)[1000 + number]),
            device_id=str(uuid.uuid4()),
            owned=True,
            group_ids=(ids[number % groups],),
        )
        yield f"ck1.port.{uuid.uuid4()}.1", encode(to_data(port))


def rule(position: int, other: str) -> SecurityGroupRule:
    """Half of them by CIDR, half by group."""
    remote: dict[str, Any] = {"remote_cidr": f"10.{position}.0.0/16"} if position % 2 else {"remote_group_id": other}
    port = 1000 + position
    return SecurityGroupRule(
        id=str(uuid.uuid4()), direction="ingress", protocol="tcp", port_min=port, port_max=port, **remote
    )


def one_change(cloud: Any, group: Any) -> None:
    rule = cloud.security_groups.add_rule(group, "tcp", port=22)
    cloud.security_groups.remove_rule(group, rule)


def by_hand(script: str) -> None:
    """Twice, as a rule comes and goes."""
    for _ in range(2):
        subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)


def timed(call: Callable[[], object]) -> float:
    """Of one of two changes."""
    start = time.monotonic()
    call()
    return (time.monotonic() - start) / 2


if __name__ == "__main__":
    sys.exit(main())
