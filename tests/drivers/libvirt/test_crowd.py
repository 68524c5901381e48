"""Many clients that want an address of one subnet at the same time each get one of their own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from specs import make_network, port_spec

from cloudkit_libvirt.records import Records

CLIENTS = 100


def test_a_crowd_gets_addresses_in_a_few_tries(driver: Any, monkeypatch: Any) -> None:
    network, _ = make_network(driver)
    claims: list[str] = []
    claim = Records.claim

    def counted(self: Records, what: str, owner: str) -> bool:
        claims.append(what)
        return claim(self, what, owner)

    monkeypatch.setattr(Records, "claim", counted)
    with ThreadPoolExecutor(CLIENTS) as pool:
        ports = list(pool.map(lambda _: driver.network.ports.create(port_spec(network.id)), range(CLIENTS)))
    assert len({port.fixed_ips[0].ip for port in ports}) == CLIENTS
    # If all went on to the same next one, it would be thousands.
    assert len(claims) < CLIENTS * 6
