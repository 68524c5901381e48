"""VLANs: ports of Open vSwitch bridges, which join networks with the wire, and with guests that are trunks.

The network itself stays on a bridge of the kernel's like all others, so that DHCP, filters and routes are the same
everywhere. An internal port of the switch joins it with the wire, and puts the tag on and takes it off (an access
port); whatever else is plugged into the switch without a tag of its own is a trunk, as is an uplink.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from cloudkit.errors import CloudError
from cloudkit_libvirt.hostnet.host import Host
from cloudkit_libvirt.hostnet.topology import Trunk, Wire

OWNER = "cloudkit"
"""The key in ``external_ids`` of what is ours: a port has the cloud's id there, a switch ``MADE`` if we made it."""
MADE = "made"
VXLAN_ID = 1
"""Of the tunnels between hosts; VLANs are told apart within them by their tags."""
_TIMEOUT_S = 5


def find_switch(host: Host, name: str, cloud_id: str, peers: Sequence[str] = ()) -> Switch | None:
    """The switch called ``name``, there already or not, if Open vSwitch answers and may be changed; else None."""
    try:
        host.run(["ovs-vsctl", f"--timeout={_TIMEOUT_S}", "list-br"])
    except CloudError:
        return None
    return Switch(host, name, cloud_id, peers)


def tunnel_name(peer: str) -> str:
    """The name of the port that leads to another host's switch."""
    return f"ckx{hashlib.sha256(peer.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Port:
    """A port that is wanted, and its columns in the tables of Open vSwitch's database."""

    switch: str
    port: tuple[str, ...]
    interface: tuple[str, ...]


class Switch:
    """One bridge of Open vSwitch, made when it is needed first. If we made it, it goes with our last port."""

    def __init__(self, host: Host, name: str, cloud_id: str, peers: Sequence[str] = ()) -> None:
        """Nothing happens yet; ``peers`` are hosts whose switches are joined with this one by VXLAN."""
        self._host = host
        self._name = name
        self._cloud_id = cloud_id
        self._peers = peers

    @cached_property
    def in_kernel(self) -> bool:
        """Whether switches that we make are the kernel's; the slower ones need nothing of it."""
        return self._host.has("/sys/module/openvswitch")

    def apply(self, wires: Iterable[Wire], trunks: Iterable[Trunk] = ()) -> None:
        """Have exactly these ports of ours, and the switches that they need.

        Args:
            trunks: those whose guests' devices are there; libvirt plugs them in, and not again into a new switch.

        Raises:
            CloudError: Open vSwitch could not make one of them.
        """
        wanted = self._ports(wires)
        homes = {name: port.switch for name, port in wanted.items()}
        ours, made = self._owned("Port"), self._owned("Bridge")
        there = {self._name, *homes.values(), *made}.intersection(self._lines("list-br"))
        plugged = {switch: set(self._lines("list-ports", switch)) for switch in there}
        steps = [
            ["--if-exists", "del-port", port]
            for port in sorted(ours)
            if port not in plugged.get(homes.get(port, ""), ())
        ]
        steps += [["--if-exists", "del-br", switch] for switch in sorted(made - set(homes.values()) - {self._name})]
        for switch in sorted(set(homes.values()) - plugged.keys()):
            steps += self._making(switch)
        for name, port in wanted.items():
            steps += self._plugging(name, port)
        steps += [
            ["--may-exist", "add-port", trunk.switch, trunk.tap]
            for trunk in trunks
            if trunk.tap not in plugged.get(trunk.switch, ())
        ]
        if self._name not in homes.values() and plugged.get(self._name, {""}) <= ours and self._is_made_by_us():
            steps.append(["--if-exists", "del-br", self._name])
        if steps:
            self._change(steps)
        for name in wanted:
            self._check(name)

    def _ports(self, wires: Iterable[Wire]) -> dict[str, Port]:
        ports = {
            wire.port: Port(
                wire.switch or self._name,
                ("vlan_mode=access", f"tag={wire.vlan_id:d}"),
                # Asked of none, Open vSwitch gives all the smallest that any has.
                ("type=internal", f"mtu_request={wire.mtu:d}"),
            )
            for wire in wires
        }
        if any(port.switch == self._name for port in ports.values()):
            for peer in self._peers:
                # What comes from one peer is not sent to another, which has it from the first.
                columns = ("type=vxlan", f'options:remote_ip="{peer}"', f"options:key={VXLAN_ID}")
                ports[tunnel_name(peer)] = Port(self._name, ("protected=true",), columns)
        return ports

    def _making(self, switch: str) -> Iterator[list[str]]:
        yield ["--may-exist", "add-br", switch]
        # All clouds share the one that leads out.
        owner = MADE if switch == self._name else self._cloud_id
        kind = "system" if self.in_kernel else "netdev"
        yield ["set", "Bridge", switch, f"datapath_type={kind}", f"external_ids:{OWNER}={owner}"]

    def _plugging(self, name: str, port: Port) -> Iterator[list[str]]:
        yield ["--may-exist", "add-port", port.switch, name]
        yield ["set", "Port", name, *port.port, f"external_ids:{OWNER}={self._cloud_id}"]
        yield ["set", "Interface", name, *port.interface]

    def _check(self, port: str) -> None:
        """Open vSwitch says it nowhere else when it cannot make a device."""
        for row in self._rows("Interface", "error", f"name={port}"):
            # What is not there is an empty set to OVSDB.
            if isinstance(fault := row["error"], str):
                raise CloudError(
                    f"Open vSwitch could not make the port {port}",
                    driver="libvirt",
                    fault=fault,
                    hint=f"`ovs-vsctl show` and the log of ovs-vswitchd say more of the switch {self._name}.",
                )

    def _owned(self, table: str) -> set[str]:
        return {row["name"] for row in self._rows(table, "name", f"external_ids:{OWNER}={self._cloud_id}")}

    def _is_made_by_us(self) -> bool:
        return bool(self._rows("Bridge", "name", f"name={self._name}", f"external_ids:{OWNER}={MADE}"))

    def _lines(self, *command: str) -> list[str]:
        return self._vsctl(*command).splitlines()

    def _rows(self, table: str, column: str, *conditions: str) -> list[dict[str, Any]]:
        answer = json.loads(self._vsctl("--format=json", f"--columns={column}", "find", table, *conditions))
        return [dict(zip(answer["headings"], row, strict=True)) for row in cast("list[list[Any]]", answer["data"])]

    def _change(self, steps: Iterable[list[str]]) -> None:
        """Do all steps at once, or none."""
        self._vsctl(*(word for step in steps for word in ("--", *step)))

    def _vsctl(self, *words: str) -> str:
        return self._host.run(["ovs-vsctl", f"--timeout={_TIMEOUT_S}", *words])
