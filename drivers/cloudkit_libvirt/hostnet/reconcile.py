"""Bringing the host's network to what the records want."""

from __future__ import annotations

import json
import threading
from typing import Any, cast

from cloudkit_libvirt.hostnet.host import Host
from cloudkit_libvirt.hostnet.rules import render
from cloudkit_libvirt.hostnet.topology import Topology
from cloudkit_libvirt.hostnet.wanted import wanted
from cloudkit_libvirt.records import Records


class HostNetwork:
    """Keeps one host's routing, translation and filters as the records say. Thread-safe.

    Everything is written anew each time, and nothing that is not ours is touched. Of two processes that do so at the
    same time the later may have read the older records; so each looks again when it has written.
    """

    def __init__(self, host: Host, records: Records, cloud_id: str) -> None:
        """Nothing happens before the first ``reconcile``."""
        self._host = host
        self._records = records
        self._cloud_id = cloud_id
        self._asking = threading.Lock()
        self._writing = threading.Lock()
        self._asked = 0
        self._written = 0

    def reconcile(self) -> None:
        """Return when the host is as the records were at the call, or later ones.

        Callers that come while one writes are served by one more writing together.
        """
        with self._asking:
            self._asked += 1
            mine = self._asked
        with self._writing:
            if self._written >= mine:
                return
            with self._asking:
                goal = self._asked
            self._write()
            self._written = goal

    def _write(self) -> None:
        topology = self._wanted()
        while True:
            self._apply(topology)
            latest = self._wanted()
            if latest == topology:
                return
            topology = latest

    def _wanted(self) -> Topology:
        return wanted(self._records.view(), self._cloud_id)

    def _apply(self, topology: Topology) -> None:
        self._host.run(["nft", "-f", "-"], input=render(topology))
        bridges = [segment.bridge for segment in topology.segments]
        lines = [f"link set dev {name} type bridge nf_call_iptables 1 nf_call_ip6tables 1" for name in bridges]
        lines += self._address_changes(topology)
        if lines:
            # A bridge that is not there yet is the next reconcile's; the others must not wait for it.
            self._host.run(["ip", "-force", "-batch", "-"], input="\n".join(lines) + "\n")

    def _address_changes(self, topology: Topology) -> list[str]:
        if not topology.externals:
            return []
        links = cast("list[dict[str, Any]]", json.loads(self._host.run(["ip", "-json", "-4", "address", "show"])))
        # Of ours are those of one address only; the network's own has its prefix.
        held = {
            link["ifname"]: {item["local"] for item in link["addr_info"] if item["prefixlen"] == 32} for link in links
        }
        changes: list[str] = []
        for external in topology.externals:
            if external.bridge in held:
                have, want = held[external.bridge], set(external.addresses)
                changes += (f"address del {ip}/32 dev {external.bridge}" for ip in sorted(have - want))
                changes += (f"address add {ip}/32 dev {external.bridge}" for ip in sorted(want - have))
        return changes
