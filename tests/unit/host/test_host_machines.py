"""What recorded machines are found to be."""

from __future__ import annotations

import errno
import sys
from types import SimpleNamespace
from typing import Any

import machines
import pytest
from machines import Record

from cloudkit import host
from cloudkit.host import Check, HostReport, Level, Need
from cloudkit.host.checks import CHECKS
from cloudkit.host.resources import GB, GIB, MIB
from cloudkit.host.tree import Space, Tree

PLACES = {
    "intel": (None, None),
    "amd": (None, None),
    "arm": (None, None),
    "s390x": (None, None),
    "zvm_guest": ("z/VM", None),
    "ppc_guest": ("KVM", None),
    "arm_guest": ("KVM", None),
    "firmware_off": (None, None),
    "no_module": (None, None),
    "old_intel": (None, None),
    "nested": ("KVM", None),
    "ec2_guest": ("KVM", None),
    "ec2_metal": (None, None),
    "emulated": ("QEMU emulation", None),
    "paravirtual": ("KVM", "docker"),
    "container": (None, "podman"),
    "kubernetes": (None, "kubepods"),
    "xen_dom0": (None, None),
    "xen_domu": ("Xen", None),
    "vmware": ("VMware", None),
    "virtualbox": ("VirtualBox", None),
    "hyper_v": ("Hyper-V", None),
    "surface": (None, None),
    "virtualbox_host": (None, None),
    "virtualbox_masked": ("VirtualBox", "lxc"),
    "vmware_masked": ("VMware", None),
    "unknown_vmm": ("unknown", None),
    "empty": (None, None),
}

KVM = {
    # What is missing, and what the hint must tell.
    "intel": (None, "cloudkit demo"),
    "amd": (None, "cloudkit demo"),
    "arm": (None, "cloudkit demo"),
    "s390x": (None, "cloudkit demo"),
    "nested": (None, "cloudkit demo"),
    "ec2_metal": (None, "cloudkit demo"),
    "firmware_off": ("flag", "firmware"),
    "no_module": ("module", "modprobe kvm_intel"),
    "emulated": ("module", "modprobe kvm_amd"),
    "ppc_guest": ("device", "modprobe kvm"),
    "container": ("device", "--device /dev/kvm"),
    "kubernetes": ("device", "--device /dev/kvm"),
    "ec2_guest": ("flag", "nested=1"),
    "paravirtual": ("flag", "nested=1"),
    "xen_dom0": ("flag", "without Xen"),
    "xen_domu": ("flag", "nestedhvm=1"),
    "vmware": ("flag", "Virtualize Intel VT-x/EPT"),
    "virtualbox": ("flag", "--nested-hw-virt on"),
    "hyper_v": ("flag", "ExposeVirtualizationExtensions"),
    "unknown_vmm": ("flag", "Take a machine with nested virtualisation"),
}


def test_every_machine_has_its_place() -> None:
    assert PLACES.keys() == machines.MACHINES.keys()


@pytest.mark.parametrize("name", PLACES)
def test_what_it_runs_in(record: Record, name: str) -> None:
    check = host.examine("machine.runs_in", record(machines.MACHINES[name]))
    assert (check.details["hypervisor"], check.details["container"]) == PLACES[name], check


@pytest.mark.parametrize("name", KVM)
def test_whether_kvm_can_be_used(record: Record, name: str) -> None:
    check = host.examine("kvm", record(machines.MACHINES[name]))
    missing, hint = KVM[name]
    assert check.details["missing"] == missing, check
    assert check.details["usable"] is (missing is None)
    assert check.level is (Level.OK if missing is None else Level.FAIL)
    assert hint in check.hint


def test_a_type_is_told_with_the_hypervisor(record: Record) -> None:
    check = host.examine("machine.runs_in", record(machines.VIRTUALBOX))
    assert "VirtualBox, type 2" in check.summary
    assert check.details["hypervisor_type"] == 2


@pytest.mark.parametrize("name", machines.MACHINES)
def test_a_report_has_one_form(record: Record, name: str) -> None:
    """The same checks with the same facts in the same order, whatever the machine."""
    report = host.inspect(record(machines.MACHINES[name]))
    assert [check.name for check in report] == list(CHECKS)
    for check in report:
        assert check.summary
        assert not check.summary.endswith((".", " "))
        if check.level is Level.FAIL:
            assert check.hint
            assert check.needed_by
    reference = {check.name: set(check.details) for check in host.inspect(Tree("/nowhere"))}
    differing = {c.name for c in report if set(c.details) != reference[c.name]} - {"libvirt.python"}
    assert differing == set()


class TestCpu:
    @pytest.mark.parametrize(
        ("name", "vendor", "feature", "paging"),
        [
            ("intel", "Intel", "vmx", "EPT"),
            ("amd", "AMD", "svm", "NPT"),
            ("arm", "Arm", None, None),
            ("s390x", "IBM/S390", None, None),
            ("ec2_guest", "Intel", None, None),
        ],
    )
    def test_features(self, record: Record, name: str, vendor: str, feature: str | None, paging: str | None) -> None:
        report = host.inspect(record(machines.MACHINES[name]))
        found = report["cpu.virtualisation"]
        assert (found.details["vendor"], found.details["feature"]) == (vendor, feature)
        assert report["cpu.nested_paging"].details == {"kind": paging, "present": True if paging else None}

    def test_a_processor_without_nested_paging_is_slow(self, record: Record) -> None:
        check = host.examine("cpu.nested_paging", record(machines.OLD_INTEL))
        assert (check.level, check.details["present"]) == (Level.WARN, False)

    @pytest.mark.parametrize(
        ("name", "enabled", "level"),
        [("intel", True, Level.OK), ("amd", True, Level.OK), ("s390x", False, Level.INFO), ("arm", None, Level.INFO)],
    )
    def test_nesting(self, record: Record, name: str, enabled: bool | None, level: Level) -> None:
        check = host.examine("cpu.nesting", record(machines.MACHINES[name]))
        assert (check.details["enabled"], check.level) == (enabled, level)

    def test_a_guest_that_can_have_guests_says_so(self, record: Record) -> None:
        check = host.examine("cpu.nesting", record(machines.NESTED))
        assert check.details["is_nested"] is True
        assert "itself a guest" in check.summary


class TestKvm:
    def test_a_device_that_opens_proves_nothing(self, record: Record) -> None:
        check = host.examine("kvm", record(machines.PARAVIRTUAL))
        assert check.details["device"] == "usable"
        assert check.level is Level.FAIL
        assert "proves nothing" in check.summary

    @pytest.mark.parametrize(
        ("problem", "level", "hint"),
        [
            (errno.EACCES, Level.WARN, "usermod -aG kvm"),
            (errno.EPERM, Level.WARN, "usermod -aG kvm"),
            (errno.ENODEV, Level.FAIL, "dmesg"),
        ],
    )
    def test_a_device_that_does_not_open(self, record: Record, problem: int, level: Level, hint: str) -> None:
        check = host.examine("kvm", record(machines.INTEL, problems={"dev/kvm": problem}))
        assert (check.level, check.details["missing"]) == (level, "device")
        assert check.details["device"] == errno.errorcode[problem]
        assert hint in check.hint

    def test_another_version_of_the_interface(self, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
        def answer(*_: Any) -> int:
            return 10

        monkeypatch.setattr("fcntl.ioctl", answer)
        check = host.examine("kvm", record(machines.INTEL))
        assert (check.details["missing"], check.details["api_version"]) == ("version", 10)

    def test_nothing_says_that_kvm_was_run(self, record: Record) -> None:
        check = host.examine("kvm", record(machines.INTEL))
        assert "looks usable" in check.summary
        assert check.hint.endswith("cloudkit demo --cloud PROFILE")


class TestHypervisors:
    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("intel", ["KVM", "QEMU emulation"]),
            ("xen_dom0", ["Xen", "QEMU emulation"]),
            ("paravirtual", ["QEMU emulation"]),
            ("vmware", []),
        ],
    )
    def test_those_of_this_machine(self, record: Record, name: str, found: list[str]) -> None:
        assert host.examine("machine.is", record(machines.MACHINES[name])).details["hypervisors"] == found

    def test_virtualbox_and_kvm_are_in_each_others_way(self, record: Record) -> None:
        check = host.examine("machine.is", record(machines.VIRTUALBOX_HOST))
        assert check.level is Level.WARN
        assert "VirtualBox" in check.hint


class TestDevices:
    @pytest.mark.parametrize(
        ("name", "kind", "groups", "level"),
        [
            ("intel", "VT-d", 14, Level.OK),
            ("amd", "AMD-Vi", 60, Level.OK),
            ("arm", "SMMU", 20, Level.OK),
            ("firmware_off", "VT-d", 0, Level.WARN),
            ("ec2_guest", None, 0, Level.INFO),
        ],
    )
    def test_iommu(self, record: Record, name: str, kind: str | None, groups: int, level: Level) -> None:
        check = host.examine("iommu", record(machines.MACHINES[name]))
        assert (check.details["kind"], check.details["groups"], check.level) == (kind, groups, level)

    def test_an_iommu_that_is_off_says_how_to_switch_it_on(self, record: Record) -> None:
        assert "intel_iommu=on" in host.examine("iommu", record(machines.FIRMWARE_OFF)).hint

    def test_sriov(self, record: Record) -> None:
        check = host.examine("sriov", record(machines.INTEL))
        assert check.details == {"devices": {"0000:03:00.0": 63, "0000:03:00.1": 63}, "functions_in_use": 4}
        assert "enp3s0f0 4 of 63" in check.summary
        assert host.examine("sriov", Tree("/nowhere")).level is Level.INFO

    def test_confidential(self, record: Record) -> None:
        check = host.examine("confidential", record(machines.AMD))
        assert check.details == {"offered": ["SEV", "SEV-ES"], "processor": ["SEV", "SEV-ES"], "inside": None}
        assert check.level is Level.OK

    def test_a_processor_that_could_and_a_kvm_that_does_not(self, record: Record) -> None:
        off = {
            **machines.AMD,
            "sys/module/kvm_amd/parameters/sev": "N\n",
            "sys/module/kvm_amd/parameters/sev_es": "N\n",
        }
        check = host.examine("confidential", record(off))
        assert check.level is Level.INFO
        assert "sev=1" in check.hint

    def test_the_machines_own_confidence(self, record: Record) -> None:
        inside = {**machines.EC2_GUEST, "dev/sev-guest": ""}
        assert host.examine("confidential", record(inside)).details["inside"] == "SEV-SNP"

    def test_virtio_here(self, record: Record) -> None:
        check = host.examine("virtio.here", record(machines.NESTED))
        assert check.details["devices"] == {"net": 1, "block": 2, "type 255": 1}

    def test_virtio_for_guests(self, record: Record) -> None:
        assert host.examine("virtio.guest", record(machines.INTEL)).level is Level.OK
        check = host.examine("virtio.guest", Tree("/nowhere"))
        assert (check.level, check.details["vhost_net"]) == (Level.WARN, False)

    def test_tun(self, record: Record) -> None:
        assert host.examine("tun", record(machines.INTEL)).level is Level.OK
        check = host.examine("tun", Tree("/nowhere"))
        assert (check.level, check.needed_by) == (Level.FAIL, (Need.LIBVIRT_SYSTEM,))


class TestLibvirt:
    def look(self, record: Record, files: machines.Files, **options: Any) -> Check:
        return host.examine("libvirt.daemon", record(files, **options))

    def test_monolithic(self, record: Record) -> None:
        check = self.look(record, machines.INTEL)
        assert (check.level, check.details["answering"]) == (Level.OK, ["libvirtd"])

    def test_modular(self, record: Record) -> None:
        check = self.look(record, machines.AMD)
        assert check.level is Level.OK
        assert "modular" in check.summary

    def test_modular_and_incomplete(self, record: Record) -> None:
        files = {path: content for path, content in machines.AMD.items() if "virtnetworkd" not in path}
        check = self.look(record, files)
        assert check.level is Level.FAIL
        assert check.hint == "`sudo systemctl enable --now virtnetworkd.socket`"

    def test_forbidden(self, record: Record) -> None:
        check = self.look(record, machines.INTEL, problems={"run/libvirt/libvirt-sock": errno.EACCES})
        assert check.level is Level.FAIL
        assert "usermod -aG libvirt" in check.hint

    def test_a_dead_daemons_socket(self, record: Record) -> None:
        check = self.look(record, machines.INTEL, problems={"run/libvirt/libvirt-sock": errno.ECONNREFUSED})
        assert "nobody answers: Connection refused" in check.summary
        assert "systemctl start libvirtd" in check.hint

    def test_not_running(self, record: Record) -> None:
        check = self.look(record, machines.NESTED)
        assert check.summary == "libvirtd is installed and does not run"
        assert "libvirtd --daemon" in check.hint

    def test_not_installed(self) -> None:
        assert "not installed" in self.look(lambda _: Tree("/nowhere"), {}).summary

    def test_an_ordinary_users_own(self, record: Record) -> None:
        check = host.examine("libvirt.session", record(machines.NESTED))
        assert (check.level, check.details) == (Level.OK, {"daemon": "libvirtd"})
        check = host.examine("libvirt.session", Tree("/nowhere"))
        assert (check.level, check.needed_by) == (Level.FAIL, (Need.LIBVIRT_SESSION,))

    def test_programs(self, record: Record) -> None:
        report = host.inspect(record(machines.INTEL))
        assert report["libvirt.qemu"].details == {
            "emulator": "/usr/bin/qemu-system-x86_64",
            "qemu_img": "/usr/bin/qemu-img",
        }
        assert report["libvirt.network"].details == {"dnsmasq": "/usr/sbin/dnsmasq", "packet_filter": "/usr/sbin/nft"}

    @pytest.mark.parametrize(
        ("files", "level", "words"),
        [
            ({**machines.ROOT, **machines.PROGRAMS, **machines.BRIDGES}, Level.OK, "can be had"),
            ({**machines.ROOT, **machines.PROGRAMS}, Level.FAIL, "br_netfilter is not loaded"),
            ({**machines.USER, **machines.PROGRAMS}, Level.FAIL, "CAP_NET_ADMIN"),
            (machines.ROOT, Level.FAIL, "not installed: nft, ip"),
            ({**machines.ROOT, "sbin/ip": "#!"}, Level.FAIL, "not installed: nft"),
            ({}, Level.FAIL, "CAP_NET_ADMIN"),
        ],
    )
    def test_the_machines_network(self, record: Record, files: machines.Files, level: Level, words: str) -> None:
        check = host.examine("libvirt.host_network", record(files))
        assert (check.level, check.needed_by) == (level, (Need.HOST_NETWORK,))
        assert words in check.summary

    @pytest.mark.parametrize(
        ("files", "level", "words"),
        [
            ({"usr/bin/ovs-vsctl": "#!", "run/openvswitch/db.sock": ""}, Level.OK, "can have a VLAN id"),
            ({"usr/bin/ovs-vsctl": "#!"}, Level.INFO, "does not run"),
            ({}, Level.INFO, "is not installed"),
        ],
    )
    def test_vlans(self, record: Record, files: machines.Files, level: Level, words: str) -> None:
        check = host.examine("libvirt.vlans", record(files))
        assert (check.level, check.needed_by) == (level, ())
        assert words in check.summary
        assert (check.hint == "") is (level is Level.OK)

    def test_missing_programs_are_all_named(self, record: Record) -> None:
        report = host.inspect(record(machines.ARM))
        assert report["libvirt.qemu"].summary == "not installed: qemu-system-aarch64, qemu-img"
        assert "dnsmasq and nft or iptables" in report["libvirt.network"].summary

    def test_the_binding_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "libvirt", None)
        check = host.examine("libvirt.python")
        assert check.level is Level.FAIL
        assert "cloudkit-sdk[libvirt]" in check.hint


class TestResources:
    def memory(self, record: Record, available_kib: int, **files: str) -> Check:
        text = machines.meminfo(available_kib=available_kib)
        return host.examine("memory", record({"proc/meminfo": text, **files}))

    @pytest.mark.parametrize(
        ("available", "level"), [(100 * MIB, Level.FAIL), (1 * GIB, Level.WARN), (3 * GIB, Level.OK)]
    )
    def test_memory(self, record: Record, available: int, level: Level) -> None:
        check = self.memory(record, available // 1024)
        assert (check.level, check.details["available_bytes"]) == (level, available)

    def test_a_control_group_has_less(self, record: Record) -> None:
        limits = {
            "sys/fs/cgroup/memory.max": f"{GIB}\n",
            "sys/fs/cgroup/memory.current": f"{GIB - 300 * MIB}\n",
        }
        check = self.memory(record, 24_000_000, **limits)
        assert check.details == {"total_bytes": GIB, "available_bytes": 300 * MIB}
        assert check.level is Level.WARN

    def test_a_control_group_without_a_limit(self, record: Record) -> None:
        check = self.memory(record, 24_000_000, **{"sys/fs/cgroup/memory.max": "max\n"})
        assert check.details["total_bytes"] == 32_000_000 * 1024

    @pytest.mark.parametrize(("free", "level"), [(GIB // 2, Level.FAIL), (5 * GIB, Level.WARN), (50 * GIB, Level.OK)])
    def test_disk(self, record: Record, free: int, level: Level) -> None:
        report = host.inspect(record({}, space=Space(100 * GIB, free)), pool_path="/srv/pool")
        assert (report["disk"].level, report["disk"].details["path"]) == (level, "/srv/pool")

    def test_huge_pages(self, record: Record) -> None:
        check = host.examine("hugepages", record(machines.INTEL))
        assert check.details == {"reserved": {"2048 KiB": 512, "1048576 KiB": 0}, "transparent": "madvise"}

    @pytest.mark.parametrize(
        ("online", "count"),
        [("0", 1), ("0-3", 4), ("0-3,8-11,15", 9), ("3-0", 0), ("", 0), ("many", 0), ("0-", 0), (",", 0)],
    )
    def test_cores(self, record: Record, online: str, count: int) -> None:
        tree = record({"sys/devices/system/cpu/online": online})
        assert host.examine("cores", tree).details["count"] == count

    def devstack(self, record: Record, *, cores: int, memory_gb: float, disk_gb: int) -> Check:
        files = {**machines.processors(cores), "proc/meminfo": machines.meminfo(int(memory_gb * GB / 1024))}
        return host.examine("devstack", record(files, space=Space(disk_gb * GB, GB)))

    def test_enough_for_a_devstack(self, record: Record) -> None:
        check = self.devstack(record, cores=4, memory_gb=8.1, disk_gb=500)
        assert (check.level, check.hint, check.details["enough"]) == (Level.OK, "", True)

    def test_a_disk_of_500_gb_with_a_file_system_is_enough(self, record: Record) -> None:
        assert self.devstack(record, cores=8, memory_gb=16, disk_gb=490).level is Level.OK

    def test_just_enough_memory_is_told(self, record: Record) -> None:
        check = self.devstack(record, cores=4, memory_gb=4.1, disk_gb=500)
        assert check.level is Level.OK
        assert "8 GB are recommended" in check.hint

    def test_too_little_never_fails_and_all_is_named(self, record: Record) -> None:
        check = self.devstack(record, cores=2, memory_gb=2, disk_gb=40)
        assert check.level is Level.WARN
        assert check.summary.endswith("2 of 4 cores, 2.0 of 4 GB of memory, 40 of 500 GB of disk")


class TestReport:
    def test_a_failure_counts_only_for_who_needs_it(self, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
        # Where libvirt-python is not installed that is a failure of its own.
        monkeypatch.setitem(sys.modules, "libvirt", SimpleNamespace(getVersion=lambda: 9_000_000))
        report = host.inspect(record(machines.FIRMWARE_OFF))
        assert report["kvm"].level is Level.FAIL
        assert [check.name for check in report.judged({Need.LIBVIRT_SYSTEM}).failures] == []
        assert [check.name for check in report.judged({Need.KVM}).failures] == ["cpu.virtualisation", "kvm"]
        assert report.judged(())["kvm"].level is Level.WARN

    def test_a_name_that_no_check_has(self) -> None:
        with pytest.raises(KeyError):
            host.examine("nothing")
        with pytest.raises(KeyError):
            HostReport(())["kvm"]

    def test_this_machine_can_be_looked_at(self) -> None:
        report = host.inspect()
        assert report["cores"].level is Level.OK
        assert report["memory"].details["total_bytes"]
