"""Hardware virtualisation or emulation: which domain type a host can really run.

``/dev/kvm`` alone proves nothing: inside some virtual machines it opens, answers and creates virtual machines
in which ordinary guests die. So KVM is taken only where the processor says that it can virtualise, and the
module that drives it is loaded.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cloudkit_libvirt.xml_tree import parse

_log = logging.getLogger("cloudkit.libvirt")

_X86 = frozenset({"x86_64", "i686"})


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the decision rests on."""

    machine: str
    cpu_flags: frozenset[str]
    kvm_modules: frozenset[str]
    dev_kvm_usable: bool

    @classmethod
    def read(cls, root: Path = Path("/")) -> HostFacts:
        """The facts of this host."""
        try:
            cpuinfo = (root / "proc/cpuinfo").read_text()
        except OSError:
            cpuinfo = ""
        flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
        modules = (name for name in ("kvm_intel", "kvm_amd") if (root / "sys/module" / name).exists())
        return cls(
            machine=os.uname().machine,
            cpu_flags=frozenset(flags[1].split()) if flags else frozenset(),
            kvm_modules=frozenset(modules),
            dev_kvm_usable=os.access(root / "dev/kvm", os.R_OK | os.W_OK),
        )


def decide(facts: HostFacts) -> tuple[str, str]:
    """``"kvm"`` or ``"qemu"``, and why."""
    if facts.machine in _X86:
        if not facts.cpu_flags & {"vmx", "svm"}:
            return "qemu", "the processor shows neither VT-x (vmx) nor AMD-V (svm)"
        if not facts.kvm_modules:
            return "qemu", "neither kvm_intel nor kvm_amd is loaded"
    if not facts.dev_kvm_usable:
        return "qemu", "/dev/kvm cannot be opened for reading and writing"
    return "kvm", "the processor virtualises, and /dev/kvm is usable"


def choose(wanted: str, capabilities_xml: str, local: bool) -> str:
    """The domain type to use. A remote host is taken at libvirt's word, as its processor cannot be read."""
    if wanted != "auto":
        return wanted
    offered = {domain.get("type") for domain in parse(capabilities_xml).iter("domain")}
    if "kvm" not in offered:
        choice, reason = "qemu", "libvirt offers no KVM"
    elif local:
        choice, reason = decide(HostFacts.read())
    else:
        choice, reason = "kvm", "libvirt offers it"
    _log.info("servers run by %s: %s", "KVM" if choice == "kvm" else "emulation, which is slow", reason)
    return choice
