"""Which of libvirt's hypervisors servers can be made on.

libvirt has one interface to all of them and few of its parts on each. Servers, images and volumes are files in a
storage pool here, and so are the records of them: where libvirt cannot write to storage, or makes no disks of files,
nothing can be kept. libvirt's documentation ("Hypervisor support") tells which calls each driver has.
"""

from __future__ import annotations

from collections.abc import Mapping

from cloudkit.errors import Unsupported

QEMU, TEST = "QEMU", "TEST"

_UNSUPPORTED: Mapping[str, str] = {
    "Xen": "Xen's guests have neither the console's log file, nor disks that are found again by their names",
    "VBOX": "libvirt can neither write to VirtualBox's storage nor read from it, where the records would be",
    "ESX": "libvirt can neither write to ESX's storage nor read from it, where the records would be",
    "VMware": "libvirt has no storage for VMware's desktop products",
    "LXC": "its guests are containers, which boot no images of disks",
    "OpenVZ": "its guests are containers, which boot no images of disks",
}
"""libvirt's name of a hypervisor → why there can be no servers on it."""


def refuse_hypervisor(type: str) -> None:
    """Raise Unsupported for a hypervisor that servers cannot be made on; ``type`` is libvirt's name of it."""
    if type in (QEMU, TEST):
        return
    reason = _UNSUPPORTED.get(type, "it was never tried")
    raise Unsupported(
        f"servers cannot be made on {type} through libvirt: {reason}",
        driver="libvirt",
        hint="Use QEMU or KVM: libvirt+qemu:///system, or libvirt+qemu:///session without root.",
    )
