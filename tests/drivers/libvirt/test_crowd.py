"""Many clients that want an address of one subnet at the same time each get one of their own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from specs import make_network, port_spec

from cloudkit_libvirt.records import Records

CLIENTS = 100
CLIENTS_OF_A_PROCESS = 8


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was claimed, or tried to be."""
    claims: list[str] = []
    claim = Records.claim

    def counted(self: Records, what: str, owner: str) -> bool:
        claims.append(what)
        return claim(self, what, owner)

    monkeypatch.setattr(Records, "claim", counted)
    return claims


def test_a_crowd_gets_addresses_in_a_few_tries(driver: Any, claims: list[str]) -> None:
    network, _ = make_network(driver)
    with ThreadPoolExecutor(CLIENTS) as pool:
        ports = list(pool.map(lambda _: driver.network.ports.create(port_spec(network.id)), range(CLIENTS)))
    assert len({port.fixed_ips[0].ip for port in ports}) == CLIENTS
    # If all went on to the same next one, it would be thousands.
    assert len(claims) < CLIENTS * 6


def test_threads_that_choose_at_the_same_time_choose_different_addresses(
    driver: Any, claims: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, _ = make_network(driver)
    # Nobody writes before all have chosen.
    together, create = threading.Barrier(CLIENTS_OF_A_PROCESS), Records.create

    def delayed(self: Records, id: str, body: Any) -> Any:
        together.wait(60)
        return create(self, id, body)

    monkeypatch.setattr(Records, "create", delayed)
    with ThreadPoolExecutor(CLIENTS_OF_A_PROCESS) as pool:
        ports = list(
            pool.map(lambda _: driver.network.ports.create(port_spec(network.id)), range(CLIENTS_OF_A_PROCESS))
        )
    assert len({port.fixed_ips[0].ip for port in ports}) == CLIENTS_OF_A_PROCESS
    assert len(claims) == CLIENTS_OF_A_PROCESS
