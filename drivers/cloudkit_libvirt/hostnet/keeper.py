"""Which cloud keeps a host's network: there is one table, so that two pools on one host cannot both."""

from __future__ import annotations

import re

from cloudkit.errors import Conflict
from cloudkit_libvirt.hostnet.host import Host
from cloudkit_libvirt.hostnet.rules import KEEPER, TABLE

_KEPT = re.compile(rf"chain {KEEPER}([0-9a-f]{{32}}) ")


def check_keeper(host: Host, cloud_id: str) -> None:
    """Raise Conflict where another cloud has written the host's table; one without a name is taken over."""
    found = _KEPT.search(host.run(["nft", "list", "chains", "inet"]))
    if found is not None and found[1] != cloud_id.replace("-", ""):
        raise Conflict(
            "another cloud, in another pool, keeps this host's network",
            driver="libvirt",
            hint="Use its pool, set host_network=off, or delete its networks first. If its pool is gone: "
            f"`nft delete table inet {TABLE}` and `nft delete table bridge {TABLE}`.",
        )
