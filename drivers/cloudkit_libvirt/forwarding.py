"""Ports of guests on QEMU's user network, forwarded to ports of 127.0.0.1 on libvirt's host.

QEMU is asked what it forwards, so that nothing of it is written down: a forward ends with the QEMU process that
has it, and whoever asks for an endpoint of a server that was started again gets a new one. The kernel chooses the
port (``hostfwd_add`` with port 0), so that nobody can take it in between, and two processes that ask at the same
moment get two forwards, both good.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import libvirt_qemu

from cloudkit.errors import CloudError
from cloudkit_libvirt.user_network import GUEST_IP
from cloudkit_libvirt.xml_tree import Element

HOST = "127.0.0.1"
_HEADLINE = re.compile(r"\((?P<netdev>[^)\s]+)\)")
# As QEMU's `info usernet` prints it: protocol and state, descriptor, source and its port, destination and its port.
_FORWARD = re.compile(r"\s*TCP\[HOST_FORWARD\]\s+\d+\s+(?P<host>\S+)\s+(?P<host_port>\d+)\s+\S+\s+(?P<port>\d+)\s")


@dataclass(frozen=True, slots=True)
class Forward:
    """A port of the guest on network device ``netdev``, and where on the host it is reached."""

    netdev: str
    host_port: int
    port: int


def parse_forwards(text: str) -> Iterator[Forward]:
    """The forwards from 127.0.0.1 in what ``info usernet`` printed."""
    netdev = ""
    for line in text.splitlines():
        if headline := _HEADLINE.search(line):
            netdev = headline["netdev"]
        elif (match := _FORWARD.match(line + " ")) and match["host"] == HOST:
            yield Forward(netdev, int(match["host_port"]), int(match["port"]))


def forward(domain: Any, tree: Element, port: int) -> int | None:
    """The port of 127.0.0.1 that leads to a running guest's ``port``; None for a guest without an interface."""
    netdev = _netdev(tree)
    if netdev is None:
        return None
    found = _find(domain, netdev, port)
    if found is None:
        reply = _monitor(domain, f"hostfwd_add {netdev} tcp:{HOST}:0-{GUEST_IP}:{port}").strip()
        found = _find(domain, netdev, port)
        if found is None:
            raise CloudError(f"QEMU does not forward the port {port}", driver="libvirt", fault=reply or None)
    return found


def _find(domain: Any, netdev: str, port: int) -> int | None:
    forwards = parse_forwards(_monitor(domain, "info usernet"))
    return next((item.host_port for item in forwards if (item.netdev, item.port) == (netdev, port)), None)


def _netdev(tree: Element) -> str | None:
    """QEMU's name of the back-end of the first user interface: libvirt puts "host" before the device's alias."""
    for interface in tree.findall("devices/interface[@type='user']"):
        alias = interface.find("alias")
        if alias is not None and (name := alias.get("name")):
            return f"host{name}"
    return None


def _monitor(domain: Any, command: str) -> str:
    flag = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
    return str(libvirt_qemu.qemuMonitorCommand(domain, command, flag))
