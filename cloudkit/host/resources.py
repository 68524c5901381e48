"""What there is to give to servers: memory, processors, disk; and whether it would do for a DevStack."""

from __future__ import annotations

import re

from cloudkit.host.cpu import read_cpu
from cloudkit.host.report import LIBVIRT, Check, Detail, Level
from cloudkit.host.tree import Tree

MIB = 1 << 20
GIB = 1 << 30
GB = 1000**3

POOL_PATH = "var/lib/libvirt"
DEVSTACK_PATH = "opt/stack"

_LEAST_MEMORY = 256 * MIB
"""A small emulated server with what QEMU takes beside it."""
_AMPLE_MEMORY = 2 * GIB
_LEAST_DISK = GIB
_AMPLE_DISK = 10 * GIB

DEVSTACK_CORES, DEVSTACK_MEMORY, DEVSTACK_DISK = 4, 4 * GB, 500 * GB
DEVSTACK_GOOD_MEMORY = 8 * GB
"""Read in decimal units, so that what kernel and file system keep of 4 GiB or 500 GB makes no difference."""
_FILE_SYSTEM_TAKES = 0.05


def memory_bytes(tree: Tree) -> tuple[int, int] | None:
    """All memory and what is available of it, in bytes, as far as this control group may take it."""
    fields = {
        match[1]: int(match[2]) * 1024
        for match in re.finditer(r"^(\w+):\s*([0-9]{1,15}) kB$", tree.text("proc/meminfo"), re.MULTILINE)
    }
    total = fields.get("MemTotal")
    if total is None:
        return None
    available = fields.get("MemAvailable", fields.get("MemFree", 0))
    limit = tree.number("sys/fs/cgroup/memory.max")
    used = tree.number("sys/fs/cgroup/memory.current")
    if limit is None:
        limit = tree.number("sys/fs/cgroup/memory/memory.limit_in_bytes")
        used = tree.number("sys/fs/cgroup/memory/memory.usage_in_bytes")
    if limit is not None and 0 < limit < total:
        return limit, max(0, min(available, limit - (used or 0)))
    return total, available


def core_count(tree: Tree) -> int:
    """Processors that are online; 0 where that cannot be read."""
    online = tree.word("sys/devices/system/cpu/online")
    return _count_ranges(online) or read_cpu(tree).count


def memory(tree: Tree) -> Check:
    """``memory``"""
    found = memory_bytes(tree)
    if found is None:
        return Check(
            name="memory",
            level=Level.WARN,
            summary="the memory cannot be told: /proc/meminfo is unreadable",
            details={"total_bytes": None, "available_bytes": None},
        )
    total, available = found
    level = Level.OK
    if available < _AMPLE_MEMORY:
        level = Level.FAIL if available < _LEAST_MEMORY else Level.WARN
    return Check(
        name="memory",
        level=level,
        summary=f"{_gib(available)} of {_gib(total)} memory are available",
        details={"total_bytes": total, "available_bytes": available},
        hint="" if level is Level.OK else "Stop or delete servers, or end other programs.",
        needed_by=LIBVIRT,
    )


def cores(tree: Tree) -> Check:
    """``cores``"""
    count = core_count(tree)
    if not count:
        return Check(name="cores", level=Level.WARN, summary="the processors cannot be counted", details={"count": 0})
    text = f"{count} processor{'s' * (count > 1)}; as many emulated servers boot at once without slowing each other"
    return Check(name="cores", level=Level.OK, summary=text, details={"count": count})


def disk(tree: Tree, path: str = POOL_PATH) -> Check:
    """``disk``: the room for images, disks and volumes, where the pool is or will be."""
    space = tree.space(path)
    if space is None:
        return Check(
            name="disk",
            level=Level.WARN,
            summary=f"the room in /{path} cannot be told",
            details={"path": f"/{path}", "total_bytes": None, "free_bytes": None},
        )
    level = Level.OK
    if space.free < _AMPLE_DISK:
        level = Level.FAIL if space.free < _LEAST_DISK else Level.WARN
    return Check(
        name="disk",
        level=level,
        summary=f"{_gib(space.free)} of {_gib(space.total)} are free for the pool in /{path}",
        details={"path": f"/{path}", "total_bytes": space.total, "free_bytes": space.free},
        hint="" if level is Level.OK else "Make room, or set the option pool_path to a larger file system.",
        needed_by=LIBVIRT,
    )


def huge_pages(tree: Tree) -> Check:
    """``hugepages``"""
    counts: dict[str, int] = {}
    folder = "sys/kernel/mm/hugepages"
    for name in tree.names(folder):
        if (match := re.fullmatch(r"hugepages-([0-9]{1,12})kB", name)) is not None:
            counts[f"{match[1]} KiB"] = tree.number(f"{folder}/{name}/nr_hugepages") or 0
    reserved = ", ".join(f"{count} of {size}" for size, count in counts.items() if count)
    transparent = re.search(r"\[(\w+)\]", tree.text("sys/kernel/mm/transparent_hugepage/enabled"))
    details: dict[str, Detail] = {"reserved": counts, "transparent": transparent[1] if transparent else None}
    text = f"huge pages are reserved: {reserved}" if reserved else "no huge pages are reserved; no server needs them"
    return Check(name="hugepages", level=Level.INFO, summary=text, details=details)


def devstack(tree: Tree) -> Check:
    """``devstack``: whether a DevStack would fit here: 4 cores, 4 GB of memory (better 8), 500 GB of disk."""
    found, space = memory_bytes(tree), tree.space(DEVSTACK_PATH)
    total_memory, total_disk, count = found[0] if found else 0, space.total if space else 0, core_count(tree)
    short: list[str] = []
    if count < DEVSTACK_CORES:
        short.append(f"{count} of {DEVSTACK_CORES} cores")
    if total_memory < DEVSTACK_MEMORY:
        short.append(f"{total_memory / GB:.1f} of {DEVSTACK_MEMORY // GB} GB of memory")
    if total_disk < DEVSTACK_DISK * (1 - _FILE_SYSTEM_TAKES):
        short.append(f"{total_disk / GB:.0f} of {DEVSTACK_DISK // GB} GB of disk")
    details: dict[str, Detail] = {
        "enough": not short,
        "cores": count,
        "memory_bytes": total_memory,
        "disk_bytes": total_disk,
    }
    if short:
        return Check(
            name="devstack",
            level=Level.WARN,
            summary=f"too little for a DevStack on this machine: {', '.join(short)}",
            details=details,
            hint="cloudkit's fake and libvirt clouds need less; or take an OpenStack that is there.",
        )
    hint = ""
    if total_memory < DEVSTACK_GOOD_MEMORY:
        hint = f"It has {total_memory / GB:.1f} GB of memory; {DEVSTACK_GOOD_MEMORY // GB} GB are recommended."
    text = "enough for a DevStack on this machine"
    return Check(name="devstack", level=Level.OK, summary=text, details=details, hint=hint)


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"


def _count_ranges(text: str) -> int:
    """How many numbers a list as ``0-3,8`` names; 0 for what is no such list."""
    if not re.fullmatch(r"[0-9]{1,6}(-[0-9]{1,6})?(,[0-9]{1,6}(-[0-9]{1,6})?)*", text):
        return 0
    count = 0
    for part in text.split(","):
        first, _, last = part.partition("-")
        count += max(0, int(last or first) - int(first) + 1)
    return count
