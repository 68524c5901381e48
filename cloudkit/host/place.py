"""What this machine runs in: bare metal, a hypervisor, a container; told without asking the processor (CPUID).

Type 1 runs on the bare machine (Xen, Hyper-V, ESXi; KVM makes one of Linux), type 2 is a program of an operating
system (VirtualBox, VMware Workstation, QEMU's emulation).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cloudkit.host.cpu import read_cpu
from cloudkit.host.report import Check, Level
from cloudkit.host.tree import Tree

TYPES = {
    "KVM": 1,
    "Xen": 1,
    "Hyper-V": 1,
    "z/VM": 1,
    "PowerVM": 1,
    "QEMU emulation": 2,
    "VirtualBox": 2,
    "VMware": None,
    "Parallels": 2,
    "bhyve": 2,
    "Apple Virtualization": 2,
}
"""Hypervisor → its type; of VMware's two, ESXi is type 1 and Workstation type 2, and they look alike from inside."""

_DMI = (
    # What the firmware's maker and product fields begin with; the first that fits counts.
    (r"VMware", "VMware"),
    (r"VirtualBox|innotek", "VirtualBox"),
    (r"Microsoft Corporation Virtual Machine", "Hyper-V"),
    (r"Xen", "Xen"),
    (r"Parallels", "Parallels"),
    (r"BHYVE", "bhyve"),
    (r"Apple .*Virtual", "Apple Virtualization"),
    (r"Google Compute Engine|DigitalOcean|Hetzner|Alibaba Cloud|KVM|oVirt|Red Hat RHEV", "KVM"),
    (r"Amazon EC2", "KVM"),
    # Whether these run by KVM or by emulation, the clock tells.
    (r"QEMU|OpenStack|Bochs|SeaBIOS", "QEMU"),
)
_DEVICE_TREE = {"linux,kvm": "KVM", "xen,xen": "Xen"}
_PCI: Mapping[tuple[int | None, int | None], str] = {
    (0x80EE, None): "VirtualBox",
    # The VMCI device; VMware's display is imitated by VirtualBox and QEMU.
    (0x15AD, 0x0740): "VMware",
    (0x5853, None): "Xen",
    (0x1AB8, None): "Parallels",
    (0x1414, None): "Hyper-V",
}
"""PCI vendor and device → hypervisor."""
_CONTAINER_FILES = {".dockerenv": "docker", "run/.containerenv": "podman"}
_CGROUP = re.compile(r"/(docker|kubepods|lxc|libpod|containerd|machine\.slice/libpod)\b")

_PASS_ON = {
    "KVM": "load kvm_intel or kvm_amd with nested=1, and give this machine's domain <cpu mode='host-passthrough'/>.",
    "Xen": "set nestedhvm=1 in this domain's configuration; it must be an HVM domain.",
    "Hyper-V": "with this machine off, Set-VMProcessor -VMName NAME -ExposeVirtualizationExtensions $true",
    "VMware": "in this machine's processor settings, tick “Virtualize Intel VT-x/EPT or AMD-V/RVI”.",
    "VirtualBox": "with this machine off, VBoxManage modifyvm NAME --nested-hw-virt on",
}
_PASS_ON_ELSE = "Else take a machine with nested virtualisation, or a bare one."


@dataclass(frozen=True, slots=True)
class Place:
    """What a machine runs in.

    Attributes:
        hypervisor: its name, "unknown" where only its presence shows, or None on bare metal.
        container: its kind, or None.
        evidence: what told.
    """

    hypervisor: str | None
    container: str | None
    evidence: str


def runs_in(tree: Tree) -> Place:
    """Find out what a machine runs in."""
    hypervisor, evidence = _hypervisor(tree)
    return Place(hypervisor, _container(tree), evidence)


def how_to_pass_on(hypervisor: str) -> str:
    """How a hypervisor lets its guests have VT-x or AMD-V."""
    if hypervisor == "QEMU emulation":
        return "This machine is emulated itself: take one that is not."
    if hypervisor not in _PASS_ON:
        return _PASS_ON_ELSE.removeprefix("Else ").capitalize()
    return f"On the host, if it is yours: {_PASS_ON[hypervisor]} {_PASS_ON_ELSE}"


def machine_runs_in(tree: Tree) -> Check:
    """``machine.runs_in``: bare metal, a virtual machine, a container."""
    place = runs_in(tree)
    words: list[str] = []
    if place.container:
        words.append(f"a container ({place.container})")
    if place.hypervisor is None:
        words.append("bare metal")
    elif place.hypervisor == "unknown":
        words.append("a virtual machine of an unknown hypervisor")
    else:
        words.append(f"a virtual machine of {place.hypervisor}{type_text(place.hypervisor)}")
    return Check(
        name="machine.runs_in",
        level=Level.INFO,
        summary=f"this machine is {' on '.join(words)} ({place.evidence})",
        details={
            "hypervisor": place.hypervisor,
            "hypervisor_type": TYPES.get(place.hypervisor or ""),
            "container": place.container,
        },
    )


def type_text(hypervisor: str) -> str:
    """Its type, to be put behind its name."""
    if hypervisor not in TYPES:
        return ""
    number = TYPES[hypervisor]
    return f", type {number}" if number else ", type 1 as ESXi, type 2 as Workstation"


def is_dom0(tree: Tree) -> bool:
    """Whether this is Xen's first domain, from which the others are run."""
    return "control_d" in tree.text("proc/xen/capabilities")


# ---------------------------------------------------------------- evidence


def _hypervisor(tree: Tree) -> tuple[str | None, str]:
    """Name and evidence."""
    if is_dom0(tree):
        return None, "Xen's first domain, which has the hardware"
    if tree.word("sys/hypervisor/type") == "xen" or tree.exists("proc/xen/capabilities"):
        kind = tree.word("sys/hypervisor/guest_type")
        return "Xen", f"/sys/hypervisor{f', {kind}' if kind else ''}"
    clocks = tree.word("sys/devices/system/clocksource/clocksource0/available_clocksource").split()
    flagged = read_cpu(tree).in_hypervisor
    name, evidence = _by_dmi(tree)
    if name == "KVM" and tree.arch == "x86_64" and not flagged and not clocks.count("kvm-clock"):
        # Bare machines of clouds have the cloud's name in their firmware too.
        return None, f"{evidence}, and no hypervisor shows"
    if name == "QEMU":
        return _kvm_or_emulation(tree, clocks, evidence)
    if name is not None:
        return name, evidence
    if "kvm-clock" in clocks:
        return "KVM", "its clock is KVM's"
    if any(clock.startswith("hyperv") for clock in clocks):
        return "Hyper-V", "its clock is Hyper-V's"
    unknown = ("unknown", "the processor's flag") if flagged else (None, "no hypervisor shows")
    return _by_platform(tree) or _by_pci(tree) or unknown


def _by_dmi(tree: Tree) -> tuple[str | None, str]:
    folder = "sys/class/dmi/id"
    fields = [tree.word(f"{folder}/{name}") for name in ("sys_vendor", "product_name", "board_vendor", "bios_vendor")]
    together = f"{fields[0]} {fields[1]}".strip()
    for pattern, name in _DMI:
        for text in (together, *fields):
            if re.match(pattern, text):
                return name, f"the firmware says {text!r}"
    return None, ""


def _kvm_or_emulation(tree: Tree, clocks: list[str], evidence: str) -> tuple[str, str]:
    if tree.arch != "x86_64":
        # The clock is the processor's own there, under KVM and emulation alike.
        return _by_platform(tree) or ("KVM", f"{evidence}; it may be QEMU's emulation as well")
    if "kvm-clock" in clocks:
        return "KVM", f"{evidence}, and its clock is KVM's"
    return "QEMU emulation", f"{evidence}, and its clock is not KVM's"


def _by_pci(tree: Tree) -> tuple[str, str] | None:
    """By devices that only a hypervisor has; containers see them where the firmware's names are hidden."""
    folder = "sys/bus/pci/devices"
    for address in tree.names(folder):
        vendor, device = (tree.number(f"{folder}/{address}/{name}") for name in ("vendor", "device"))
        name = _PCI.get((vendor, device)) or _PCI.get((vendor, None))
        if name is not None:
            return name, f"the device {address} is {name}'s"
    return None


def _by_platform(tree: Tree) -> tuple[str, str] | None:
    """What other architectures have instead of a firmware's name."""
    compatible = tree.word("proc/device-tree/hypervisor/compatible")
    if compatible in _DEVICE_TREE:
        return _DEVICE_TREE[compatible], "the device tree"
    system = tree.text("proc/sysinfo")
    if match := re.search(r"^VM[0-9]+ Control Program:\s*(\S+)", system, re.MULTILINE):
        return ("KVM" if match[1].startswith("KVM") else "z/VM"), "/proc/sysinfo"
    cpuinfo = tree.text("proc/cpuinfo")
    if "emulated by qemu" in cpuinfo:
        return "KVM", "/proc/cpuinfo; it may be QEMU's emulation as well"
    if re.search(r"^platform\s*:\s*pSeries", cpuinfo, re.MULTILINE):
        return "PowerVM", "/proc/cpuinfo"
    return None


def _container(tree: Tree) -> str | None:
    if said := tree.word("run/systemd/container"):
        return said.split()[0]
    for path, kind in _CONTAINER_FILES.items():
        if tree.exists(path):
            return kind
    environment = tree.text("proc/1/environ").split("\0")
    for entry in environment:
        if entry.startswith("container=") and entry != "container=":
            return entry.removeprefix("container=")
    if tree.exists("proc/vz") and not tree.exists("proc/bc"):
        return "openvz"
    match = _CGROUP.search(tree.text("proc/1/cgroup"))
    return match[1].rpartition("/")[2] if match else None
