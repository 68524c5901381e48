"""Hardware virtualisation or emulation: which domain type the servers of a host get."""

from __future__ import annotations

import logging
from dataclasses import replace

from cloudkit.host.kvm import FORBIDDEN, Decision, KvmFacts, decide
from cloudkit.host.tree import Tree
from cloudkit_libvirt.xml_tree import parse

_log = logging.getLogger("cloudkit.libvirt")


def choose(wanted: str, capabilities_xml: str, local: bool, own_user: bool = False) -> str:
    """The domain type to use. A remote host is taken at libvirt's word, as its processor cannot be read.

    Args:
        own_user: QEMU is run by the user who asks, and not by the system's own.
    """
    if wanted != "auto":
        return wanted
    choice, reason = judge(capabilities_xml, local, own_user)
    _log.info("servers run by %s: %s", "KVM" if choice == "kvm" else "emulation, which is slow", reason)
    return choice


def judge(capabilities_xml: str, local: bool, own_user: bool) -> tuple[str, str]:
    """``"kvm"`` or ``"qemu"``, and why."""
    offered = {domain.get("type") for domain in parse(capabilities_xml).iter("domain")}
    if "kvm" not in offered:
        return "qemu", "libvirt offers no KVM"
    if not local:
        return "kvm", "libvirt offers it"
    decision = _decision(KvmFacts.read(Tree()), own_user)
    return ("kvm" if decision.usable else "qemu"), decision.reason


def _decision(facts: KvmFacts, own_user: bool) -> Decision:
    if not own_user and facts.device_problem in FORBIDDEN:
        # The system's QEMU has a user of its own, for whom libvirt has asked.
        facts = replace(facts, device_problem=None)
    return decide(facts)
