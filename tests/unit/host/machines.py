"""Machines as their files show them: what /proc, /sys and /dev hold, cut down to what is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from cloudkit.host.resources import GB
from cloudkit.host.tree import Space, Tree

Files = Mapping[str, str]
"""Path → content; a path that ends in a slash is an empty folder."""

INTEL_FLAGS = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht tm "
    "syscall nx pdpe1gb rdtscp lm constant_tsc pni pclmulqdq dtes64 monitor ds_cpl {vmx}smx est tm2 ssse3 fma cx16 "
    "sse4_1 sse4_2 x2apic movbe popcnt aes xsave avx f16c rdrand {hypervisor}lahf_lm abm {tpr}fsgsbase bmi1 avx2"
)
AMD_FLAGS = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall nx "
    "mmxext fxsr_opt pdpe1gb rdtscp lm constant_tsc rep_good nopl cpuid extd_apicid aperfmperf rapl pni pclmulqdq "
    "{hypervisor}lahf_lm cmp_legacy {svm}cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs"
)


def intel_cpuinfo(*, vmx: bool = True, hypervisor: bool = False, count: int = 8) -> str:
    flags = INTEL_FLAGS.format(
        vmx="vmx " if vmx else "",
        hypervisor="hypervisor " if hypervisor else "",
        tpr="tpr_shadow flexpriority ept vpid ept_ad " if vmx else "",
    )
    vmx_line = (
        "vmx flags\t: vnmi preemption_timer invvpid ept_x_only ept_ad tsc_offset vtpr ept vpid\n" if vmx else ""
    )
    return "\n".join(
        f"processor\t: {number}\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 158\n"
        f"model name\t: Intel(R) Core(TM) i7-9700 CPU @ 3.00GHz\ncpu cores\t: 8\nflags\t\t: {flags}\n"
        f"{vmx_line}bugs\t\t: spectre_v1 spectre_v2\nbogomips\t: 6000.00\npower management:\n"
        for number in range(count)
    )


def amd_cpuinfo(*, svm: bool = True, hypervisor: bool = False, count: int = 16, more: str = "") -> str:
    flags = AMD_FLAGS.format(svm="svm " if svm else "", hypervisor="hypervisor " if hypervisor else "")
    npt = " npt lbrv svm_lock nrip_save tsc_scale vmcb_clean" if svm else ""
    return "\n".join(
        f"processor\t: {number}\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\n"
        f"model name\t: AMD EPYC 7313 16-Core Processor\nflags\t\t: {flags}{npt} {more}\n"
        f"TLB size\t: 2560 4K pages\npower management: ts ttp tm hwpstate\n"
        for number in range(count)
    )


ARM_CPUINFO = "\n".join(
    f"processor\t: {number}\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics\n"
    "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n"
    for number in range(4)
)
S390X_CPUINFO = """\
vendor_id       : IBM/S390
# processors    : 2
bogomips per cpu: 24038.00
max thread id   : 0
features\t: esan3 zarch stfle msa ldisp eimm dfp edat etf3eh highgprs te vx vxd sie
cache0          : level=1 type=Data scope=Private size=128K line_size=256 associativity=8
processor 0: version = FF,  identification = 0133E8,  machine = 8561
processor 1: version = FF,  identification = 0133E8,  machine = 8561

cpu number      : 0
physical id     : 1
"""
PPC64LE_CPUINFO = """\
processor\t: 0
cpu\t\t: POWER9 (architected), altivec supported
clock\t\t: 2200.000000MHz
revision\t: 2.2 (pvr 004e 1202)

timebase\t: 512000000
platform\t: pSeries
model\t\t: IBM pSeries (emulated by qemu)
machine\t\t: CHRP IBM pSeries (emulated by qemu)
MMU\t\t: Radix
"""

MEMINFO = """\
MemTotal:       {total} kB
MemFree:        1000000 kB
MemAvailable:   {available} kB
Buffers:          100000 kB
HugePages_Total:       0
Hugepagesize:       2048 kB
"""


def meminfo(total_kib: int = 32_000_000, available_kib: int = 24_000_000) -> str:
    return MEMINFO.format(total=total_kib, available=available_kib)


def dmi(vendor: str, product: str, board: str = "", bios: str = "") -> dict[str, str]:
    folder = "sys/class/dmi/id"
    fields = {"sys_vendor": vendor, "product_name": product, "board_vendor": board, "bios_vendor": bios}
    return {f"{folder}/{name}": f"{value}\n" for name, value in fields.items() if value}


def clocks(*names: str) -> dict[str, str]:
    return {"sys/devices/system/clocksource/clocksource0/available_clocksource": f"{' '.join(names)} \n"}


def iommu_groups(count: int) -> dict[str, str]:
    return {f"sys/kernel/iommu_groups/{number}/devices/": "" for number in range(count)}


def processors(count: int) -> dict[str, str]:
    return {"sys/devices/system/cpu/online": f"0-{count - 1}\n" if count > 1 else "0\n"}


X86 = {"proc/sys/kernel/arch": "x86_64\n", "proc/meminfo": meminfo(), "dev/net/tun": "", **processors(8)}
PROGRAMS = {
    "usr/bin/qemu-system-x86_64": "#!",
    "usr/bin/qemu-img": "#!",
    "usr/sbin/dnsmasq": "#!",
    "usr/sbin/nft": "#!",
    "usr/sbin/ip": "#!",
    "usr/sbin/libvirtd": "#!",
}
BRIDGES = {"proc/sys/net/bridge/bridge-nf-call-iptables": "1\n"}
ROOT = {"proc/self/status": "Name:\tpython\nCapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\n"}
USER = {"proc/self/status": "Name:\tpython\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"}
LIBVIRTD = {"run/libvirt/libvirt-sock": "", "run/libvirt/libvirt-sock-ro": "", "run/systemd/system/": ""}

INTEL: Files = {
    **X86,
    **PROGRAMS,
    **LIBVIRTD,
    **dmi("Dell Inc.", "OptiPlex 7070", "Dell Inc.", "Dell Inc."),
    **clocks("tsc", "hpet", "acpi_pm"),
    **iommu_groups(14),
    "proc/cpuinfo": intel_cpuinfo(),
    "dev/kvm": "",
    "dev/vhost-net": "",
    "sys/module/kvm/parameters/halt_poll_ns": "200000\n",
    "sys/module/kvm_intel/parameters/nested": "Y\n",
    "sys/module/kvm_intel/parameters/tdx": "N\n",
    "sys/class/iommu/dmar0/": "",
    "sys/class/iommu/dmar1/": "",
    "sys/firmware/acpi/tables/DMAR": "",
    "sys/firmware/acpi/tables/FACP": "",
    "sys/bus/pci/devices/0000:00:00.0/vendor": "0x8086\n",
    "sys/bus/pci/devices/0000:03:00.0/sriov_totalvfs": "63\n",
    "sys/bus/pci/devices/0000:03:00.0/sriov_numvfs": "4\n",
    "sys/bus/pci/devices/0000:03:00.0/net/enp3s0f0/": "",
    "sys/bus/pci/devices/0000:03:00.1/sriov_totalvfs": "63\n",
    "sys/bus/pci/devices/0000:03:00.1/sriov_numvfs": "0\n",
    "sys/bus/pci/devices/0000:03:00.2/sriov_totalvfs": "0\n",
    "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "512\n",
    "sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages": "0\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
}
AMD: Files = {
    **X86,
    **PROGRAMS,
    **processors(16),
    **dmi("Supermicro", "AS -1114S-WN10RT", "Supermicro", "American Megatrends Inc."),
    **clocks("tsc", "hpet", "acpi_pm"),
    **iommu_groups(60),
    "proc/cpuinfo": amd_cpuinfo(more="sev sev_es"),
    "dev/kvm": "",
    "dev/vhost-net": "",
    "run/libvirt/virtqemud-sock": "",
    "run/libvirt/virtnetworkd-sock": "",
    "run/libvirt/virtstoraged-sock": "",
    "sys/module/kvm_amd/parameters/nested": "1\n",
    "sys/module/kvm_amd/parameters/sev": "Y\n",
    "sys/module/kvm_amd/parameters/sev_es": "Y\n",
    "sys/module/kvm_amd/parameters/sev_snp": "N\n",
    "sys/class/iommu/ivhd0/": "",
    "sys/firmware/acpi/tables/IVRS": "",
}
ARM: Files = {
    "proc/sys/kernel/arch": "aarch64\n",
    "proc/cpuinfo": ARM_CPUINFO,
    "proc/meminfo": meminfo(),
    **processors(4),
    **dmi("Ampere(R)", "Mt. Jade"),
    **clocks("arch_sys_counter"),
    **iommu_groups(20),
    "dev/kvm": "",
    "dev/net/tun": "",
    "sys/class/iommu/smmu3.0x000043fffe000000/": "",
    "sys/firmware/acpi/tables/IORT": "",
}
S390X: Files = {
    "proc/sys/kernel/arch": "s390x\n",
    "proc/cpuinfo": S390X_CPUINFO,
    "proc/meminfo": meminfo(),
    "proc/sysinfo": "Manufacturer:         IBM\nType:                 8561\n\nLPAR Name:            LP1\n",
    "sys/module/kvm/parameters/nested": "0\n",
    "dev/kvm": "",
}
ZVM_GUEST: Files = {
    **S390X,
    "proc/sysinfo": "Manufacturer:   IBM\n\nVM00 Name:            LINUX1\nVM00 Control Program: z/VM    7.2.0\n",
}
PPC_GUEST: Files = {
    "proc/sys/kernel/arch": "ppc64le\n",
    "proc/cpuinfo": PPC64LE_CPUINFO,
    "proc/meminfo": meminfo(),
}
ARM_GUEST: Files = {
    "proc/sys/kernel/arch": "aarch64\n",
    "proc/cpuinfo": ARM_CPUINFO,
    "proc/meminfo": meminfo(),
    "proc/device-tree/hypervisor/compatible": "linux,kvm\0",
    **clocks("arch_sys_counter"),
}

FIRMWARE_OFF: Files = {
    path: content
    for path, content in {**INTEL, "proc/cpuinfo": intel_cpuinfo(vmx=False)}.items()
    if not path.startswith(("dev/kvm", "sys/module/kvm", "sys/class/iommu", "sys/kernel/iommu_groups"))
}
NO_MODULE: Files = {
    path: content for path, content in INTEL.items() if not path.startswith(("dev/kvm", "sys/module/kvm"))
}
OLD_INTEL: Files = {**INTEL, "proc/cpuinfo": INTEL["proc/cpuinfo"].replace("ept", "")}
NESTED: Files = {
    **X86,
    **PROGRAMS,
    **dmi("QEMU", "Standard PC (Q35 + ICH9, 2009)", "", "SeaBIOS"),
    **clocks("kvm-clock", "tsc", "acpi_pm"),
    "proc/cpuinfo": intel_cpuinfo(hypervisor=True),
    "dev/kvm": "",
    "sys/module/kvm_intel/parameters/nested": "Y\n",
    "sys/bus/virtio/devices/virtio0/device": "0x0001\n",
    "sys/bus/virtio/devices/virtio1/device": "0x0002\n",
    "sys/bus/virtio/devices/virtio2/device": "0x0002\n",
    "sys/bus/virtio/devices/virtio3/device": "0x00ff\n",
}
EC2_GUEST: Files = {
    **X86,
    **dmi("Amazon EC2", "t3.micro", "Amazon EC2", "Amazon EC2"),
    **clocks("kvm-clock", "tsc", "acpi_pm"),
    "proc/cpuinfo": intel_cpuinfo(vmx=False, hypervisor=True, count=2),
}
EC2_METAL: Files = {
    **INTEL,
    **dmi("Amazon EC2", "c5.metal", "Amazon EC2", "Amazon EC2"),
}
EMULATED: Files = {
    **X86,
    **dmi("QEMU", "Standard PC (i440FX + PIIX, 1996)", "", "SeaBIOS"),
    **clocks("tsc", "hpet", "acpi_pm"),
    "proc/cpuinfo": amd_cpuinfo(svm=True, hypervisor=True, count=1),
}
PARAVIRTUAL: Files = {
    # As seen in a small VM of a hosting service: KVM without VT-x or AMD-V, by changed page tables.
    **X86,
    **PROGRAMS,
    **clocks("tsc", "kvm-clock"),
    "proc/cpuinfo": amd_cpuinfo(svm=False, hypervisor=True, count=2),
    "dev/kvm": "",
    ".dockerenv": "",
    "sys/module/kvm/parameters/halt_poll_ns": "200000\n",
    "sys/module/kvm_pvm/parameters/stats": "N\n",
    "sys/firmware/acpi/tables/FACP": "",
}
CONTAINER: Files = {
    **{path: content for path, content in INTEL.items() if not path.startswith(("dev/", "run/"))},
    "run/systemd/container": "podman\n",
    "proc/1/cgroup": "0::/\n",
}
KUBERNETES: Files = {
    **{path: content for path, content in CONTAINER.items() if not path.startswith("run/")},
    "proc/1/cgroup": "12:cpuset:/kubepods/burstable/pod1/abcdef\n11:memory:/kubepods/burstable/pod1/abcdef\n",
}
XEN_DOM0: Files = {
    **X86,
    **PROGRAMS,
    **dmi("HP", "ProLiant DL360 Gen9"),
    **clocks("xen", "tsc"),
    "proc/cpuinfo": intel_cpuinfo(vmx=False, hypervisor=True),
    "proc/xen/capabilities": "control_d\n",
    "sys/hypervisor/type": "xen\n",
    "sys/hypervisor/guest_type": "PV\n",
}
XEN_DOMU: Files = {
    **X86,
    **dmi("Xen", "HVM domU", "", "Xen"),
    **clocks("xen", "tsc", "hpet"),
    "proc/cpuinfo": intel_cpuinfo(vmx=False, hypervisor=True),
    "sys/hypervisor/type": "xen\n",
    "sys/hypervisor/guest_type": "HVM\n",
}
VMWARE: Files = {
    **X86,
    **dmi("VMware, Inc.", "VMware7,1", "Intel Corporation", "VMware, Inc."),
    **clocks("tsc", "acpi_pm"),
    "proc/cpuinfo": intel_cpuinfo(vmx=False, hypervisor=True),
}
VIRTUALBOX: Files = {
    **X86,
    **dmi("innotek GmbH", "VirtualBox", "Oracle Corporation", "innotek GmbH"),
    **clocks("kvm-clock", "tsc", "acpi_pm"),  # VirtualBox offers Linux guests KVM's clock.
    "proc/cpuinfo": intel_cpuinfo(vmx=False, hypervisor=True),
}
HYPER_V: Files = {
    **X86,
    **dmi("Microsoft Corporation", "Virtual Machine", "Microsoft Corporation", "Microsoft Corporation"),
    **clocks("hyperv_clocksource_tsc_page", "acpi_pm"),
    "proc/cpuinfo": intel_cpuinfo(vmx=False, hypervisor=True),
}
SURFACE: Files = {**INTEL, **dmi("Microsoft Corporation", "Surface Pro 7", "Microsoft Corporation")}
VIRTUALBOX_HOST: Files = {**INTEL, "dev/vboxdrv": "", "sys/module/vboxdrv/": ""}
VIRTUALBOX_MASKED: Files = {
    **{path: content for path, content in VIRTUALBOX.items() if "/dmi/" not in path and "clocksource" not in path},
    "sys/bus/pci/devices/0000:00:00.0/vendor": "0x8086\n",
    "sys/bus/pci/devices/0000:00:02.0/vendor": "0x15ad\n",
    "sys/bus/pci/devices/0000:00:02.0/device": "0x0405\n",
    "sys/bus/pci/devices/0000:00:04.0/vendor": "0x80ee\n",
    "proc/1/environ": "PATH=/bin\0container=lxc\0TERM=xterm\0",
}
VMWARE_MASKED: Files = {
    **X86,
    **clocks("tsc"),
    "proc/cpuinfo": intel_cpuinfo(vmx=False, hypervisor=True),
    "sys/bus/pci/devices/0000:00:07.7/vendor": "0x15ad\n",
    "sys/bus/pci/devices/0000:00:07.7/device": "0x0740\n",
}
UNKNOWN_VMM: Files = {
    **X86,
    **clocks("tsc"),
    "proc/cpuinfo": intel_cpuinfo(vmx=False, hypervisor=True),
}
EMPTY: Files = {}

_PARTS = ("X86", "PROGRAMS", "LIBVIRTD", "BRIDGES", "ROOT", "USER")
MACHINES: Mapping[str, Files] = {
    name.lower(): value
    for name, value in dict(globals()).items()
    if name.isupper() and isinstance(value, dict) and name not in _PARTS
}


LARGE = Space(2000 * GB, 900 * GB)


class Recorded(Tree):
    """A machine of files, of which some may not be opened, with a file system of a given size."""

    def __init__(
        self,
        root: Path,
        *,
        problems: Mapping[str, int] | None = None,
        space: Space | None = LARGE,
    ) -> None:
        super().__init__(root)
        self._problems = problems or {}
        self._space = space

    def open_problem(self, path: str) -> int | None:
        return self._problems.get(path) or super().open_problem(path)

    def connect_problem(self, path: str) -> int | None:
        return self._problems.get(path) or super().connect_problem(path)

    def space(self, path: str) -> Space | None:
        return self._space


Record = Callable[..., Recorded]
"""The fixture ``record``."""


def write(root: Path, files: Files) -> Path:
    """Lay the files out below a folder."""
    for path, content in files.items():
        target = root / path
        if path.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        if content == "#!":
            target.chmod(0o755)
    return root
