"""What the guests tier runs besides: Open vSwitch, libvirt, Nova's compute service and Neutron's agents."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from command_line import tool
from guest_settings import BRIDGES, write_libvirt_settings
from layout import HERE, HOST, NODE, OVSDB_PORT, Layout
from service import Service, launched_at, ready_file

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
OVS_RUN = Path("/run/openvswitch")
LIBVIRT_SOCKET = Path("/run/libvirt/libvirt-sock")
AGENT_REPORT = "SELECT 1 FROM neutron.agents WHERE `binary` = '{name}' AND heartbeat_timestamp >= '{since}'"
COMPUTE_REPORT = (
    "SELECT 1 FROM nova.services, nova_api.host_mappings WHERE `binary` = '{name}' AND last_seen_up >= '{since}' "
    f"AND host_mappings.host = '{NODE}'"
)


# -- the host


def _ovsdb(layout: Layout) -> Sequence[str | Path]:
    remotes = [f"--remote=punix:{OVS_RUN / 'db.sock'}", f"--remote=ptcp:{OVSDB_PORT}:{HOST}"]
    return ["ovsdb-server", layout / "run/ovs.db", *remotes]


def _new_ovsdb(layout: Layout) -> None:
    if OVS_RUN.exists():
        # A restart in the same pod, whose ports are still there.
        return
    OVS_RUN.mkdir()
    (layout / "run/ovs.db").unlink(missing_ok=True)
    tool("ovsdb-tool", "create", layout / "run/ovs.db", SCHEMA)


def _new_bridges(_layout: Layout) -> None:
    tool("ovs-vsctl", "--no-wait", "init")
    # Without it a checksum that is left to the device counts as a broken one, and TCP is dropped.
    tool("ovs-vsctl", "--no-wait", "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true")
    for bridge in BRIDGES:
        datapath = ["--", "set", "bridge", bridge, "datapath_type=netdev"]
        tool("ovs-vsctl", "--no-wait", "--may-exist", "add-br", bridge, *datapath)


def _links(layout: Layout) -> Sequence[str | Path]:
    return [sys.executable, HERE / "links.py", ready_file(layout, "links")]


GUEST_HOST = (
    Service("ovsdb", _ovsdb, lambda _layout: (OVS_RUN / "db.sock").exists(), prepare=_new_ovsdb),
    Service(
        "libvirtd",
        lambda _layout: ["libvirtd"],
        lambda _layout: LIBVIRT_SOCKET.exists(),
        prepare=lambda _layout: write_libvirt_settings(Path("/etc/libvirt")),
    ),
)


# -- services


def _program(name: str, ready: Callable[[Layout], bool]) -> Service:
    def command(layout: Layout) -> Sequence[str | Path]:
        return [layout.python, HERE / "serve.py", layout.folder, name]

    return Service(name, command, ready)


def _reporting(name: str, query: str) -> Service:
    """Return a service that is ready when it has told the database that it is alive."""

    def ready(layout: Layout) -> bool:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(launched_at(layout, name)))
        sql = query.format(name=name, since=since)
        client = ["mariadb", "--no-defaults", "--user=root", f"--socket={layout.socket}", "--skip-column-names"]
        return bool(tool(*client, f"--execute={sql}"))

    return _program(name, ready)


GUEST_SERVICES = (
    Service("vswitchd", lambda _layout: ["ovs-vswitchd"], lambda _layout: True, prepare=_new_bridges),
    Service("links", _links, lambda layout: ready_file(layout, "links").exists()),
    _program("neutron-rpc-server", lambda _layout: True),
    _program("neutron-periodic-workers", lambda _layout: True),
    _reporting("neutron-openvswitch-agent", AGENT_REPORT),
    _reporting("neutron-dhcp-agent", AGENT_REPORT),
    _reporting("neutron-l3-agent", AGENT_REPORT),
    _reporting("nova-compute", COMPUTE_REPORT),
)
