"""A cloud's networks as a picture. Where what stands is for Graphviz to say (https://graphviz.org)."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cloudkit.errors import InvalidRequest, MissingExtra

try:
    import graphviz
except ImportError as missing:
    raise MissingExtra(
        "a picture needs the module 'graphviz', which cannot be imported",
        fault=str(missing),
        hint="Run: pip install 'cloudkit-sdk[cli]'",
    ) from missing

if TYPE_CHECKING:
    from cloudkit.cli.network_map import NetworkMap
    from cloudkit.types import Network, Router, Server

FORMATS = ("svg", "png", "pdf", "dot")
_EXTERNAL = "#37474f"
_NETWORKS = ("#bbdefb", "#c8e6c9", "#ffe0b2", "#e1bee7", "#b2ebf2", "#f8bbd0", "#dcedc8", "#d7ccc8")
"""Fills of a network each, all light enough for black letters."""
_STATUSES = {"ACTIVE": "#2e7d32", "ERROR": "#c62828"}
_OTHER_STATUS = "#757575"
_FLOATING = "#6a1b9a"
_HINT = "On Debian and Ubuntu: apt-get install graphviz. A .dot file can be written without it."


class Picture:
    """A file to draw into."""

    def __init__(self, path: str) -> None:
        """Raises InvalidRequest where the ending is none of FORMATS."""
        self._path = Path(path)
        self._format = self._path.suffix.removeprefix(".").lower()
        if self._format not in FORMATS:
            endings = ", ".join(f".{each}" for each in FORMATS)
            raise InvalidRequest(f"{path}: a file that ends in one of {endings} is expected")

    def write(self, map: NetworkMap) -> None:
        """Draw; raises MissingExtra where Graphviz cannot, InvalidRequest where the file cannot be written."""
        graph = graph_of(map)
        picture = graph.source.encode() if self._format == "dot" else self._drawn(graph)
        try:
            self._path.write_bytes(picture)
        except OSError as error:
            raise InvalidRequest(f"{self._path} cannot be written: {error.strerror}") from error

    def _drawn(self, graph: graphviz.Graph) -> bytes:
        try:
            return bytes(graph.pipe(format=self._format))
        except graphviz.ExecutableNotFound as error:
            raise MissingExtra(
                "Graphviz, which draws the picture, is not installed",
                hint=_HINT,
            ) from error
        except subprocess.CalledProcessError as error:
            # What is installed lacks the plug-in for the format, as a rule.
            raise MissingExtra("Graphviz could not draw the picture", fault=str(error), hint=_HINT) from error


def graph_of(map: NetworkMap) -> graphviz.Graph:
    """The picture in Graphviz' language."""
    graph = graphviz.Graph("topology", graph_attr={"rankdir": "TB", "nodesep": "0.4", "ranksep": "0.6"})
    graph.attr("node", fontname="Helvetica", fontsize="11", margin="0.18,0.09")
    graph.attr("edge", fontname="Helvetica", fontsize="9", color="#90a4ae")
    for number, network in enumerate(map.networks):
        _draw_network(graph, map, network, _NETWORKS[number % len(_NETWORKS)])
    for router in map.routers:
        _draw_device(graph, router, shape="ellipse", style="filled", fillcolor="#eceff1")
    for server in map.servers:
        _draw_device(graph, server, shape="box", style="rounded,filled", fillcolor="white")
    for network in map.networks:
        # The order of an edge's ends is that of their rows.
        for router, ips in map.routers_on(network):
            ends = (network.id, router.id) if network.external else (router.id, network.id)
            graph.edge(*ends, label=_text(ips))
        for server, ips in map.servers_on(network):
            graph.edge(network.id, server.id, label=_text(ips))
    for server in map.servers:
        for floating in map.floating_ips_of(server):
            graph.edge(
                floating.external_network_id,
                server.id,
                label=_text([floating.ip]),
                style="dashed",
                color=_FLOATING,
                fontcolor=_FLOATING,
                weight="0",
            )
    return graph


def _draw_network(graph: graphviz.Graph, map: NetworkMap, network: Network, fill: str) -> None:
    lines = [network.name, *map.cidrs.get(network.id, ())]
    look = {"shape": "box", "style": "filled", "fillcolor": fill, "color": fill}
    if network.external:
        free = [floating.ip for floating in map.free_floating_ips(network)]
        lines += ["external", *([f"free floating IPs: {', '.join(free)}"] if free else [])]
        look |= {"fillcolor": _EXTERNAL, "color": _EXTERNAL, "fontcolor": "white"}
    graph.node(network.id, label=_text(lines), **look)


def _draw_device(graph: graphviz.Graph, device: Router | Server, **look: str) -> None:
    status = device.status.value
    lines = [device.name] if status == "ACTIVE" else [device.name, status]
    graph.node(device.id, label=_text(lines), color=_STATUSES.get(status, _OTHER_STATUS), **look)


def _text(lines: Sequence[str]) -> str:
    """Names as they are: in Graphviz' language a backslash and angle brackets mean something."""
    return graphviz.nohtml("\n".join(graphviz.escape(line) for line in lines))
