"""A cloud's networks as a tree in the terminal: outside first, then what routers lead to; servers are the leaves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cloudkit.errors import MissingExtra

try:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree
except ImportError as missing:
    raise MissingExtra(
        "the tree needs the module 'rich', which cannot be imported",
        fault=str(missing),
        hint="Run: pip install 'cloudkit-sdk[cli]'",
    ) from missing

if TYPE_CHECKING:
    from cloudkit.cli.network_map import NetworkMap
    from cloudkit.types import Network, Router, Server

_NO_WIDTH = 2**16
_DRAWN = "  (see above)"
_STATUS_STYLES = {"ACTIVE": "green", "ERROR": "bold red"}


def print_tree(map: NetworkMap) -> None:
    """Print it on standard output."""
    # Where there is no terminal a line is never broken: it is one thing to grep for.
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _NO_WIDTH)
    roots = _Grower(map).roots()
    if not roots:
        console.print("No network and no server.")
    for root in roots:
        console.print(root)


class _Grower:
    """Draws each network and router once; where it is met again it is only named."""

    def __init__(self, map: NetworkMap) -> None:
        self._map = map
        self._drawn: set[str] = set()

    def roots(self) -> list[Tree]:
        found = [
            self._network(Tree(self._network_line(network)), network)
            for network in self._map.networks
            if network.id not in self._drawn
        ]
        loose = [
            *(_line(server, ()) for server in self._map.servers if not self._map.networks_of(server)),
            *(_line(router, ()) for router in self._map.routers if not self._map.networks_of(router)),
        ]
        if loose:
            found.append(Tree(Text("on no network", style="dim")))
            for line in loose:
                found[-1].add(line)
        return found

    def _network(self, tree: Tree, network: Network, via: Router | None = None) -> Tree:
        self._drawn.add(network.id)
        for server, ips in self._map.servers_on(network):
            line = _line(server, ips)
            for floating in self._map.floating_ips_of(server):
                line.append(f"  ← {floating.ip}", style="magenta")
            tree.add(line)
        for router, ips in self._map.routers_on(network):
            if router != via:
                self._router(tree, network, router, ips)
        for floating in self._map.free_floating_ips(network):
            tree.add(Text(f"floating IP {floating.ip}  free", style="dim"))
        return tree

    def _router(self, tree: Tree, network: Network, router: Router, ips: tuple[str, ...]) -> None:
        line = _line(router, ips)
        if router.id in self._drawn:
            tree.add(line.append(_DRAWN, style="dim"))
            return
        self._drawn.add(router.id)
        branch = tree.add(line)
        for other in self._map.networks_of(router):
            line = self._network_line(other)
            if other.id == network.id:
                continue
            if other.id in self._drawn:
                branch.add(line.append(_DRAWN, style="dim"))
            else:
                self._network(branch.add(line), other, via=router)

    def _network_line(self, network: Network) -> Text:
        words = (*self._map.cidrs.get(network.id, ()), *(["external"] if network.external else []))
        return Text.assemble(("network ", "dim"), (network.name, "bold cyan"), *(f"  {word}" for word in words))


def _line(device: Router | Server, ips: tuple[str, ...]) -> Text:
    line = Text.assemble((f"{device.kind.noun} ", "dim"), (device.name, "bold"))
    line.append(f"  {device.status.value}", style=_STATUS_STYLES.get(device.status.value, "yellow"))
    for ip in ips:
        line.append(f"  {ip}")
    return line
