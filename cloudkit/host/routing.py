"""The machine's network on behalf of libvirt's guests: may this process change it, and are there VLANs?"""

from __future__ import annotations

import re

from cloudkit.host.report import Check, Level, Need
from cloudkit.host.tree import Tree

TOOLS = ("nft", "ip")

_HINT = (
    "Install nft and ip (Debian: `sudo apt install nftables iproute2`). Run as root, grant CAP_NET_ADMIN, or let "
    "this user run both by sudo, in sudoers: `USER ALL=(root) NOPASSWD: /usr/sbin/nft, /usr/sbin/ip`."
)
_FILTER_HINT = (
    "The kernel module br_netfilter has the host's rules see what passes between guests of one network: "
    "`sudo modprobe br_netfilter`; `cloudkit host install` sees to it over reboots."
)
BRIDGE_FILTER = "proc/sys/net/bridge/bridge-nf-call-iptables"
"""There as soon as the kernel has br_netfilter (networking/ip-sysctl, "/proc/sys/net/bridge")."""
SWITCH = "run/openvswitch/db.sock"
"""Where Open vSwitch's database listens (ovs-vsctl(8), --db)."""
_CAP_NET_ADMIN = 12
"""capability.h of Linux."""


def may_administer(tree: Tree) -> bool:
    """Whether this process has the capability CAP_NET_ADMIN."""
    found = re.search(r"^CapEff:\s*([0-9a-f]{1,32})$", tree.text("proc/self/status"), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> _CAP_NET_ADMIN & 1)


def host_network(tree: Tree) -> Check:
    """``libvirt.host_network``: whether the machine's network can be changed from here."""
    allowed = may_administer(tree)
    missing = [tool for tool in TOOLS if tree.program(tool) is None]
    problems = [] if allowed else ["this user may not change its network (CAP_NET_ADMIN)"]
    if missing:
        problems.append(f"not installed: {', '.join(missing)}")
    filtered = tree.exists(BRIDGE_FILTER)
    hints = [_HINT] if problems else []
    if not filtered:
        problems.append("the kernel module br_netfilter is not loaded")
        hints.append(_FILTER_HINT)
    summary = "routers, floating IPs and security groups can be had"
    if problems:
        summary = f"no routers, floating IPs and security groups on this machine: {'; '.join(problems)}"
    return Check(
        name="libvirt.host_network",
        level=Level.FAIL if problems else Level.OK,
        summary=summary,
        details={"allowed": allowed, "missing": missing, "br_netfilter": filtered},
        hint=" ".join(hints),
        needed_by=(Need.HOST_NETWORK,),
    )


def vlans(tree: Tree) -> Check:
    """``libvirt.vlans``: whether networks can be VLANs outside of the machine."""
    installed, runs = tree.program("ovs-vsctl") is not None, tree.exists(SWITCH)
    problem, hint = "", ""
    if not installed:
        problem, hint = "is not installed", "Debian: `sudo apt install openvswitch-switch`."
    elif not runs:
        problem, hint = "does not run", "`sudo systemctl enable --now openvswitch-switch`"
    return Check(
        name="libvirt.vlans",
        level=Level.INFO if problem else Level.OK,
        summary=f"no networks with a VLAN id: Open vSwitch {problem}" if problem else "networks can have a VLAN id",
        details={"installed": installed, "runs": runs},
        hint=hint,
    )
