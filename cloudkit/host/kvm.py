"""Hardware virtualisation or emulation: can KVM really run guests here?

``/dev/kvm`` alone proves nothing: inside some virtual machines it opens, answers and creates virtual machines
in which ordinary guests die. So KVM is taken only where the processor says that it can virtualise, and the
module that drives it is loaded. This is the one place where that is decided; the libvirt driver asks here.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from enum import StrEnum

from cloudkit.host.cpu import X86, read_cpu
from cloudkit.host.place import how_to_pass_on, is_dom0, runs_in
from cloudkit.host.report import Check, Level, Need
from cloudkit.host.tree import Tree

API_VERSION = 12
"""The only one since Linux 2.6.22; "Applications should refuse to run" with another (the kernel's KVM API text)."""

FORBIDDEN = (errno.EACCES, errno.EPERM)
"""What opening a device gives that this user may not open."""

_KVM_GET_API_VERSION = 0xAE00
_DEVICE = "dev/kvm"
_X86_MODULES = ("kvm_intel", "kvm_amd")
_OTHER_MODULES = ("kvm_hv", "kvm_pr", "kvm_pvm", "kvm")

_TRY = (
    'To see it run, set virt_type = "kvm" and a [story] image in a libvirt cloud\'s profile, then: '
    "cloudkit demo --cloud PROFILE"
)
_FIRMWARE_HINT = (
    "Switch on Intel Virtualization Technology or SVM Mode in the firmware's set-up (BIOS, UEFI), then power the "
    "machine off and on. Processors without either have become rare."
)


@dataclass(frozen=True, slots=True)
class KvmFacts:
    """What the decision rests on.

    Attributes:
        modules: those of KVM that are loaded.
        device_problem: the ``errno`` that opening /dev/kvm gives, or None where it opens for reading and writing.
        api_version: what KVM_GET_API_VERSION answers, or None where it could not be asked.
    """

    arch: str
    cpu_flags: frozenset[str]
    modules: frozenset[str]
    device_problem: int | None
    api_version: int | None = None

    @classmethod
    def read(cls, tree: Tree) -> KvmFacts:
        """The facts of a machine."""
        problem = tree.open_problem(_DEVICE)
        return cls(
            arch=tree.arch,
            cpu_flags=read_cpu(tree).flags,
            modules=frozenset(name for name in (*_X86_MODULES, *_OTHER_MODULES) if tree.exists(f"sys/module/{name}")),
            device_problem=problem,
            api_version=None if problem is not None else _api_version(tree),
        )


class Missing(StrEnum):
    """What keeps KVM from being used."""

    FLAG = "flag"
    MODULE = "module"
    DEVICE = "device"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether KVM can run guests (nothing is missing), why, and what to do where it cannot."""

    missing: Missing | None
    reason: str
    hint: str = ""

    @property
    def usable(self) -> bool:
        """Whether KVM is to be taken."""
        return self.missing is None


def decide(facts: KvmFacts) -> Decision:
    """Judge the facts: flag, module, device, version, in this order; the first that is missing is told."""
    if facts.arch in X86:
        if not facts.cpu_flags & {"vmx", "svm"}:
            return Decision(Missing.FLAG, _without_flags(facts), _FIRMWARE_HINT)
        if not facts.modules & set(_X86_MODULES):
            module = "kvm_intel" if "vmx" in facts.cpu_flags else "kvm_amd"
            return Decision(Missing.MODULE, "neither kvm_intel nor kvm_amd is loaded", _load_hint(module))
    if facts.device_problem is not None:
        return Decision(Missing.DEVICE, *_device(facts.device_problem))
    if facts.api_version not in (None, API_VERSION):
        reason = f"/dev/kvm speaks version {facts.api_version} of its interface, and QEMU {API_VERSION}"
        return Decision(Missing.VERSION, reason, "Boot a current kernel.")
    return Decision(None, "the processor virtualises, and /dev/kvm is usable")


def kvm(tree: Tree) -> Check:
    """``kvm``: whether guests can be run by KVM."""
    facts = KvmFacts.read(tree)
    decision = decide(facts)
    if decision.usable:
        summary, hint = f"KVM looks usable: {decision.reason}", _TRY
    else:
        summary = f"KVM cannot be used, and emulation by QEMU is slow: {decision.reason}"
        if _is_forbidden(facts, decision):
            summary = f"KVM can be used by the system's libvirt if at all, as {decision.reason}"
        hint = _local_hint(tree, decision)
    return Check(
        name="kvm",
        level=_level(facts, decision),
        summary=summary,
        details={
            "usable": decision.usable,
            "missing": decision.missing,
            "device": _device_word(facts.device_problem),
            "api_version": facts.api_version,
            "modules": sorted(facts.modules),
        },
        hint=hint,
        needed_by=(Need.KVM,),
    )


def _is_forbidden(facts: KvmFacts, decision: Decision) -> bool:
    """Whether all that is missing is this user's right, which other users may have."""
    return decision.missing is Missing.DEVICE and facts.device_problem in FORBIDDEN


def _level(facts: KvmFacts, decision: Decision) -> Level:
    if decision.usable:
        return Level.OK
    return Level.WARN if _is_forbidden(facts, decision) else Level.FAIL


def _local_hint(tree: Tree, decision: Decision) -> str:
    """What to do, by what the machine runs in."""
    if is_dom0(tree):
        return "KVM cannot run beside Xen: boot the same system without Xen."
    place = runs_in(tree)
    if decision.missing is Missing.FLAG and place.hypervisor:
        return how_to_pass_on(place.hypervisor)
    if decision.missing in (Missing.MODULE, Missing.DEVICE) and place.container:
        return f"{decision.hint} All that on the host; then start the container with `--device /dev/kvm`."
    return decision.hint


def _without_flags(facts: KvmFacts) -> str:
    reason = "the processor shows neither VT-x (vmx) nor AMD-V (svm)"
    if facts.device_problem is None:
        return f"{reason}; that /dev/kvm opens proves nothing, as ordinary guests die in a para-virtual KVM"
    return reason


def _load_hint(modules: str) -> str:
    return (
        f"`sudo modprobe {modules}`; where that fails, `sudo dmesg | grep -i kvm` tells why: most often it is "
        "switched off in the firmware's set-up."
    )


def _device(problem: int) -> tuple[str, str]:
    """Reason and hint."""
    if problem == errno.ENOENT:
        return "there is no /dev/kvm", _load_hint("kvm")
    if problem in FORBIDDEN:
        return (
            "/dev/kvm may not be opened for reading and writing by this user",
            "`sudo usermod -aG kvm $USER`, then log in again.",
        )
    return (
        f"/dev/kvm cannot be opened: {os.strerror(problem)}",
        "What is behind it is not at work: `sudo dmesg | grep -i kvm` tells why.",
    )


def _device_word(problem: int | None) -> str:
    return "usable" if problem is None else errno.errorcode.get(problem, str(problem))


def _api_version(tree: Tree) -> int | None:
    """Ask the device; a recorded one is a plain file, which cannot answer."""
    import fcntl

    try:
        device = os.open(tree.root / _DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return fcntl.ioctl(device, _KVM_GET_API_VERSION, 0)
    except OSError:
        return None
    finally:
        os.close(device)
