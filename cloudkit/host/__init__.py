"""Can this machine do it? What processor, kernel and libvirt offer, and what to do where they do not.

    from cloudkit import host

    for check in host.inspect():
        print(check.level, check.summary, check.hint)

The standard library is all that this needs. It looks at files below /proc, /sys, /dev and /run, so that a recorded
machine can be looked at as well: ``host.inspect("/tmp/its-files")``.
"""

from __future__ import annotations

import os

from cloudkit.host.report import Check, HostReport, Level, Need
from cloudkit.host.tree import Tree

__all__ = ["Check", "HostReport", "Level", "Need", "examine", "inspect"]


def inspect(root: str | os.PathLike[str] | Tree = "/", *, pool_path: str | None = None) -> HostReport:
    """Look at a machine.

    Args:
        root: where its files are: this machine's, or those recorded of another one.
        pool_path: the folder whose room is told for images and disks, instead of libvirt's.
    """
    from cloudkit.host.checks import CHECKS
    from cloudkit.host.resources import disk

    tree = _tree(root)
    found = {name: check(tree) for name, check in CHECKS.items()}
    if pool_path is not None:
        found["disk"] = disk(tree, pool_path.lstrip("/"))
    return HostReport(tuple(found.values()))


def examine(name: str, root: str | os.PathLike[str] | Tree = "/") -> Check:
    """One check by its name; raises KeyError for a name that no check has."""
    from cloudkit.host.checks import CHECKS

    return CHECKS[name](_tree(root))


def _tree(root: str | os.PathLike[str] | Tree) -> Tree:
    return root if isinstance(root, Tree) else Tree(root)
