"""The driver on libvirt's test hypervisor: records, life cycle, addresses, refusals, nothing left."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import libvirt
import pytest
from specs import (
    flavor_spec,
    key_pair_spec,
    make_network,
    make_server,
    network_spec,
    open_test_driver,
    port_spec,
    preset_image,
    server_spec,
    subnet_spec,
    volume_spec,
)

from cloudkit.driver import EVERYTHING, GROUPS, Query, check_declaration
from cloudkit.errors import (
    AlreadyExists,
    Closed,
    CloudError,
    Conflict,
    InUse,
    InvalidRequest,
    InvalidState,
    NotFound,
    Unavailable,
    Unsupported,
)
from cloudkit.types import (
    FixedIpSpec,
    FrozenMap,
    Kind,
    NetworkStatus,
    Nic,
    ServerStatus,
    SnapshotSpec,
    VolumeStatus,
)
from cloudkit_libvirt.blobs import BlobExists, MemoryBlobs
from cloudkit_libvirt.bodies import Plug, PlugPhase, ServerBody, VolumeBody
from cloudkit_libvirt.plugging import PluggableVolumes
from cloudkit_libvirt.pool import Pool
from cloudkit_libvirt.xml_tree import parse

Left = Callable[[], list[str]]


def has_saved_memory(driver: Any, server_id: str) -> bool:
    return bool(driver.native.lookupByUUIDString(server_id).hasManagedSaveImage())


def test_declaration(driver: Any) -> None:
    check_declaration(driver)
    # What needs a guest with real disks is not claimed.
    assert not driver.capabilities & {
        "images.create", "volumes.attach", "servers.console_log", "servers.ssh", "servers.create_image"
    }  # fmt: skip
    assert driver.capabilities <= {*GROUPS, *driver.capabilities}


def test_importing_the_plugin_loads_no_libvirt() -> None:
    code = "import sys, cloudkit_libvirt; sys.exit('libvirt' in sys.modules or 'pycdlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestServers:
    def test_life_cycle(self, driver: Any, left: Left) -> None:
        servers = driver.compute.servers
        network, _ = make_network(driver)
        driver.compute.key_pairs.create(key_pair_spec())
        server = make_server(
            driver, Nic(network_id=network.id), key_pair="me", metadata=FrozenMap({"a": "b"}), tags=("t",),
            description="d <&> é", user_data=b"\0\xff",
        )  # fmt: skip
        assert server.status is ServerStatus.ACTIVE
        assert server == servers.get(server.id)
        assert list(servers.list(EVERYTHING)) == [server]
        assert (server.metadata, server.tags, server.description) == (FrozenMap({"a": "b"}), ("t",), "d <&> é")
        assert server.mark is not None
        assert server.mark.scope == "ci/1/me/never"
        assert server.host_key is not None
        assert server.host_key.startswith("ssh-ed25519 SHA256:")

        servers.stop(server.id, hard=False)
        assert servers.get(server.id).status is ServerStatus.SHUTOFF
        servers.start(server.id)
        servers.pause(server.id)
        assert servers.get(server.id).status is ServerStatus.PAUSED
        servers.unpause(server.id)
        servers.suspend(server.id)
        assert servers.get(server.id).status is ServerStatus.SUSPENDED
        servers.resume(server.id)
        for hard in (False, True):
            servers.reboot(server.id, hard=hard)
            assert servers.get(server.id).status is ServerStatus.ACTIVE
        servers.stop(server.id, hard=True)
        servers.reboot(server.id, hard=True)
        assert servers.get(server.id).status is ServerStatus.ACTIVE
        servers.suspend(server.id)
        with pytest.raises(InvalidState):
            servers.start(server.id)
        memory_was_used: list[bool] = []
        create = libvirt.virDomain.create

        def noting(domain: Any) -> Any:
            memory_was_used.append(has_saved_memory(driver, server.id))
            return create(domain)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(libvirt.virDomain, "create", noting)
            servers.reboot(server.id, hard=True)
        assert servers.get(server.id).status is ServerStatus.ACTIVE
        assert memory_was_used == [False]

        servers.delete(server.id)
        with pytest.raises(NotFound):
            servers.get(server.id)
        with pytest.raises(NotFound):
            servers.delete(server.id)
        driver.compute.key_pairs.delete("me")
        driver.network.networks.delete(network.id)
        driver.compute.flavors.delete(server.flavor_id)
        assert left() == []

    def test_the_host_key_stays_on_the_seed_until_the_guest_has_shut_down_by_itself(self, driver: Any) -> None:
        servers, server = driver.compute.servers, make_server(driver)

        def is_on_the_seed() -> bool:
            (record,) = driver._context.records.view().all(ServerBody)
            return record.body.secret_extent is not None

        servers.stop(server.id, hard=True)
        servers.start(server.id)
        assert is_on_the_seed()
        servers.stop(server.id, hard=False)
        assert is_on_the_seed()
        servers.start(server.id)
        assert not is_on_the_seed()
        servers.delete(server.id)

    def test_a_libvirt_that_ends_the_guest_and_says_that_there_was_none_has_stopped_it(
        self, driver: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As one does that was started again a moment ago, and takes its guests over still."""
        server = make_server(driver)
        destroy = libvirt.virDomain.destroy

        def spurious(domain: Any) -> Any:
            destroy(domain)
            return destroy(domain)

        monkeypatch.setattr(libvirt.virDomain, "destroy", spurious)
        driver.compute.servers.stop(server.id, hard=True)
        assert driver.compute.servers.get(server.id).status is ServerStatus.SHUTOFF
        driver.compute.servers.delete(server.id)

    @pytest.mark.parametrize(
        ("verb", "arguments"),
        [("start", ()), ("resume", ()), ("unpause", ())],
    )
    def test_verbs_that_do_not_fit_an_active_server(self, driver: Any, verb: str, arguments: tuple[Any, ...]) -> None:
        server = make_server(driver)
        with pytest.raises(InvalidState, match="ACTIVE"):
            getattr(driver.compute.servers, verb)(server.id, *arguments)
        driver.compute.servers.delete(server.id)

    @pytest.mark.parametrize(
        ("verb", "arguments"),
        [("stop", (False,)), ("stop", (True,)), ("reboot", (False,)), ("pause", ()), ("suspend", ()), ("resume", ())],
    )
    def test_verbs_that_do_not_fit_a_stopped_server(self, driver: Any, verb: str, arguments: tuple[Any, ...]) -> None:
        server = make_server(driver)
        driver.compute.servers.stop(server.id, hard=True)
        with pytest.raises(InvalidState, match="SHUTOFF"):
            getattr(driver.compute.servers, verb)(server.id, *arguments)
        driver.compute.servers.delete(server.id)

    @pytest.mark.parametrize("verb", ["get", "delete", "start", "pause"])
    def test_unknown(self, driver: Any, verb: str) -> None:
        with pytest.raises(NotFound):
            getattr(driver.compute.servers, verb)("no-such-id")

    def test_refused_requests_leave_nothing(self, driver: Any, left: Left) -> None:
        servers = driver.compute.servers
        flavor = driver.compute.flavors.create(flavor_spec())
        large = driver.compute.flavors.create(flavor_spec("no-disk", disk_gib=0))
        bare = driver.network.networks.create(network_spec("bare"))
        before = left()
        for error, spec in (
            (NotFound, server_spec(driver, flavor, image_id="nope")),
            (NotFound, server_spec(driver, flavor, flavor_id="nope")),
            (NotFound, server_spec(driver, flavor, key_pair="nope")),
            (NotFound, server_spec(driver, flavor, Nic(network_id="nope"))),
            (NotFound, server_spec(driver, flavor, Nic(port_id="nope"))),
            (InvalidRequest, server_spec(driver, flavor, Nic(network_id=bare.id))),
            (InvalidRequest, server_spec(driver, flavor, image_id=None)),
            (InvalidRequest, server_spec(driver, flavor, native={"domian": print})),
            (InvalidRequest, server_spec(driver, flavor, native={"domain": "text"})),
        ):
            with pytest.raises(error):
                servers.create(spec)
            assert left() == before
        server = servers.create(server_spec(driver, large))
        servers.delete(server.id)

    def test_native_alters_the_domain(self, driver: Any) -> None:
        def add_title(domain: Any) -> None:
            domain.find("title").text = "altered"

        server = make_server(driver, native={"domain": add_title})
        assert "<title>altered</title>" in driver.raw(Kind.SERVER, server.id)
        driver.compute.servers.delete(server.id)

    def test_what_native_breaks_is_taken_back(self, driver: Any, left: Left) -> None:
        driver.compute.flavors.create(flavor_spec())
        network, _ = make_network(driver)
        before = left()

        def break_it(domain: Any) -> None:
            domain.find("memory").text = "much"

        with pytest.raises(Exception) as raised:  # noqa: PT011
            make_server(driver, Nic(network_id=network.id), native={"domain": break_it})
        assert isinstance(driver.translate(raised.value), InvalidRequest)
        assert left() == before

    def test_a_domain_that_is_not_ours_is_never_seen(self, driver: Any) -> None:
        assert [domain.name() for domain in driver.native.listAllDomains()] == ["test"]
        assert list(driver.compute.servers.list(EVERYTHING)) == []

    def test_a_server_whose_domain_is_gone_is_an_error(self, driver: Any) -> None:
        server = make_server(driver)
        domain = driver.native.lookupByUUIDString(server.id)
        domain.destroy()
        domain.undefine()
        seen = driver.compute.servers.get(server.id)
        assert seen.status is ServerStatus.ERROR
        assert "missing" in seen.fault.message
        with pytest.raises(InvalidState):
            driver.compute.servers.start(server.id)
        driver.compute.servers.delete(server.id)

    def test_no_host_key(self, driver: Any) -> None:
        server = make_server(driver, inject_host_key=False)
        assert server.host_key is None
        driver.compute.servers.delete(server.id)


def test_all_can_be_deleted_where_the_pool_is_full(driver: Any, left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    network, _ = make_network(driver)
    port = driver.network.ports.create(port_spec(network.id))
    driver.compute.key_pairs.create(key_pair_spec())
    volume = driver.volume.volumes.create(volume_spec())
    snapshot = driver.volume.snapshots.create(SnapshotSpec(name="s", mark=volume.mark, volume_id=volume.id))
    server = make_server(driver, Nic(network_id=network.id))

    def no_room(store: MemoryBlobs, name: str, _data: bytes, _quiet: bool) -> None:
        if name in store.names():
            raise BlobExists(name)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(MemoryBlobs, "create", no_room)
    driver.compute.servers.delete(server.id)
    driver.compute.flavors.delete(server.flavor_id)
    driver.compute.key_pairs.delete("me")
    driver.volume.snapshots.delete(snapshot.id)
    driver.volume.volumes.delete(volume.id)
    driver.network.ports.delete(port.id)
    driver.network.networks.delete(network.id)
    assert left() == []


class TestProjects:
    def test_each_sees_its_own_and_what_is_public(self, driver: Any) -> None:
        other = driver.for_project("other")
        network, subnet = make_network(driver)
        flavor = driver.compute.flavors.create(flavor_spec())
        server = make_server(driver, Nic(network_id=network.id))
        for mine, kind in ((driver.compute.servers, "servers"), (driver.network.networks, "networks"),
                           (driver.network.subnets, "subnets"), (driver.network.ports, "ports")):  # fmt: skip
            group = other.compute if kind == "servers" else other.network
            theirs = getattr(group, kind)
            assert list(theirs.list(EVERYTHING)) == []
            (thing,) = mine.list(EVERYTHING)
            assert [value.id for value in theirs.list(Query(all_projects=True))] == [thing.id]
            for verb in (theirs.get, theirs.delete):
                with pytest.raises(NotFound):
                    verb(thing.id)
        assert other.compute.flavors.get(flavor.id) == flavor
        assert preset_image(other) == preset_image(driver)
        assert other.limits()["servers"].in_use == 0
        assert driver.limits()["servers"].in_use == 1
        assert driver.limits()["ram_mib"].in_use == 128
        with pytest.raises(NotFound):
            other.compute.servers.create(server_spec(other, flavor, Nic(network_id=network.id)))
        driver.compute.servers.delete(server.id)
        driver.network.subnets.delete(subnet.id)

    def test_key_pairs_of_the_same_name(self, driver: Any) -> None:
        other = driver.for_project("other")
        for each in (driver, other):
            each.compute.key_pairs.create(key_pair_spec())
        driver.compute.key_pairs.delete("me")
        assert other.compute.key_pairs.get("me").project_id == "other"
        with pytest.raises(NotFound):
            driver.compute.key_pairs.get("me")


class TestUniqueNames:
    def test_key_pair(self, driver: Any, left: Left) -> None:
        pair = driver.compute.key_pairs.create(key_pair_spec())
        assert pair.id == pair.name == "me"
        before = left()
        with pytest.raises(AlreadyExists):
            driver.compute.key_pairs.create(key_pair_spec())
        assert left() == before
        driver.compute.key_pairs.delete("me")
        driver.compute.key_pairs.create(key_pair_spec())

    def test_flavor(self, driver: Any, left: Left) -> None:
        flavor = driver.compute.flavors.create(flavor_spec())
        before = left()
        with pytest.raises(AlreadyExists):
            driver.compute.flavors.create(flavor_spec())
        assert left() == before
        driver.compute.flavors.delete(flavor.id)
        driver.compute.flavors.create(flavor_spec())


class TestNetworks:
    def test_a_network_is_in_libvirt_from_its_subnet_on(self, driver: Any, left: Left) -> None:
        network = driver.network.networks.create(network_spec(mtu=1400, tags=("x",)))
        assert (network.mtu, network.tags, network.subnet_ids) == (1400, ("x",), ())
        assert not any(name.startswith("ck-") for name in left())
        subnet = driver.network.subnets.create(subnet_spec(network.id, dns=("8.8.8.8",)))
        assert (subnet.gateway_ip, subnet.dns) == ("172.16.1.1", ("8.8.8.8",))
        assert driver.network.networks.get(network.id).subnet_ids == (subnet.id,)
        libvirts = driver.native.networkLookupByName(f"ck-{network.id}")
        assert (libvirts.isActive(), libvirts.autostart()) == (1, 1)
        driver.network.subnets.delete(subnet.id)
        driver.network.networks.delete(network.id)
        assert left() == []

    @pytest.mark.parametrize("cidr", ["172.16.1.0/24", "172.16.0.0/16", "172.16.1.128/25", "192.168.122.0/28"])
    def test_overlap_is_a_conflict(self, driver: Any, left: Left, cidr: str) -> None:
        make_network(driver)
        second = driver.network.networks.create(network_spec("second"))
        before = left()
        with pytest.raises(Conflict, match="overlaps"):
            driver.network.subnets.create(subnet_spec(second.id, cidr))
        assert left() == before

    @pytest.mark.parametrize(
        ("fields", "error"),
        [
            ({"cidr": "fd00::/64", "ip_version": 6}, Unsupported),
            ({"cidr": "10.0.0.7/24"}, InvalidRequest),
            ({"gateway_ip": "10.9.9.9"}, InvalidRequest),
            ({"gateway_ip": "172.16.1.255"}, InvalidRequest),
            ({"allocation_pools": (("172.16.1.9", "172.16.1.3"),)}, InvalidRequest),
            ({"network_id": "nope"}, NotFound),
        ],
    )
    def test_bad_subnets_leave_nothing(
        self, driver: Any, left: Left, fields: dict[str, Any], error: type[CloudError]
    ) -> None:
        network = driver.network.networks.create(network_spec())
        before = left()
        with pytest.raises(error):
            driver.network.subnets.create(subnet_spec(**{"network_id": network.id, **fields}))
        assert left() == before

    def test_a_second_subnet_that_overlaps_is_a_conflict_first(self, driver: Any, left: Left) -> None:
        network, _ = make_network(driver)
        before = left()
        with pytest.raises(Conflict, match="overlaps"):
            driver.network.subnets.create(subnet_spec(network.id, "172.16.1.0/25"))
        assert left() == before
        assert driver.native.networkLookupByName(f"ck-{network.id}").isActive()

    def test_a_second_subnet_is_refused_where_servers_would_lose_the_network(self, driver: Any, left: Left) -> None:
        network, subnet = make_network(driver)
        server = make_server(driver, Nic(network_id=network.id))
        before = left()
        with pytest.raises(InUse, match="servers are on the network"):
            driver.network.subnets.create(subnet_spec(network.id, "10.77.0.0/24"))
        assert left() == before
        assert driver.native.networkLookupByName(f"ck-{network.id}").isActive()
        assert [item.id for item in driver.network.subnets.list(EVERYTHING)] == [subnet.id]
        driver.compute.servers.delete(server.id)
        driver.network.subnets.create(subnet_spec(network.id, "10.77.0.0/24"))

    def test_reservations_outlive_a_second_subnet(self, driver: Any) -> None:
        network, _ = make_network(driver)
        mac = "02:00:00:00:00:01"
        port = driver.network.ports.create(port_spec(network.id, mac=mac))
        driver.network.subnets.create(subnet_spec(network.id, "10.77.0.0/24"))
        xml = driver.native.networkLookupByName(f"ck-{network.id}").XMLDesc()
        assert [host.get("ip") for host in parse(xml).iter("host") if host.get("mac") == mac] == [
            port.fixed_ips[0].ip
        ]

    def test_delete_is_refused_while_ports_use_it(self, driver: Any) -> None:
        network, subnet = make_network(driver)
        port = driver.network.ports.create(port_spec(network.id))
        for verb, id in ((driver.network.subnets.delete, subnet.id), (driver.network.networks.delete, network.id)):
            with pytest.raises(InUse):
                verb(id)
        assert driver.network.networks.get(network.id).status is NetworkStatus.ACTIVE
        driver.network.ports.delete(port.id)
        driver.network.networks.delete(network.id)
        assert list(driver.network.subnets.list(EVERYTHING)) == []


class TestPorts:
    def test_addresses_are_known_and_different(self, driver: Any) -> None:
        network, subnet = make_network(driver, allocation_pools=(("172.16.1.10", "172.16.1.12"),))
        ports = [driver.network.ports.create(port_spec(network.id)) for _ in range(3)]
        assert [port.fixed_ips[0].ip for port in ports] == ["172.16.1.10", "172.16.1.11", "172.16.1.12"]
        assert {port.fixed_ips[0].subnet_id for port in ports} == {subnet.id}
        assert len({port.mac for port in ports}) == 3
        with pytest.raises(Conflict, match="no free address"):
            driver.network.ports.create(port_spec(network.id))
        driver.network.ports.delete(ports[1].id)
        assert driver.network.ports.create(port_spec(network.id)).fixed_ips[0].ip == "172.16.1.11"

    def test_many_at_the_same_time(self, driver: Any) -> None:
        network, _ = make_network(driver)
        errors: list[Exception] = []

        def make() -> None:
            try:
                for _ in range(4):
                    driver.network.ports.create(port_spec(network.id))
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=make) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        ports = list(driver.network.ports.list(EVERYTHING))
        assert len({port.fixed_ips[0].ip for port in ports}) == len(ports) == 20

    def test_a_given_address(self, driver: Any) -> None:
        network, subnet = make_network(driver)
        wanted = FixedIpSpec(ip="172.16.1.200", subnet_id=subnet.id)
        port = driver.network.ports.create(port_spec(network.id, fixed_ips=(wanted,)))
        assert port.fixed_ips[0].ip == "172.16.1.200"
        with pytest.raises(Conflict, match="taken"):
            driver.network.ports.create(port_spec(network.id, fixed_ips=(wanted,)))

    @pytest.mark.parametrize("ip", ["172.16.1.1", "172.16.2.7", "172.16.1.0", "172.16.1.255", "x"])
    def test_a_bad_address(self, driver: Any, left: Left, ip: str) -> None:
        network, _ = make_network(driver)
        before = left()
        with pytest.raises((InvalidRequest, Conflict)):
            driver.network.ports.create(port_spec(network.id, fixed_ips=(FixedIpSpec(ip=ip),)))
        assert left() == before

    def test_a_mac_of_its_own_is_registered_and_given_back(self, driver: Any) -> None:
        network, _ = make_network(driver)
        libvirts = driver.native.networkLookupByName(f"ck-{network.id}")
        before = libvirts.XMLDesc()
        port = driver.network.ports.create(port_spec(network.id, mac="02:00:00:AB:cd:01"))
        assert port.mac == "02:00:00:ab:cd:01"
        assert "02:00:00:ab:cd:01" in libvirts.XMLDesc()
        with pytest.raises(Conflict):
            driver.network.ports.create(port_spec(network.id, mac="02:00:00:ab:cd:01"))
        driver.network.ports.delete(port.id)
        assert sorted(libvirts.XMLDesc().splitlines()) == sorted(before.splitlines())

    def test_a_reservation_is_written_for_a_network_that_does_not_run(self, driver: Any) -> None:
        network, _ = make_network(driver)
        libvirts = driver.native.networkLookupByName(f"ck-{network.id}")
        libvirts.destroy()
        port = driver.network.ports.create(port_spec(network.id, mac="02:00:00:00:00:01"))
        assert "02:00:00:00:00:01" in libvirts.XMLDesc()
        driver.network.ports.delete(port.id)
        assert "02:00:00:00:00:01" not in libvirts.XMLDesc()

    @pytest.mark.parametrize("mac", ["01:00:00:00:00:01", "00:00:00:00:00:00", "nonsense", "02:00:00:00:00"])
    def test_a_bad_mac(self, driver: Any, mac: str) -> None:
        network, _ = make_network(driver)
        with pytest.raises(InvalidRequest):
            driver.network.ports.create(port_spec(network.id, mac=mac))

    def test_a_given_port_outlives_its_server(self, driver: Any) -> None:
        network, _ = make_network(driver)
        port = driver.network.ports.create(port_spec(network.id))
        assert port.status is NetworkStatus.DOWN
        server = make_server(driver, Nic(port_id=port.id))
        plugged = driver.network.ports.get(port.id)
        assert (plugged.device_id, plugged.status) == (server.id, NetworkStatus.ACTIVE)
        assert server.addresses[0].ip == port.fixed_ips[0].ip
        with pytest.raises(InUse):
            driver.network.ports.delete(port.id)
        with pytest.raises(InUse):
            make_server(driver, Nic(port_id=port.id))
        assert driver.network.ports.get(port.id).device_id == server.id
        driver.compute.servers.delete(server.id)
        assert driver.network.ports.get(port.id) == driver.network.ports.get(port.id)
        assert driver.network.ports.get(port.id).device_id == ""

    def test_a_wide_subnet_goes_beyond_its_prepared_addresses(self, driver: Any) -> None:
        network, _ = make_network(driver, "10.64.0.0/16")
        port = driver.network.ports.create(port_spec(network.id, fixed_ips=(FixedIpSpec(ip="10.64.200.7"),)))
        assert "10.64.200.7" in driver.raw(Kind.NETWORK, network.id)
        driver.network.ports.delete(port.id)
        assert "10.64.200.7" not in driver.raw(Kind.NETWORK, network.id)


class TestVolumes:
    def test_snapshot_and_volume_from_it(self, driver: Any, left: Left) -> None:
        volumes, snapshots = driver.volume.volumes, driver.volume.snapshots
        volume = volumes.create(volume_spec(metadata=FrozenMap({"a": "b"})))
        assert volume.status is VolumeStatus.AVAILABLE
        assert volume == volumes.get(volume.id)
        snapshot = snapshots.create(
            SnapshotSpec(name="s", mark=volume.mark or key_pair_spec().mark, volume_id=volume.id)
        )
        assert (snapshot.volume_id, snapshot.size_gib) == (volume.id, 1)
        with pytest.raises(InUse, match="snapshot"):
            volumes.delete(volume.id)
        assert volumes.get(volume.id) == replace(volume, updated_at=volumes.get(volume.id).updated_at)
        copy = volumes.create(volume_spec("copy", snapshot_id=snapshot.id, size_gib=2))
        assert (copy.snapshot_id, copy.size_gib) == (snapshot.id, 2)
        with pytest.raises(NotFound):
            volumes.create(volume_spec(snapshot_id="nope"))
        snapshots.delete(snapshot.id)
        for id in (volume.id, copy.id):
            volumes.delete(id)
        assert left() == []

    def test_a_guest_that_let_go_late_has_let_go_everywhere(self, driver: Any) -> None:
        server, volume = make_server(driver), driver.volume.volumes.create(volume_spec())

        def plug_in(phase: PlugPhase) -> None:
            plug = Plug(phase=phase, server_id=server.id, device="vdb", since="2026-01-01T00:00:00+00:00")
            driver._context.records.change(VolumeBody, volume.id, lambda body: replace(body, plug=plug))

        def take_snapshot() -> Any:
            return driver.volume.snapshots.create(SnapshotSpec(name="s", mark=volume.mark, volume_id=volume.id))

        plug_in(PlugPhase.ATTACHED)
        assert driver.volume.volumes.get(volume.id).status is VolumeStatus.IN_USE
        assert driver.compute.servers.get(server.id).volume_ids == (volume.id,)
        with pytest.raises(InvalidState, match="in-use"):
            take_snapshot()
        with pytest.raises(InUse, match="attached"):
            driver.volume.volumes.delete(volume.id)

        plug_in(PlugPhase.DETACHING)
        seen = driver.volume.volumes.get(volume.id)
        assert (seen.status, seen.attachments) == (VolumeStatus.AVAILABLE, ())
        assert driver.compute.servers.get(server.id).volume_ids == ()
        driver.volume.snapshots.delete(take_snapshot().id)
        driver.volume.volumes.delete(volume.id)

    @pytest.mark.parametrize("verb", ["attach", "detach"])
    def test_the_disks_of_a_suspended_server_stay_as_its_memory_knows_them(self, driver: Any, verb: str) -> None:
        server, volume = make_server(driver), driver.volume.volumes.create(volume_spec())
        if verb != "attach":
            plug = Plug(
                phase=PlugPhase.ATTACHED, server_id=server.id, device="vdb", since="2026-01-01T00:00:00+00:00"
            )
            driver._context.records.change(VolumeBody, volume.id, lambda body: replace(body, plug=plug))
        driver.compute.servers.suspend(server.id)
        before = driver.volume.volumes.get(volume.id)
        with pytest.raises(InvalidState, match="SUSPENDED"):
            getattr(PluggableVolumes(driver._context, "default"), verb)(volume.id, server.id)
        assert driver.volume.volumes.get(volume.id) == before

    def test_a_volume_grows_for_one_at_a_time(self, driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        volumes, id = PluggableVolumes(driver._context, "default"), driver.volume.volumes.create(volume_spec()).id
        asked: list[int] = []

        def resize(self: Pool, name: str, capacity_bytes: int) -> None:
            asked.append(capacity_bytes >> 30)
            assert volumes.get(id).status is VolumeStatus.EXTENDING
            for refused in (
                lambda: volumes.extend(id, 3),
                lambda: volumes.extend(id, 9),
                lambda: driver.volume.snapshots.create(SnapshotSpec(name="s", mark=volume_spec().mark, volume_id=id)),
            ):
                with pytest.raises(InvalidState, match="extending"):
                    refused()

        monkeypatch.setattr(Pool, "resize", resize)
        volumes.extend(id, 5)
        assert (volumes.get(id).status, volumes.get(id).size_gib, asked) == (VolumeStatus.AVAILABLE, 5, [5])

        def full(self: Pool, name: str, capacity_bytes: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Pool, "resize", full)
        with pytest.raises(OSError, match="No space"):
            volumes.extend(id, 7)
        assert (volumes.get(id).status, volumes.get(id).size_gib) == (VolumeStatus.AVAILABLE, 5)

    def test_who_died_while_a_volume_grew_is_followed_by_the_same_call(
        self, driver: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        volumes, id = PluggableVolumes(driver._context, "default"), driver.volume.volumes.create(volume_spec()).id
        driver._context.records.change(VolumeBody, id, lambda body: replace(body, growing_gib=4))
        assert volumes.get(id).status is VolumeStatus.EXTENDING
        with pytest.raises(InvalidState, match="extending") as raised:
            volumes.extend(id, 3)
        assert "same size" in raised.value.hint
        # It has grown already, or more than that by another hand: it never shrinks.
        monkeypatch.setattr(Pool, "capacity_bytes", lambda *_: 6 << 30)
        volumes.extend(id, 4)
        assert (volumes.get(id).status, volumes.get(id).size_gib) == (VolumeStatus.AVAILABLE, 6)
        volumes.delete(id)

    def test_limits(self, driver: Any) -> None:
        driver.volume.volumes.create(volume_spec(size_gib=3))
        assert (driver.limits()["volumes"].in_use, driver.limits()["volume_gib"].in_use) == (1, 3)


def _domains_of_new_driver() -> list[str]:
    driver = open_test_driver()
    try:
        return [domain.name() for domain in driver.native.listAllDomains()]
    finally:
        driver.close()


class TestConnection:
    def test_closed(self) -> None:
        driver = open_test_driver()
        driver.close()
        driver.close()
        with pytest.raises(Closed):
            make_server(driver)

    def test_close_lets_libvirt_forget(self) -> None:
        first = open_test_driver()
        make_server(first)
        first.close()
        # The hypervisor of this address lives as long as somebody is connected; the event loop lets go last.
        deadline = time.monotonic() + 10
        while _domains_of_new_driver() != ["test"]:
            assert time.monotonic() < deadline

    def test_nobody_listens(self) -> None:
        with pytest.raises(Unavailable) as raised:
            open_test_driver("qemu+unix:///system?socket=/nonexistent/libvirt-sock")
        assert "libvirtd" in raised.value.hint

    def test_nothing_to_connect_to(self) -> None:
        with pytest.raises(CloudError, match="does not say where"):
            open_test_driver("")

    def test_the_option_says_where(self) -> None:
        driver = open_test_driver("", uri="test:///default")
        assert driver.native.getType() == "TEST"
        driver.close()

    @pytest.mark.parametrize("uri", ["qemu:///session", "qemu+unix:///session?socket=/nonexistent"])
    def test_an_unprivileged_libvirt_is_refused(self, uri: str) -> None:
        with pytest.raises(Unsupported, match="session") as raised:
            open_test_driver(uri)
        assert "qemu:///system" in raised.value.hint

    def test_a_fork_of_a_process_that_uses_libvirt_is_refused(self) -> None:
        code = (
            "import os, cloudkit\n"
            "parent = cloudkit.connect('libvirt+test:///default')\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    try:\n"
            "        cloudkit.connect('libvirt+test:///default')\n"
            "    except cloudkit.Unavailable as error:\n"
            "        print(error.retryable, error.hint, flush=True)\n"
            "    os._exit(0)\n"
            "os.waitpid(child, 0)\n"
        )
        # Newer Pythons warn of every fork beside threads.
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.startswith("False Start processes by spawn")

    def test_two_places(self) -> None:
        with pytest.raises(CloudError, match="two libvirts"):
            open_test_driver("test:///default", uri="qemu:///system")

    def test_the_cloud_is_the_pool(self, driver: Any) -> None:
        assert driver.cloud_id == driver.native.storagePoolLookupByName("cloudkit").UUIDString()
        assert driver.for_project("x").cloud_id == driver.cloud_id
        assert driver.native.storagePoolLookupByName("cloudkit").autostart() == 1

    def test_a_change_wakes_a_wait(self, driver: Any) -> None:
        server = make_server(driver)
        changes = driver._context.connection.changes
        changes.wait(Kind.SERVER, 0)
        seen = threading.Event()

        def wait() -> None:
            driver.wait_change(Kind.SERVER, 30)
            seen.set()

        threading.Thread(target=wait, daemon=True).start()
        driver.compute.servers.stop(server.id, hard=True)
        assert seen.wait(10)
        driver.compute.servers.delete(server.id)

    def test_raw(self, driver: Any) -> None:
        volume = driver.volume.volumes.create(volume_spec())
        assert volume.id in driver.raw(Kind.VOLUME, volume.id)
        flavor = driver.compute.flavors.create(flavor_spec())
        assert driver.raw(Kind.FLAVOR, flavor.id) == flavor
        for kind in (Kind.SERVER, Kind.VOLUME, Kind.ROUTER):
            with pytest.raises(NotFound):
                driver.raw(kind, "nope")
