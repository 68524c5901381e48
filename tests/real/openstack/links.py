"""Keep the pod's links as its guests need them: python links.py READY_FILE, inside the pod.

The external bridge gets the gateway's address. Two faults of Open vSwitch's userspace datapath are mended as they
happen: it keeps the socket of a tap that was deleted and made again under the same name (Nova does so at a resume, a
soft reboot, a rescue), and its change of a tap's flags can undo libvirt's "up".
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from layout import PUBLIC_GATEWAY

NETLINK_ROUTE, LINK_GROUP = 0, 1
IFF_UP = 1
DEVICES = Path("/sys/class/net")
EXTERNAL, INTEGRATION = "br-ex", "br-int"


def changes() -> Iterator[None]:
    """Yield at once, then whenever a link of the pod has changed."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as events:
        events.bind((0, LINK_GROUP))
        # Events that came while nobody listened are as good as one; a tap that was missed is seen a second later.
        events.settimeout(1)
        while True:
            yield
            try:
                events.recv(65536)
            except (TimeoutError, OSError):
                continue


def mend_taps(seen: dict[str, int]) -> None:
    """Look at each tap; `seen` keeps by which index it was known before."""
    for folder in DEVICES.glob("tap*"):
        name = folder.name
        try:
            index = int((folder / "ifindex").read_text())
            flags = int((folder / "flags").read_text(), 16)
        except (OSError, ValueError):
            continue
        before = seen.get(name, index)
        seen[name] = index
        if before != index and (ids := _external_ids(name)):
            _tool("ovs-vsctl", "--if-exists", "del-port", INTEGRATION, name)
            _tool("ovs-vsctl", "add-port", INTEGRATION, name, "--", "set", "interface", name, f"external_ids={ids}")
            print(f"{name} was made again: {before} is now {index}", flush=True)
        if not flags & IFF_UP:
            _tool("ip", "link", "set", name, "up")
            print(f"{name} was down", flush=True)


def _external_ids(name: str) -> str:
    # A tap of Neutron's own is an internal port, which Open vSwitch made itself.
    if _tool("ovs-vsctl", "--if-exists", "get", "interface", name, "type") not in ('""', "system"):
        return ""
    return _tool("ovs-vsctl", "--if-exists", "get", "interface", name, "external_ids").removeprefix("{}")


def _tool(*argv: str) -> str:
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout.strip()


def main(ready_file: str) -> None:
    """Wait for the external bridge, give it its address, then mend for ever."""
    seen: dict[str, int] = {}
    for _ in changes():
        if not Path(ready_file).exists() and (DEVICES / EXTERNAL).exists():
            _tool("ip", "address", "replace", f"{PUBLIC_GATEWAY}/24", "dev", EXTERNAL)
            _tool("ip", "link", "set", EXTERNAL, "up")
            Path(ready_file).write_text("")
        mend_taps(seen)


if __name__ == "__main__":
    main(*sys.argv[1:])
