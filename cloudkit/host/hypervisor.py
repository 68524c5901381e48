"""Which hypervisors this machine has."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cloudkit.host.kvm import KvmFacts, decide
from cloudkit.host.place import is_dom0, type_text
from cloudkit.host.report import Check, Detail, Level
from cloudkit.host.tree import Tree


def machine_is(tree: Tree) -> Check:
    """``machine.is``: the hypervisors that are installed on this machine."""
    found = [name for name, here in _HOSTS.items() if here(tree)]
    details: dict[str, Detail] = {"hypervisors": found}
    if not found:
        text = "no hypervisor is installed on this machine"
        return Check(name="machine.is", level=Level.INFO, summary=text, details=details)
    told = ", ".join(f"{name}{type_text(name)}" for name in found)
    hint = ""
    if "VirtualBox" in found and "KVM" in found:
        hint = "VirtualBox and KVM cannot both use VT-x or AMD-V at the same time: stop the guests of one of them."
    return Check(
        name="machine.is",
        level=Level.WARN if hint else Level.INFO,
        summary=f"hypervisors on this machine: {told}",
        details=details,
        hint=hint,
    )


def _has_kvm(tree: Tree) -> bool:
    return decide(KvmFacts.read(tree)).usable


_HOSTS: Mapping[str, Callable[[Tree], bool]] = {
    "Xen": is_dom0,
    "KVM": _has_kvm,
    "Hyper-V": lambda tree: tree.exists("dev/mshv"),
    "VirtualBox": lambda tree: tree.exists("dev/vboxdrv") or tree.exists("sys/module/vboxdrv"),
    "VMware": lambda tree: tree.exists("dev/vmmon") or tree.exists("sys/module/vmmon"),
    "QEMU emulation": lambda tree: (
        tree.program(f"qemu-system-{tree.arch}", "qemu-system-x86_64", "qemu-kvm") is not None
    ),
}
