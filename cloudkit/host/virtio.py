"""virtio: the devices that guests get, and those that this machine has because it is a guest itself."""

from __future__ import annotations

from cloudkit.host.report import Check, Level, Need
from cloudkit.host.tree import Tree

GUEST_DEVICES = {
    "net": "network interface (virtio-net)",
    "block": "disks (virtio-blk)",
    "scsi": "the seed's drive (virtio-scsi)",
    "console": "the guest agent's channel (virtio-serial)",
    "entropy": "random numbers (virtio-rng)",
    "balloon": "memory that can be given back (virtio-balloon)",
}
"""What cloudkit's libvirt driver gives a server."""

_KINDS = {
    1: "net",
    2: "block",
    3: "console",
    4: "entropy",
    5: "balloon",
    8: "scsi",
    9: "9p",
    16: "gpu",
    18: "input",
    19: "vsock",
    20: "crypto",
    23: "iommu",
    24: "memory",
    25: "sound",
    26: "fs",
    27: "pmem",
}
"""Device number → kind, by the virtio specification's list of device types."""
_BUS = "sys/bus/virtio/devices"


def virtio_guest(tree: Tree) -> Check:
    """``virtio.guest``: what guests get, and whether the kernel moves their packets (vhost-net)."""
    vhost = tree.exists("dev/vhost-net") or tree.exists("sys/module/vhost_net")
    names = ", ".join(GUEST_DEVICES)
    return Check(
        name="virtio.guest",
        level=Level.OK if vhost else Level.WARN,
        summary=f"servers get virtio devices ({names}); "
        + ("the kernel moves their packets (vhost-net)" if vhost else "without vhost-net, QEMU moves their packets"),
        details={"devices": list(GUEST_DEVICES), "vhost_net": vhost},
        hint="" if vhost else "`sudo modprobe vhost_net` makes their network faster; it works without.",
    )


def virtio_here(tree: Tree) -> Check:
    """``virtio.here``: this machine's own virtio devices."""
    counts: dict[str, int] = {}
    for device in tree.names(_BUS):
        number = tree.number(f"{_BUS}/{device}/device")
        if number is not None:
            kind = _KINDS.get(number, f"type {number}")
            counts[kind] = counts.get(kind, 0) + 1
    told = ", ".join(f"{kind} × {count}" if count > 1 else kind for kind, count in counts.items())
    return Check(
        name="virtio.here",
        level=Level.INFO,
        summary=f"this machine itself has virtio devices: {told}" if told else "this machine itself has none",
        details={"devices": counts},
    )


def tun(tree: Tree) -> Check:
    """``tun``: the device that connects guests to bridges."""
    here = tree.exists("dev/net/tun")
    return Check(
        name="tun",
        level=Level.OK if here else Level.FAIL,
        summary="/dev/net/tun is there" if here else "there is no /dev/net/tun, so servers get no network",
        details={"present": here},
        hint="" if here else "`sudo modprobe tun`; a container is started with `--device /dev/net/tun`.",
        needed_by=(Need.LIBVIRT_SYSTEM,),
    )
