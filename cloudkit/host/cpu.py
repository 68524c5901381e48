"""The processor: what it is, and whether it virtualises (VT-x, AMD-V), with nested paging (EPT, NPT)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cloudkit.host.report import Check, Detail, Level, Need
from cloudkit.host.tree import Tree

X86 = frozenset({"x86_64", "i386", "i486", "i586", "i686"})

_FEATURES = {"vmx": "VT-x", "svm": "AMD-V"}
_VENDORS = {"GenuineIntel": "Intel", "AuthenticAMD": "AMD", "HygonGenuine": "Hygon", "CentaurHauls": "Zhaoxin"}
_ARM_IMPLEMENTERS = {0x41: "Arm", 0x46: "Fujitsu", 0x48: "HiSilicon", 0x50: "Ampere", 0x51: "Qualcomm", 0x61: "Apple"}
_OTHERS = {
    "aarch64": "EL2, the hypervisor's exception level",
    "s390x": "interpretive execution (SIE)",
    "ppc64": "the hypervisor mode",
    "ppc64le": "the hypervisor mode",
    "riscv64": "the hypervisor extension",
}


@dataclass(frozen=True, slots=True)
class CpuInfo:
    """What /proc/cpuinfo tells of the first processor, and how many there are."""

    vendor: str = ""
    model: str = ""
    flags: frozenset[str] = frozenset()
    vmx_flags: frozenset[str] = frozenset()
    count: int = 0

    @property
    def feature(self) -> str | None:
        """``vmx``, ``svm`` or None; only x86 shows any."""
        return next((flag for flag in _FEATURES if flag in self.flags), None)

    @property
    def feature_name(self) -> str | None:
        """VT-x or AMD-V, where the processor shows it."""
        return _FEATURES.get(self.feature or "")

    @property
    def in_hypervisor(self) -> bool:
        """Whether the processor says that a hypervisor is below."""
        return "hypervisor" in self.flags

    @property
    def has_slat(self) -> bool:
        """Whether guests' page tables are walked by the processor."""
        return bool({"ept", "npt"} & (self.flags | self.vmx_flags))


def parse_cpuinfo(text: str) -> CpuInfo:
    """Read /proc/cpuinfo of any architecture; what is not understood is left out."""
    first: dict[str, str] = {}
    count = 0
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if not colon:
            continue
        # s390x writes "processor 0: version = …", Arm's summary line "Processor : …".
        if re.fullmatch(r"processor(\s+[0-9]+)?", key):
            count += 1
        first.setdefault(key, value)
    vendor = first.get("vendor_id", "")
    if implementer := first.get("CPU implementer"):
        vendor = _arm_vendor(implementer)
    return CpuInfo(
        vendor=_VENDORS.get(vendor, vendor),
        model=first.get("model name") or first.get("cpu") or first.get("uarch") or "",
        flags=frozenset((first.get("flags") or first.get("Features") or first.get("features") or "").split()),
        vmx_flags=frozenset(first.get("vmx flags", "").split()),
        count=count,
    )


def read_cpu(tree: Tree) -> CpuInfo:
    """The processor of a machine."""
    return parse_cpuinfo(tree.text("proc/cpuinfo"))


def virtualisation(tree: Tree) -> Check:
    """``cpu.virtualisation``: VT-x or AMD-V."""
    cpu, arch = read_cpu(tree), tree.arch
    title = " ".join(filter(None, (cpu.vendor, cpu.model.removeprefix(f"{cpu.vendor} ")))) or "unknown processor"
    details: dict[str, Detail] = {"arch": arch, "vendor": cpu.vendor, "model": cpu.model, "feature": cpu.feature}

    def check(level: Level, text: str, hint: str = "") -> Check:
        return Check(
            name="cpu.virtualisation",
            level=level,
            summary=f"{title} ({arch}): {text}",
            details=details,
            hint=hint,
            needed_by=(Need.KVM,),
        )

    if arch not in X86:
        way = _OTHERS.get(arch, "its own means")
        return check(Level.INFO, f"no flag tells; it virtualises by {way} if the kernel offers /dev/kvm")
    if not cpu.flags:
        return check(Level.WARN, "its flags cannot be read")
    if cpu.feature_name:
        return check(Level.OK, f"it virtualises by {cpu.feature_name} (flag {cpu.feature})")
    if cpu.in_hypervisor:
        text = "it shows neither VT-x (vmx) nor AMD-V (svm), as the hypervisor that this machine runs in hides them"
        return check(Level.FAIL, text, "The check kvm tells what to do.")
    text = "it shows neither VT-x (vmx) nor AMD-V (svm)"
    return check(
        Level.FAIL,
        text,
        "The check kvm tells what to do.",
    )


def nested_paging(tree: Tree) -> Check:
    """``cpu.nested_paging``: EPT or NPT."""
    cpu = read_cpu(tree)
    name = "cpu.nested_paging"
    if cpu.feature is None:
        unknown: dict[str, Detail] = {"kind": None, "present": None}
        return Check(name=name, level=Level.INFO, summary="nothing to tell without VT-x or AMD-V", details=unknown)
    kind = "EPT" if cpu.feature == "vmx" else "NPT"
    details: dict[str, Detail] = {"kind": kind, "present": cpu.has_slat}
    if cpu.has_slat:
        return Check(name=name, level=Level.OK, summary=f"guests' pages are translated by {kind}", details=details)
    return Check(
        name=name,
        level=Level.WARN,
        summary=f"without {kind}, guests' pages are translated by the kernel, which is slow",
        details=details,
        hint="Nothing can be done on an old processor; in a virtual machine, its hypervisor must pass it on.",
    )


def nesting(tree: Tree) -> Check:
    """``cpu.nesting``: whether guests can have guests of their own."""
    name = "cpu.nesting"
    cpu = read_cpu(tree)
    for module in ("kvm_intel", "kvm_amd", "kvm"):
        enabled = tree.switch(f"sys/module/{module}/parameters/nested")
        if enabled is None:
            continue
        details: dict[str, Detail] = {"enabled": enabled, "module": module, "is_nested": cpu.in_hypervisor}
        if enabled:
            depth = "this machine is itself a guest, and " if cpu.in_hypervisor else ""
            text = f"{depth}guests may run hypervisors of their own ({module} nested)"
            return Check(name=name, level=Level.OK, summary=text, details=details)
        return Check(
            name=name,
            level=Level.INFO,
            summary=f"guests cannot run hypervisors of their own ({module} nested is off)",
            details=details,
            hint=f"For a DevStack in a guest, write `options {module} nested=1` to /etc/modprobe.d/kvm.conf, stop "
            f"all guests, then `sudo modprobe -r {module} && sudo modprobe {module}`.",
        )
    return Check(
        name=name,
        level=Level.INFO,
        summary="nothing to tell without a KVM module that can nest",
        details={"enabled": None, "module": None, "is_nested": cpu.in_hypervisor},
    )


def _arm_vendor(implementer: str) -> str:
    try:
        return _ARM_IMPLEMENTERS.get(int(implementer, 0), f"implementer {implementer}")
    except ValueError:
        return ""
