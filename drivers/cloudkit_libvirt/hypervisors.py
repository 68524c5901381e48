"""Which of libvirt's hypervisors servers can be made on.

libvirt has one interface to all of them and few of its parts on each. Servers, images and volumes are files in a
storage pool here, and so are the records of them: where libvirt cannot write to storage, or makes no disks of files,
nothing can be kept. libvirt's documentation ("API support matrix") tells which calls each driver has: uploads and
downloads of volumes are its own storage driver's alone, which VirtualBox and ESX do not use; Xen's driver (libxl) has
no getAllDomainStats, reset and setMetadata, and its parser drops the aliases of devices.
"""

from __future__ import annotations

from collections.abc import Mapping

from cloudkit.errors import Unsupported

QEMU, TEST = "QEMU", "TEST"

_UNSUPPORTED: Mapping[str, str] = {
    "Xen": "libvirt has no hard reboot there, no log of a console, and no names by which disks are found again",
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
