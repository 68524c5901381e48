"""Bringing the host's network to what the records want."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import libvirt

from cloudkit.errors import CloudError
from cloudkit_libvirt.connection import Connection
from cloudkit_libvirt.hostnet.host import Host
from cloudkit_libvirt.hostnet.installation import Installation
from cloudkit_libvirt.hostnet.rules import render
from cloudkit_libvirt.hostnet.switch import Switch
from cloudkit_libvirt.hostnet.topology import Topology, Trunk, Wire
from cloudkit_libvirt.hostnet.wanted import wanted
from cloudkit_libvirt.network_start import restart
from cloudkit_libvirt.records import Records

_log = logging.getLogger("cloudkit.libvirt")


@dataclass(frozen=True, slots=True)
class Link:
    """A device that is there: the bridge that it is in, and its single addresses; a network's own has its prefix."""

    master: str | None
    addresses: frozenset[str]


class HostNetwork:
    """Keeps one host's routing, translation and filters as the records say. Thread-safe.

    Everything is written anew each time, and nothing that is not ours is touched. Of two processes that do so at the
    same time the later may have read the older records; so each looks again when it has written.
    """

    def __init__(
        self,
        host: Host,
        connection: Connection,
        records: Records,
        cloud_id: str,
        installation: Installation | None = None,
        switch: Switch | None = None,
    ) -> None:
        """Nothing happens before the first ``reconcile``; ``installation`` is told what its hooks restore.

        ``switch`` leads to VLANs, where there is one that can.
        """
        self._host = host
        self._installation = installation
        self._connection = connection
        self._records = records
        self._cloud_id = cloud_id
        self._asking = threading.Lock()
        self._writing = threading.Lock()
        self._asked = 0
        self._written = 0
        self._switch = switch
        self._wired: tuple[tuple[Wire, ...], tuple[Trunk, ...]] | None = None

    @property
    def has_vlans(self) -> bool:
        """Whether there is a way to VLANs outside of the host."""
        return self._switch is not None

    @property
    def copies_packets(self) -> bool:
        """Whether its switches take packets from devices as they are: without checksums, and larger than the MTU."""
        return self._switch is not None and not self._switch.in_kernel

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
        rules = render(topology, self._cloud_id)
        if self._installation is not None:
            self._installation.keep(rules, _batch(_all_changes(topology)))
        self._host.run(["nft", "-f", "-"], input=rules)
        links = self._links() if topology.bridges else {}
        for part in topology.bridges:
            if part.bridge not in links and self._start(part.network):
                links[part.bridge] = Link(None, frozenset())
        if self._wire(topology, links.keys()):
            links = self._links()
        if lines := list(_changes(topology, links)):
            # A device that went meanwhile is the next reconcile's; the others must not wait for it.
            self._host.run(["ip", "-force", "-batch", "-"], input=_batch(lines))

    def _wire(self, topology: Topology, devices: Set[str]) -> bool:
        """Make the ports to the VLANs; whether something may have changed."""
        wires, trunks = wanted = topology.wires, topology.trunks
        if self._switch is None:
            if wires:
                _log.warning("Open vSwitch does not answer: %d networks and ports are cut off from VLANs", len(wires))
            return False
        if wanted == self._wired and all(wire.port in devices for wire in wires):
            return False
        self._switch.apply(wires, [trunk for trunk in trunks if trunk.tap in devices])
        self._wired = wanted
        return True

    def _links(self) -> dict[str, Link]:
        links = cast("list[dict[str, Any]]", json.loads(self._host.run(["ip", "-json", "address", "show"])))
        return {link["ifname"]: _link(link) for link in links}

    def _start(self, name: str) -> bool:
        """Have libvirt make a network's bridge again; whether there is such a network."""
        try:
            # Libvirt does not notice that somebody has removed the bridge.
            restart(self._connection.virt.networkLookupByName(name), partial(self._end_dnsmasq, name))
        except libvirt.libvirtError as error:
            _log.warning("the network %s cannot be started: %s", name, error.get_error_message())
            return False
        return True

    def _end_dnsmasq(self, name: str) -> None:
        # The pattern does not match itself, in the command line of a sudo or a shell.
        with suppress(CloudError):
            self._host.run(["pkill", "--full", rf"[d]nsmasq --conf-file=[^ ]*/{re.escape(name)}\.conf"])


def _link(data: Mapping[str, Any]) -> Link:
    single = (item for item in data["addr_info"] if item["family"] == "inet" and item["prefixlen"] == 32)
    return Link(data.get("master"), frozenset(item["local"] for item in single))


def _batch(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _all_changes(topology: Topology) -> Iterator[str]:
    """What makes fresh devices as they should be."""
    devices = {part.bridge for part in topology.bridges}
    devices.update(guest.tap for guest in topology.guests)
    devices.update(wire.port for wire in topology.wires)
    return _changes(topology, dict.fromkeys(devices, Link(None, frozenset())))


def _changes(topology: Topology, links: Mapping[str, Link]) -> Iterator[str]:
    for bridge in dict.fromkeys(segment.bridge for segment in topology.segments):
        if bridge in links:
            yield f"link set dev {bridge} type bridge nf_call_iptables 1 nf_call_ip6tables 1"
    for guest in topology.guests:
        # Who starts a network again, as by virsh, has its guests left outside.
        if guest.tap in links and guest.bridge in links and links[guest.tap].master != guest.bridge:
            yield f"link set dev {guest.tap} master {guest.bridge}"
    for wire in topology.wires:
        if wire.port in links and wire.bridge in links and links[wire.port].master != wire.bridge:
            yield f"link set dev {wire.port} up master {wire.bridge}"
    for external in topology.externals:
        if external.bridge in links:
            have, want = links[external.bridge].addresses, set(external.addresses)
            yield from (f"address del {ip}/32 dev {external.bridge}" for ip in sorted(have - want))
            yield from (f"address add {ip}/32 dev {external.bridge}" for ip in sorted(want - have))
