"""A floating IP is never left with a port that is deleted at the same time."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from specs import flavor_spec, make_network, port_spec, server_spec

from cloudkit.errors import InvalidState
from cloudkit.types import Nic
from cloudkit_libvirt.bodies import Phase, PortBody, ServerBody, now_text
from cloudkit_libvirt.floating_ips import FloatingIps
from cloudkit_libvirt.routing_bodies import FloatingIpBody, Way

EXTERNAL = str(uuid.uuid4())


def being_deleted(records: Any, body_type: type[Any], id: str) -> None:
    records.change(body_type, id, lambda body: replace(body, phase=Phase.DELETING))


def port_of_a_server(driver: Any) -> tuple[str, Callable[[], None]]:
    network, _ = make_network(driver)
    flavor = driver.compute.flavors.create(flavor_spec())
    server = driver.compute.servers.create(server_spec(driver, flavor, Nic(network_id=network.id)))
    (address,) = server.addresses
    return address.port_id, lambda: being_deleted(driver._context.records, ServerBody, server.id)


def lonely_port(driver: Any) -> tuple[str, Callable[[], None]]:
    network, _ = make_network(driver)
    id = driver.network.ports.create(port_spec(network.id)).id
    return id, lambda: being_deleted(driver._context.records, PortBody, id)


@pytest.mark.parametrize("make", [port_of_a_server, lonely_port])
def test_what_is_being_deleted_gets_no_floating_ip(
    driver: Any, monkeypatch: pytest.MonkeyPatch, make: Callable[[Any], tuple[str, Callable[[], None]]]
) -> None:
    port_id, delete = make(driver)
    records, id = driver._context.records, str(uuid.uuid4())
    body = FloatingIpBody(
        phase=Phase.READY, project_id=driver.project_id, name="fip", created_at=now_text(), ip="172.24.4.9",
        external_network_id=EXTERNAL,
    )  # fmt: skip
    records.create(id, body)

    def way(*_arguments: Any) -> Way:
        # It was there when it was looked for.
        delete()
        return Way(port_id=port_id, fixed_ip="172.16.1.2", router_id=str(uuid.uuid4()))

    monkeypatch.setattr(FloatingIps, "_way", way)
    with pytest.raises(InvalidState, match="delet"):
        FloatingIps(driver._context, driver.project_id).associate(id, port_id, None)
    assert records.view().get(FloatingIpBody, id).body.way is None
