"""The tests' process as a neighbour on networks of the guests tier, which else only their own guests reach.

Neutron gets a port that is bound to the bed, and Open vSwitch a device for it, which the agent plugs into the
network as it does a guest's. The device takes the port's addresses, in the namespace of the bed's clients.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from ipaddress import ip_network
from types import TracebackType
from typing import Self

from guest_settings import BRIDGES, OVSDB
from layout import NODE

from cloudkit import Cloud, Network

OVSCTL = ("ovs-vsctl", f"--db={OVSDB}", "--timeout=30")


class Neighbours:
    """Joins networks; at its end the devices go. The ports end with the scope that they are made in."""

    def __enter__(self) -> Self:
        self._exit = ExitStack()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def join(self, cloud: Cloud, network: Network) -> None:
        """Become reachable on a network, and let it be reached."""
        port = cloud.ports.create("neighbour", network=network, native={"binding:host_id": NODE})
        device = f"ckn{port.id[:11]}"
        ids = {"iface-id": port.id, "attached-mac": port.mac, "iface-status": "active"}
        settings = ["type=internal", *(f'external_ids:{key}="{value}"' for key, value in ids.items())]
        _tool(*OVSCTL, "add-port", BRIDGES[0], device, "--", "set", "interface", device, *settings)
        self._exit.callback(_tool, *OVSCTL, "--if-exists", "del-port", BRIDGES[0], device)
        _tool("ip", "link", "set", device, "address", port.mac)
        for fixed in port.fixed_ips:
            prefix = ip_network(cloud.subnets.get(fixed.subnet_id).cidr).prefixlen
            _tool("ip", "address", "add", f"{fixed.ip}/{prefix}", "dev", device)
        _tool("ip", "link", "set", device, "up")


def _tool(*argv: str) -> None:
    subprocess.run(argv, check=True)
