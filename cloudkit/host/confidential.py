"""Guests whose memory the host cannot read: AMD's SEV, Intel's TDX."""

from __future__ import annotations

from cloudkit.host.cpu import read_cpu
from cloudkit.host.report import Check, Level
from cloudkit.host.tree import Tree

_HOST_SIDE = {
    "SEV": "sys/module/kvm_amd/parameters/sev",
    "SEV-ES": "sys/module/kvm_amd/parameters/sev_es",
    "SEV-SNP": "sys/module/kvm_amd/parameters/sev_snp",
    "TDX": "sys/module/kvm_intel/parameters/tdx",
    "Secure Execution": "sys/firmware/uv/prot_virt_host",
}
_GUEST_DEVICES = {"TDX": "dev/tdx_guest", "SEV-SNP": "dev/sev-guest"}
_CPU_FLAGS = {"sev": "SEV", "sev_es": "SEV-ES", "sev_snp": "SEV-SNP", "tdx_host_platform": "TDX"}


def confidential(tree: Tree) -> Check:
    """``confidential``: SEV and TDX, offered to guests, or at work around this machine."""
    cpu = read_cpu(tree)
    offered = [name for name, path in _HOST_SIDE.items() if tree.switch(path)]
    shown = [name for flag, name in _CPU_FLAGS.items() if flag in cpu.flags]
    inside = "TDX" if "tdx_guest" in cpu.flags or tree.exists(_GUEST_DEVICES["TDX"]) else None
    if inside is None and cpu.in_hypervisor and tree.exists(_GUEST_DEVICES["SEV-SNP"]):
        inside = "SEV-SNP"
    hint = ""
    if offered:
        level, text = Level.OK, f"guests' memory can be encrypted: {', '.join(offered)}"
    elif shown:
        level, text = Level.INFO, f"the processor can encrypt guests' memory ({', '.join(shown)}), and KVM does not"
        hint = (
            "Switch it on in the firmware's set-up and by KVM's module parameters (kvm_amd sev=1, kvm_intel tdx=1)."
        )
    else:
        level, text = Level.INFO, "guests' memory cannot be encrypted (neither SEV nor TDX shows)"
    if inside:
        text += f"; this machine's own is, by {inside}"
    return Check(
        name="confidential",
        level=level,
        summary=text,
        details={"offered": offered, "processor": shown, "inside": inside},
        hint=hint,
    )
