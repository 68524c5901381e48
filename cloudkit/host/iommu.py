"""Handing PCI devices to guests: the IOMMU (VT-d, AMD-Vi), and devices that share themselves (SR-IOV, VT-c)."""

from __future__ import annotations

from cloudkit.host.report import Check, Detail, Level, Need
from cloudkit.host.tree import Tree

_TABLES = {
    "DMAR": ("VT-d", "intel_iommu=on"),
    "IVRS": ("AMD-Vi", "amd_iommu=on"),
    "IORT": ("SMMU", "iommu.passthrough=0"),
    "VIOT": ("virtio-iommu", ""),
}
"""The firmware's table → what it describes, and the kernel's parameter that switches it on."""
_UNITS = {"dmar": "VT-d", "ivhd": "AMD-Vi", "smmu": "SMMU", "arm-smmu": "SMMU", "virtio": "virtio-iommu"}
_DEVICES = "sys/bus/pci/devices"


def iommu(tree: Tree) -> Check:
    """``iommu``: whether devices can be handed to guests safely."""
    units = tree.names("sys/class/iommu")
    groups = len(tree.names("sys/kernel/iommu_groups"))
    table = next((name for name in tree.names("sys/firmware/acpi/tables") if name in _TABLES), None)
    kind = next((word for unit in units for start, word in _UNITS.items() if unit.startswith(start)), None)
    if kind is None and table is not None:
        kind = _TABLES[table][0]
    details: dict[str, Detail] = {"kind": kind, "units": units, "groups": groups, "firmware_table": table}

    def check(level: Level, summary: str, hint: str = "") -> Check:
        return Check(
            name="iommu", level=level, summary=summary, details=details, hint=hint, needed_by=(Need.PASSTHROUGH,)
        )

    if groups:
        return check(Level.OK, f"{kind or 'an IOMMU'} is at work: {groups} groups of devices can be handed to guests")
    if units or table:
        option = _TABLES[table][1] if table else ""
        hint = f"Boot with {option} on the kernel's command line." if option else ""
        return check(Level.WARN, f"the machine has {kind or 'an IOMMU'}, and the kernel does not use it", hint)
    return check(
        Level.INFO,
        "no IOMMU (VT-d, AMD-Vi) shows, so no PCI device can be handed to a guest",
        "On a bare machine, switch on VT-d or AMD-Vi (“IOMMU”) in the firmware's set-up. Servers do not need it.",
    )


def sriov(tree: Tree) -> Check:
    """``sriov``: devices that can show themselves as many."""
    able: dict[str, int] = {}
    used = 0
    told: list[str] = []
    for address in tree.names(_DEVICES):
        total = tree.number(f"{_DEVICES}/{address}/sriov_totalvfs")
        if total is None or total <= 0:
            continue
        number = tree.number(f"{_DEVICES}/{address}/sriov_numvfs") or 0
        name = ", ".join(tree.names(f"{_DEVICES}/{address}/net")) or address
        able[address] = total
        used += number
        told.append(f"{name} {number} of {total}")
    details: dict[str, Detail] = {"devices": able, "functions_in_use": used}
    if not able:
        text = "no device here can split itself (SR-IOV)"
        return Check(name="sriov", level=Level.INFO, summary=text, details=details)
    hint = ""
    if not used:
        hint = f"To have four of them: echo 4 | sudo tee /{_DEVICES}/{next(iter(able))}/sriov_numvfs"
    return Check(
        name="sriov",
        level=Level.OK,
        summary=f"virtual functions in use (SR-IOV): {'; '.join(told)}",
        details=details,
        hint=hint,
        needed_by=(Need.PASSTHROUGH,),
    )
