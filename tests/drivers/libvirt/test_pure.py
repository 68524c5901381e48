"""Tables and decisions that need no libvirt connection."""

from __future__ import annotations

import errno
import itertools
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import ClassVar

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkit.errors import Busy, CloudError, InvalidRequest, NotFound, QuotaExceeded, Unavailable
from cloudkit.host.kvm import KvmFacts
from cloudkit.types import Kind, ServerStatus
from cloudkit_libvirt import addresses, domain_xml, firmware, network_xml, samples
from cloudkit_libvirt.bodies import Phase, SubnetBody
from cloudkit_libvirt.errors import translate
from cloudkit_libvirt.events import Changes
from cloudkit_libvirt.host_routes import parse_routes
from cloudkit_libvirt.status import STATES, DomainState, status_of
from cloudkit_libvirt.virt_type import choose
from cloudkit_libvirt.xml_tree import parse, to_text

NETWORK_ID = "0f0f0f0f-aaaa-4bbb-8ccc-ffffffffffff"


def subnet(cidr: str = "10.0.0.0/24", bridge: str = "10.0.0.1", **fields: object) -> SubnetBody:
    network = IPv4Network(cidr)
    pools = addresses.default_pools(network, network.network_address + 1)
    values = {
        "phase": Phase.READY,
        "project_id": "p",
        "name": "s",
        "created_at": "2026-01-01T00:00:00+00:00",
        "network_id": NETWORK_ID,
        "cidr": cidr,
        "bridge_ip": bridge,
        "gateway_ip": bridge,
        "pools": pools,
    }
    return SubnetBody(**{**values, **fields})  # type: ignore[arg-type]


class TestStatus:
    def test_every_state_of_libvirt_maps(self) -> None:
        prefixes = ("RUNNING", "PAUSED", "SHUTDOWN", "SHUTOFF", "CRASHED", "BLOCKED", "NOSTATE", "PMSUSPENDED")
        known = {getattr(libvirt, f"VIR_DOMAIN_{name}") for name in prefixes}
        # libvirt numbers its states without gaps: a new one would be the next number.
        assert known == set(range(max(known) + 1))
        assert set(STATES) == known
        assert getattr(libvirt, "VIR_DOMAIN_LAST", len(known)) == len(known)

    def test_no_two_ways_of_not_running_are_the_same(self) -> None:
        states = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED,
                  libvirt.VIR_DOMAIN_PMSUSPENDED, libvirt.VIR_DOMAIN_RUNNING)  # fmt: skip
        assert len({STATES[state][0] for state in states}) == len(states)

    def test_native_words_tell_all_states_apart(self) -> None:
        assert len({native for _, native in STATES.values()}) == len(STATES)

    @pytest.mark.parametrize(
        ("state", "status"),
        [
            (DomainState(libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN), ServerStatus.SHUTOFF),
            (DomainState(libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SAVED, True), ServerStatus.SUSPENDED),
            (DomainState(libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER), ServerStatus.PAUSED),
            (DomainState(libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR), ServerStatus.ERROR),
            (DomainState(libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED), ServerStatus.ERROR),
            (DomainState(libvirt.VIR_DOMAIN_CRASHED), ServerStatus.ERROR),
            (DomainState(99), ServerStatus.UNKNOWN),
        ],
    )
    def test_reasons(self, state: DomainState, status: ServerStatus) -> None:
        actual, native, fault = status_of(state)
        assert actual is status
        assert native
        assert bool(fault) == (status is ServerStatus.ERROR)


class TestVirtType:
    WITHOUT, OFFERS = "<capabilities/>", "<capabilities><guest><domain type='kvm'/></guest></capabilities>"
    GOOD = KvmFacts("x86_64", frozenset({"vmx"}), frozenset({"kvm_intel"}), None, 12)

    def facts(self, monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
        """What is read of this host."""
        facts = replace(self.GOOD, **changes)  # type: ignore[arg-type]
        monkeypatch.setattr(KvmFacts, "read", lambda _tree: facts)

    def test_choice(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("INFO", "cloudkit.libvirt"):
            assert choose("auto", self.WITHOUT, local=True) == "qemu"
            assert choose("auto", self.OFFERS, local=False) == "kvm"
        assert ["emulation" in record.getMessage() for record in caplog.records] == [True, False]
        assert choose("qemu", self.OFFERS, local=True) == "qemu"
        assert choose("kvm", self.WITHOUT, local=True) == "kvm"

    def test_a_local_host_is_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.facts(monkeypatch)
        assert choose("auto", self.OFFERS, local=True) == "kvm"
        self.facts(monkeypatch, cpu_flags=frozenset({"hypervisor"}))
        assert choose("auto", self.OFFERS, local=True) == "qemu"

    def test_a_device_forbidden_to_this_user_says_nothing_of_the_systems_qemu(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.facts(monkeypatch, device_problem=errno.EACCES)
        assert choose("auto", self.OFFERS, local=True) == "kvm"
        assert choose("auto", self.OFFERS, local=True, own_user=True) == "qemu"
        self.facts(monkeypatch, device_problem=errno.ENOENT)
        assert choose("auto", self.OFFERS, local=True) == "qemu"


class TestAddresses:
    def test_pools_leave_out_the_hosts_own_address(self) -> None:
        network = IPv4Network("10.0.0.0/29")
        middle = addresses.default_pools(network, network.network_address + 3)
        assert middle == (("10.0.0.1", "10.0.0.2"), ("10.0.0.4", "10.0.0.6"))
        assert addresses.default_pools(network, network.network_address + 1) == (("10.0.0.2", "10.0.0.6"),)
        assert addresses.default_pools(network, network.network_address + 6) == (("10.0.0.1", "10.0.0.5"),)

    def test_next_free(self) -> None:
        small = subnet("10.0.0.0/30")
        assert addresses.next_free(small, set()) == "10.0.0.2"
        assert addresses.next_free(small, {"10.0.0.2"}) is None

    @given(st.uuids(), st.integers(8, 30), st.data())
    def test_macs_are_unicast_and_different(self, network_id: object, prefix: int, data: st.DataObject) -> None:
        body = subnet(f"10.0.0.0/{prefix}", network_id=str(network_id))
        hosts = 2 ** (32 - prefix) - 2
        offsets = data.draw(st.sets(st.integers(1, hosts), max_size=20))
        network = IPv4Network(body.cidr)
        macs = [addresses.mac_of(body, str(network[offset])) for offset in offsets]
        assert len(set(macs)) == len(offsets)
        assert all(mac.startswith("52:54:00:") and len(mac) == 17 for mac in macs)

    def test_a_wide_subnet_is_prepared_in_part(self) -> None:
        body = subnet("10.0.0.0/8")
        assert len(addresses.prepared(body)) == addresses.PREPARED
        assert addresses.prepared(subnet(dhcp=False)) == {}

    @pytest.mark.parametrize("cidr", ["10.0.0.1/24", "nonsense", "10.0.0.0/31", "0.0.0.0/0", "fd00::/64"])
    def test_bad_cidr(self, cidr: str) -> None:
        with pytest.raises(InvalidRequest):
            addresses.parse_cidr(cidr)

    @pytest.mark.parametrize(
        "pools",
        [
            (("10.0.0.9", "10.0.0.3"),),
            (("10.0.0.3", "10.0.1.9"),),
            (("10.0.0.1", "10.0.0.9"),),
            (("10.0.0.3", "10.0.0.9"), ("10.0.0.9", "10.0.0.12")),
            (("10.0.0.3", "x"),),
            (("10.0.0.0", "10.0.0.9"),),
        ],
    )
    def test_bad_pools(self, pools: tuple[tuple[str, str], ...]) -> None:
        network = IPv4Network("10.0.0.0/24")
        with pytest.raises(InvalidRequest):
            addresses.check_pools(pools, network, network.network_address + 1)


def domain_spec(**fields: object) -> domain_xml.DomainSpec:
    values = {"id": NETWORK_ID, "project_id": "p", "title": "t", "type": "qemu", "arch": "x86_64", "vcpus": 1,
              "ram_mib": 128, "root": domain_xml.overlay_disk("/d", domain_xml.image_backing("/i", "raw")),
              "seed_path": "/s", "console_path": "/c",
              "nics": (domain_xml.Nic(mac="52:54:00:00:00:01", network="n"),)}  # fmt: skip
    return domain_xml.DomainSpec(**{**values, **fields})  # type: ignore[arg-type]


class TestXml:
    def test_bridge_names_fit_the_kernel(self) -> None:
        assert network_xml.bridge_name(NETWORK_ID) == "ck0f0f0f0faa"
        assert len(network_xml.bridge_name(NETWORK_ID)) <= 15

    def test_network(self) -> None:
        element = parse(to_text(network_xml.network([subnet(dns=("8.8.8.8", "1.1.1.1"))], 1400, {})))
        hosts = element.findall("ip/dhcp/host")
        assert len(hosts) == 253
        assert hosts[0].attrib["ip"] == "10.0.0.2"
        assert element.find("ip/dhcp/range") is None
        assert element.find("mtu").get("size") == "1400"  # type: ignore[union-attr]
        assert "dhcp-option=option:dns-server,8.8.8.8,1.1.1.1" in to_text(element)

    def test_a_network_of_several_subnets(self) -> None:
        second = replace(
            subnet(dns=("9.9.9.9",)),
            cidr="10.8.0.0/24",
            bridge_ip="10.8.0.1",
            gateway_ip="10.8.0.1",
            pools=(("10.8.0.2", "10.8.0.3"),),
            mac_offset=256,
            host_routes=(("192.0.2.0/24", "10.8.0.9"),),
        )
        six = replace(
            subnet(),
            cidr="fd00:1::/64",
            bridge_ip="fd00:1::1",
            gateway_ip=None,
            pools=(("fd00:1::2", "fd00:1::ff"),),
            ipv6_mode="slaac",
        )
        element = parse(
            to_text(network_xml.network([six, subnet(), second], None, {"10.0.0.9": "02:00:00:00:00:09"}))
        )
        assert [ip.get("address") for ip in element.findall("ip")] == ["10.0.0.1", "10.8.0.1", "fd00:1::1"]
        hosts = {host.get("ip"): host.get("mac") for host in element.findall("ip[1]/dhcp/host")}
        assert (hosts["10.0.0.9"], len(set(hosts.values()))) == ("02:00:00:00:00:09", len(hosts))
        assert {"10.0.0.2", "10.8.0.2", "10.8.0.3"} <= hosts.keys()
        options = [each.get("value") for each in element.iter() if each.tag.endswith("option")]
        assert options == [
            "dhcp-range=set:s0,10.8.0.0,static,255.255.255.0",
            "dhcp-option=tag:s0,option:dns-server,9.9.9.9",
            "dhcp-option=tag:s0,option:router,10.8.0.1",
            "dhcp-option=tag:s0,option:classless-static-route,192.0.2.0/24,10.8.0.9,0.0.0.0/0,10.8.0.1",
            f"ra-param={network_xml.bridge_name(NETWORK_ID)},0,0",
        ]

    def test_no_gateway_tells_dhcp_so(self) -> None:
        assert "dhcp-option=option:router" in to_text(network_xml.network([subnet(gateway_ip=None)], None, {}))

    def test_a_domain_boots_by_bios_unless_told_otherwise(self) -> None:
        bios, uefi = (parse(to_text(domain_xml.domain(domain_spec(uefi=uefi)))) for uefi in (False, True))
        assert (firmware.of(bios), firmware.of(uefi)) == ("bios", "uefi")
        assert bios.find("os/firmware") is None
        (feature,) = uefi.findall("os/firmware/feature")
        assert feature.attrib == {"enabled": "no", "name": "secure-boot"}
        assert uefi.findtext("os/type") == "hvm"

    @given(st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cn", "Co")), max_size=40))
    def test_titles_cannot_break_out(self, title: str) -> None:
        element = parse(to_text(domain_xml.domain(domain_spec(title=title))))
        assert (element.findtext("title") or "") == title
        assert len(element.findall("devices/disk")) == 2

    @pytest.mark.parametrize(("type", "mode"), [("kvm", "host-passthrough"), ("qemu", "maximum"), ("test", None)])
    def test_the_processor_is_the_best_that_there_is(self, type: str, mode: str | None) -> None:
        element = domain_xml.domain(domain_spec(type=type))
        assert [cpu.get("mode") for cpu in element.findall("cpu")] == ([mode] if mode else [])

    def test_formats_are_stated_and_chains_end(self) -> None:
        disk = domain_xml.volume_disk(NETWORK_ID, "/v", "vdb")
        assert disk.find("driver").get("type") == "qcow2"  # type: ignore[union-attr]
        assert list(disk.find("backingStore") or []) == []
        assert disk.find("backingStore") is not None
        assert disk.findtext("serial") == NETWORK_ID[:20]
        assert disk.find("alias").get("name") == f"ua-{NETWORK_ID}"  # type: ignore[union-attr]


class TestErrors:
    @staticmethod
    def error(code: int, text: str, domain: int = libvirt.VIR_FROM_QEMU) -> libvirt.libvirtError:
        error = libvirt.libvirtError(text)
        error.err = (code, domain, text, 2, text, None, None, -1, -1)
        return error

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (42, "NotFound"), (43, "NotFound"), (49, "NotFound"), (50, "NotFound"), (9, "CloudError"),
            (90, "AlreadyExists"), (55, "InvalidState"), (3, "Unsupported"), (84, "Unsupported"),
            (91, "Unsupported"), (38, "CloudError"), (1, "CloudError"), (88, "PermissionDenied"),
            (45, "Unauthenticated"),
        ],
    )  # fmt: skip
    def test_codes(self, code: int, kind: str) -> None:
        translated = translate(self.error(code, "its own words"), lambda: None)
        assert type(translated).__name__ == kind
        assert translated.fault == "its own words"

    def test_unreachable(self) -> None:
        translated = translate(self.error(38, "Failed to connect socket", libvirt.VIR_FROM_RPC), lambda: None)
        assert isinstance(translated, Unavailable)
        assert "libvirtd" in translated.hint

    def test_full_pool_says_how_much_is_free(self) -> None:
        full = "No space left on device"
        for error in (OSError(28, full), self.error(38, f"cannot write: {full}")):
            translated = translate(error, lambda: 5 << 20)
            assert isinstance(translated, QuotaExceeded)
            assert "5 MiB" in translated.hint

    def test_a_qemu_that_ends_at_its_start_is_told_with_the_way_round_kvm(self) -> None:
        text = "internal error: process exited while connecting to monitor: error: failed to set MSR 0x10a"
        translated = translate(self.error(1, text), lambda: None)
        assert translated.fault == text
        assert "virt_type=qemu" in translated.hint

    @pytest.mark.parametrize(
        ("code", "text"),
        [
            (5, "no connection driver available for xen:///system"),
            (67, "unsupported configuration: libvirt was built without the 'hyperv' driver"),
        ],
    )
    def test_a_hypervisor_that_this_libvirt_does_not_know(self, code: int, text: str) -> None:
        translated = translate(self.error(code, text), lambda: None)
        assert type(translated).__name__ == "Unsupported"
        assert translated.fault == text
        assert "qemu:///system" in translated.hint

    def test_a_way_that_is_for_reading_only(self) -> None:
        text = "operation forbidden: read only access prevents virStorageVolDownload"
        translated = translate(self.error(29, text), lambda: None)
        assert type(translated).__name__ == "PermissionDenied"
        assert "read_only=true" in translated.hint

    def test_a_home_that_is_too_long_is_told_with_the_way_out(self) -> None:
        text = "internal error: UNIX socket path '/home/a/org.qemu.guest_agent.0' too long"
        translated = translate(self.error(1, text), lambda: None)
        assert translated.fault == text
        assert "XDG_CONFIG_HOME" in translated.hint

    def test_a_volume_in_the_making_is_worth_another_try(self) -> None:
        translated = translate(self.error(55, "volume 'x' is still being allocated."), lambda: None)
        assert isinstance(translated, Busy)
        assert translated.retryable

    def test_a_disk_that_is_being_copied_is_worth_another_try(self) -> None:
        text = """internal error: process exited while connecting to monitor: Failed to get "write" lock
            Is another process using the image [/pool/ck-1.volume]?"""
        translated = translate(self.error(1, text), lambda: None)
        assert isinstance(translated, Busy)
        assert translated.retryable

    def test_a_cloud_error_stays(self) -> None:
        error = NotFound("x")
        assert translate(error, lambda: None) is error

    def test_anything_else_is_still_a_cloud_error(self) -> None:
        assert type(translate(ValueError("v"), lambda: None)) is CloudError


class TestChanges:
    def test_a_change_before_the_wait_ends_it(self) -> None:
        changes = Changes()
        changes.note([Kind.SERVER])
        start = time.monotonic()
        changes.wait(Kind.SERVER, 30)
        assert time.monotonic() - start < 10

    def test_a_change_during_the_wait_ends_it(self) -> None:
        changes, ended = Changes(), threading.Event()

        def wait() -> None:
            changes.wait(Kind.VOLUME, 30)
            ended.set()

        threading.Thread(target=wait, daemon=True).start()
        for _ in itertools.count():
            changes.note([Kind.VOLUME])
            if ended.wait(0.01):
                break

    def test_another_kinds_change_does_not(self) -> None:
        changes = Changes()
        changes.note([Kind.SERVER])
        start = time.monotonic()
        changes.wait(Kind.VOLUME, 0.05)
        assert time.monotonic() - start >= 0.05

    def test_each_change_is_seen_once_by_each_thread(self) -> None:
        changes = Changes()
        changes.note([Kind.SERVER])
        changes.wait(Kind.SERVER, 30)
        start = time.monotonic()
        changes.wait(Kind.SERVER, 0.05)
        assert time.monotonic() - start >= 0.05


def test_routes() -> None:
    table = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    assert list(parse_routes(table)) == [("eth0", IPv4Network("172.17.0.0/16"))]


class TestSamples:
    STATS: ClassVar[dict[str, object]] = {
        "cpu.time": 5_000, "balloon.available": 100 << 10, "balloon.unused": 60 << 10, "block.count": 3,
        "block.0.name": "vda", "block.0.path": "/disk", "block.0.rd.bytes": 1, "block.0.rd.reqs": 2,
        "block.0.wr.bytes": 3, "block.0.wr.reqs": 4, "block.1.name": "sda", "block.1.path": "/seed",
        "block.1.rd.bytes": 9, "block.2.name": "vdb", "net.count": 1, "net.0.name": "vnet0",
        "net.0.rx.bytes": 5, "net.0.rx.pkts": 6, "net.0.tx.bytes": 7, "net.0.tx.pkts": 8,
    }  # fmt: skip

    def test_all(self) -> None:
        found = list(samples.usage_samples("id", self.STATS, ("tap0",), "/seed", datetime.now(UTC)))
        assert {(each.name, each.resource_id): each.volume for each in found} == {
            ("cpu", "id"): 5000, ("memory.usage", "id"): 40, ("disk.device.read.bytes", "id-vda"): 1,
            ("disk.device.read.requests", "id-vda"): 2, ("disk.device.write.bytes", "id-vda"): 3,
            ("disk.device.write.requests", "id-vda"): 4, ("network.incoming.bytes", "id-tap0"): 5,
            ("network.incoming.packets", "id-tap0"): 6, ("network.outgoing.bytes", "id-tap0"): 7,
            ("network.outgoing.packets", "id-tap0"): 8,
        }  # fmt: skip

    def test_what_libvirt_does_not_tell_is_left_out(self) -> None:
        assert list(samples.usage_samples("id", {}, ("tap0",), "/seed", datetime.now(UTC))) == []
