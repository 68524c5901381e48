"""What openstacksdk and Apache Libcloud take for the same, each by its own calls and defaults."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import openstack
import static_openstack as static


class Peer(Protocol):
    """The calls that are measured."""

    name: str

    def list(self) -> int:
        """How many servers a whole list gives."""
        ...

    def get(self, id: str) -> object:
        """One server."""
        ...

    def create(self, name: str) -> object:
        """One server, made and waited for."""
        ...


class OpenstackSdk:
    """The proxies of a connection."""

    name = "openstacksdk"

    def __init__(self) -> None:
        """Connect by the environment."""
        self._compute: Any = openstack.connect().compute  # type: ignore[no-untyped-call, unused-ignore]

    def list(self) -> int:
        """Page by page."""
        return sum(1 for _ in self._compute.servers())

    def get(self, id: str) -> object:
        """By id."""
        return self._compute.get_server(id)

    def create(self, name: str) -> object:
        """The wait looks each 2 s, unless told otherwise."""
        made = self._compute.create_server(
            name=name, image_id=static.IMAGE, flavor_id=static.FLAVOR, networks=[{"uuid": static.NETWORK}]
        )
        return self._compute.wait_for_server(made)


class Libcloud:
    """The node driver of OpenStack."""

    name = "Apache Libcloud"

    def __init__(self, url: str) -> None:
        """Connect to the services below ``url``."""
        from libcloud.compute.base import NodeImage, NodeSize  # type: ignore[import-not-found, unused-ignore]
        from libcloud.compute.drivers.openstack import (  # type: ignore[import-not-found, unused-ignore]
            OpenStack_2_NodeDriver,
            OpenStackNetwork,
        )

        self._driver: Any = OpenStack_2_NodeDriver(
            "demo",
            "secret",
            ex_force_auth_url=f"{url}/identity",
            ex_force_auth_version="3.x_password",
            ex_force_base_url=f"{url}/compute",
            ex_tenant_name="demo",
            ex_force_service_region="RegionOne",
        )
        self._reference = {
            "image": NodeImage(static.IMAGE, "image", self._driver),
            "size": NodeSize(static.FLAVOR, "flavor", 1, 1, 1, 0, self._driver),
            "networks": [OpenStackNetwork(static.NETWORK, "private", None, self._driver)],
        }

    def list(self) -> int:
        """All at once: it has no other way."""
        return len(self._driver.list_nodes())

    def get(self, id: str) -> object:
        """By id."""
        return self._driver.ex_get_node_details(id)

    def create(self, name: str) -> object:
        """Its own way to wait looks each 3 s, by a list of all."""
        node = self._driver.create_node(name=name, **self._reference)
        return self._driver.wait_until_running([node], ssh_interface="private_ips")


def peers(url: str) -> Iterator[Peer]:
    """Those that are installed."""
    yield OpenstackSdk()
    if importlib.util.find_spec("libcloud"):
        yield Libcloud(url)


def create_all(peer: Peer, number: int, in_flight: int) -> None:
    """Neither has a call for many: threads are what its user has."""
    with ThreadPoolExecutor(in_flight) as pool:
        list(pool.map(peer.create, [f"server-{each}" for each in range(number)]))
