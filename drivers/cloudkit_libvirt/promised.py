"""Addresses that this process is about to take: its threads do not all try the lowest free one at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Set
from typing import TypeVar

S = TypeVar("S")


class Promised:
    """Which addresses are promised to ports that are being made. Thread-safe."""

    def __init__(self) -> None:
        """Nothing is promised."""
        self._lock = threading.Lock()
        self._by_port: dict[str, set[tuple[str, str]]] = {}

    def choose(self, port_id: str, network_id: str, pick: Callable[[Set[str]], tuple[S, str]]) -> tuple[S, str]:
        """Have ``pick`` choose something and an address, other than those promised, and promise that one."""
        with self._lock:
            pairs = [pair for each in self._by_port.values() for pair in each]
            subnet, ip = pick({ip for network, ip in pairs if network == network_id})
            self._by_port.setdefault(port_id, set()).add((network_id, ip))
            return subnet, ip

    def end(self, port_id: str) -> None:
        """The port's address is taken, as everybody can see by now; or the port is not made."""
        with self._lock:
            self._by_port.pop(port_id, None)
