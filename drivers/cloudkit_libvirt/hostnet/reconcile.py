"""Bringing the host's network to what the records want."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any, cast

import libvirt

from cloudkit_libvirt.connection import Connection
from cloudkit_libvirt.hostnet.host import Host
from cloudkit_libvirt.hostnet.rules import render
from cloudkit_libvirt.hostnet.topology import External, Segment, Topology
from cloudkit_libvirt.hostnet.wanted import wanted
from cloudkit_libvirt.records import Records

_log = logging.getLogger("cloudkit.libvirt")


class HostNetwork:
    """Keeps one host's routing, translation and filters as the records say. Thread-safe.

    Everything is written anew each time, and nothing that is not ours is touched. Of two processes that do so at the
    same time the later may have read the older records; so each looks again when it has written.
    """

    def __init__(self, host: Host, connection: Connection, records: Records, cloud_id: str) -> None:
        """Nothing happens before the first ``reconcile``."""
        self._host = host
        self._connection = connection
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
        if not topology.segments and not topology.externals:
            return
        links = self._links()
        lines = self._bridge_changes(topology, links)
        lines += _address_changes(topology, links)
        if lines:
            # A device that went meanwhile is the next reconcile's; the others must not wait for it.
            self._host.run(["ip", "-force", "-batch", "-"], input="\n".join(lines) + "\n")

    def _links(self) -> dict[str, set[str]]:
        """The devices that there are, and the single addresses of each: of ours, a network's own has its prefix."""
        links = cast("list[dict[str, Any]]", json.loads(self._host.run(["ip", "-json", "address", "show"])))
        return {
            link["ifname"]: {
                item["local"] for item in link["addr_info"] if item["family"] == "inet" and item["prefixlen"] == 32
            }
            for link in links
        }

    def _bridge_changes(self, topology: Topology, links: dict[str, set[str]]) -> list[str]:
        changes: list[str] = []
        parts: list[Segment | External] = [*topology.segments, *topology.externals]
        for part in parts:
            if part.bridge not in links and self._start(part.network):
                links[part.bridge] = set()
                changes += (
                    f"link set dev {guest.tap} master {part.bridge}"
                    for guest in topology.guests
                    if guest.bridge == part.bridge and guest.tap in links
                )
        return changes + [
            f"link set dev {segment.bridge} type bridge nf_call_iptables 1 nf_call_ip6tables 1"
            for segment in topology.segments
            if segment.bridge in links
        ]

    def _start(self, name: str) -> bool:
        """Have libvirt make a network's bridge again; whether there is such a network."""
        try:
            network = self._connection.virt.networkLookupByName(name)
            # Libvirt does not notice that somebody has removed the bridge.
            if network.isActive():
                network.destroy()
            network.create()
        except libvirt.libvirtError as error:
            _log.warning("the network %s cannot be started: %s", name, error.get_error_message())
            return False
        return True


def _address_changes(topology: Topology, links: dict[str, set[str]]) -> list[str]:
    changes: list[str] = []
    for external in topology.externals:
        if external.bridge in links:
            have, want = links[external.bridge], set(external.addresses)
            changes += (f"address del {ip}/32 dev {external.bridge}" for ip in sorted(have - want))
            changes += (f"address add {ip}/32 dev {external.bridge}" for ip in sorted(want - have))
    return changes
