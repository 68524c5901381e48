"""Which check of ``cloudkit doctor`` explains an error, told by libvirt's and QEMU's own words."""

from __future__ import annotations

import re

from cloudkit import host
from cloudkit.errors import CloudError
from cloudkit.host import Level

_KVM, _QEMU, _NETWORK, _DAEMON = "kvm", "libvirt.qemu", "libvirt.network", "libvirt.daemon"

_CHECKS = tuple(
    (re.compile(pattern, re.IGNORECASE), check)
    for pattern, check in (
        # QEMU's kvm_init and kvm_arch_init_vcpu.
        (r"could not access KVM kernel module|failed to initialize kvm|failed to set MSR|kvm_buf_set_msrs", _KVM),
        (r"kvm run failed|KVM internal error|KVM_SET_|KVM_CREATE_VM", _KVM),
        # libvirt's check of what an emulator can.
        (r"does not support virt type 'kvm'|domaintype=kvm|KVM is not supported by|type=kvm", _KVM),
        (r"could not find capabilities for|no emulator found|cannot (check|find) QEMU binary", _QEMU),
        (r"cannot find 'qemu-img'|unable to find (kvm-img|qemu-img)", _QEMU),
        (r"cannot execute binary \S*qemu\S*", _QEMU),
        (r"/dev/net/tun", "tun"),
        (r"cannot find '(dnsmasq|iptables|ip6tables|nft|ebtables)'|firewall backend|no usable firewall", _NETWORK),
        (r"cannot set up guest memory|cannot allocate memory", "memory"),
        (r"no space left on device", "disk"),
        (r"failed to connect socket to|no polkit agent|authentication unavailable", _DAEMON),
    )
)


def check_of(text: str) -> str | None:
    """The name of the check that looks at what these words are about."""
    return next((check for pattern, check in _CHECKS if pattern.search(text)), None)


def explained(error: CloudError, local: bool) -> CloudError:
    """The same error, with the check that explains it in its hint.

    Args:
        local: libvirt runs on this machine, so that the check can be made at once, and be quoted if it fails.
    """
    name = check_of(error.fault or "")
    if name is not None and "cloudkit doctor" not in error.hint:
        error.hint = f"{error.hint} {pointer(name, local)}".lstrip()
    return error


def pointer(name: str, local: bool) -> str:
    """Where to read on: the check, and what it says here."""
    if not local:
        return f"On the libvirt host, `cloudkit doctor` tells more: check {name}."
    check = host.examine(name)
    if check.level not in (Level.WARN, Level.FAIL):
        return f"`cloudkit doctor` tells more: check {name}."
    return f"`cloudkit doctor`, check {name}: {check.summary}. {check.hint}".rstrip()
