"""All checks of a machine, by name, in the order of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cloudkit.host.confidential import confidential
from cloudkit.host.cpu import nested_paging, nesting, virtualisation
from cloudkit.host.daemon import emulator, network_tools, python_binding, session, sockets
from cloudkit.host.hypervisor import machine_is
from cloudkit.host.iommu import iommu, sriov
from cloudkit.host.kvm import kvm
from cloudkit.host.place import machine_runs_in
from cloudkit.host.report import Check
from cloudkit.host.resources import cores, devstack, disk, huge_pages, memory
from cloudkit.host.routing import host_network, vlans
from cloudkit.host.tree import Tree
from cloudkit.host.virtio import tun, virtio_guest, virtio_here

CHECKS: Mapping[str, Callable[[Tree], Check]] = {
    "cpu.virtualisation": virtualisation,
    "cpu.nested_paging": nested_paging,
    "cpu.nesting": nesting,
    "machine.runs_in": machine_runs_in,
    "machine.is": machine_is,
    "kvm": kvm,
    "iommu": iommu,
    "sriov": sriov,
    "confidential": confidential,
    "virtio.guest": virtio_guest,
    "virtio.here": virtio_here,
    "tun": tun,
    "libvirt.python": python_binding,
    "libvirt.daemon": sockets,
    "libvirt.session": session,
    "libvirt.qemu": emulator,
    "libvirt.network": network_tools,
    "libvirt.host_network": host_network,
    "libvirt.vlans": vlans,
    "memory": memory,
    "cores": cores,
    "disk": disk,
    "hugepages": huge_pages,
    "devstack": devstack,
}
