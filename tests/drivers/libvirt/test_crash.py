"""A client that dies at any of its steps leaves only what list shows and delete removes.

The steps are all calls that change something: of the record store, of volumes, of domains and of networks. A dead
client does nothing more, its clean-up included; then another client comes and deletes what it sees.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import libvirt
import pytest
from specs import (
    flavor_spec,
    key_pair_spec,
    make_network,
    mark,
    network_spec,
    port_spec,
    preset_image,
    server_spec,
    subnet_spec,
    volume_spec,
)

from cloudkit.driver import EVERYTHING
from cloudkit.errors import Busy, InvalidState
from cloudkit.types import BackupSpec, FloatingIpSpec, Nic, RouterSpec, ServerGroupSpec, ServerStatus, SnapshotSpec
from cloudkit_libvirt import records
from cloudkit_libvirt.blobs import MemoryBlobs
from cloudkit_libvirt.bodies import ServerBody
from cloudkit_libvirt.domains import Domains
from cloudkit_libvirt.driver import RoutedNetworkService
from cloudkit_libvirt.pool import Pool
from cloudkit_libvirt.records import Records
from cloudkit_libvirt.routing_bodies import RouterBody
from cloudkit_libvirt.subnets import BridgedSubnets

STEPS: tuple[tuple[type[Any], str], ...] = (
    (MemoryBlobs, "create"),
    (MemoryBlobs, "delete"),
    (Pool, "_create"),
    (Pool, "copy"),
    (Pool, "delete"),
    (Domains, "define"),
    (Domains, "remove"),
    (libvirt.virDomain, "create"),
    (libvirt.virDomain, "destroy"),
    (libvirt.virDomain, "shutdown"),
    (BridgedSubnets, "_restart"),
    (BridgedSubnets, "_undefine"),
)


class Killed(BaseException):
    """The client is dead."""


class Killer:
    """Lets so many steps happen, and none after.

    With ``halfway`` the last step is done by half where it can be: a record's name is taken, and it is not filled.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, halfway: bool) -> None:
        self.left: int | None = None
        self.halfway = halfway
        for owner, name in STEPS:
            monkeypatch.setattr(owner, name, self._guard(getattr(owner, name)))

    def _guard(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any, **options: Any) -> Any:
            if self.left is not None:
                if self.left == 0:
                    if self.halfway and step.__name__ == "create" and isinstance(arguments[0], MemoryBlobs):
                        take_only(*arguments)
                    raise Killed
                self.left -= 1
            return step(*arguments, **options)

        return guarded


def take_only(store: MemoryBlobs, name: str, data: bytes, quiet: bool = False) -> None:
    """What is left of a client that died long ago between taking a name and filling it."""
    store._blobs.setdefault(name, (bytes(len(data)), time.monotonic() - 3600))


@pytest.fixture(params=[False, True], ids=["between-steps", "within-steps"])
def killer(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Killer:
    return Killer(monkeypatch, request.param)


def delete_all(driver: Any) -> None:
    # One that is being written to a volume stays until that is gone; the sweep comes back to it likewise.
    for backup in driver.volume.backups.list(EVERYTHING):
        with suppress(InvalidState):
            driver.volume.backups.delete(backup.id)
    for collection in (
        driver.compute.servers, driver.compute.server_groups, driver.volume.snapshots, driver.volume.volumes,
        driver.volume.backups, routed(driver).floating_ips, routed(driver).routers,
        driver.network.ports, driver.network.subnets, driver.network.networks,
        driver.compute.key_pairs, driver.compute.flavors,
    ):  # fmt: skip
        # By id once: a crashed key pair can be listed beside a whole one of the same name.
        for id in {value.id for value in collection.list(EVERYTHING)}:
            collection.delete(id)


def server(driver: Any) -> Any:
    network, _ = make_network(driver)
    port = driver.network.ports.create(port_spec(network.id))
    driver.compute.key_pairs.create(key_pair_spec())
    flavor = driver.compute.flavors.create(flavor_spec())
    nics = (Nic(network_id=network.id), Nic(port_id=port.id))
    return driver.compute.servers.create(server_spec(driver, flavor, *nics, key_pair="me"))


def copied_volume(driver: Any) -> None:
    volume = driver.volume.volumes.create(volume_spec())
    snapshot = driver.volume.snapshots.create(SnapshotSpec(name="s", mark=volume.mark, volume_id=volume.id))
    driver.volume.volumes.create(volume_spec("copy", snapshot_id=snapshot.id))


def restored_volume(driver: Any) -> None:
    volume = driver.volume.volumes.create(volume_spec())
    backup = driver.volume.backups.create(BackupSpec(name="b", mark=volume.mark, volume_id=volume.id))
    copy = driver.volume.volumes.create(volume_spec("copy", source_volume_id=volume.id))
    driver.volume.backups.restore(backup.id, copy.id)


def lonely_port(driver: Any) -> None:
    network = driver.network.networks.create(network_spec())
    driver.network.subnets.create(subnet_spec(network.id))
    driver.network.ports.create(port_spec(network.id, mac="02:00:00:00:00:01"))
    driver.network.subnets.create(subnet_spec(network.id, "fd00:1::/64", ip_version=6, ipv6_mode="slaac"))


def server_on_a_volume(driver: Any) -> None:
    volume = driver.volume.volumes.create(volume_spec(image_id=preset_image(driver).id))
    group = driver.compute.server_groups.create(
        ServerGroupSpec(name="apart", mark=volume.mark, policy="anti-affinity")
    )
    flavor = driver.compute.flavors.create(flavor_spec())
    options = {"image_id": None, "boot_volume_id": volume.id, "server_group_id": group.id}
    driver.compute.servers.create(server_spec(driver, flavor, **options))


def routed(driver: Any) -> Any:
    """What a driver has that may change the host's network, which the test hypervisor has none of."""
    return RoutedNetworkService(driver._context, driver.project_id)


def external_network(driver: Any, cidr: str) -> Any:
    network = driver.network.networks.create(network_spec(external=True))
    driver.network.subnets.create(subnet_spec(network.id, cidr))
    return network


def router(driver: Any) -> None:
    """One that is led out by one network, then by another, and a floating IP; no address of a /30 is to spare."""
    one, other = (external_network(driver, cidr) for cidr in ("172.16.8.0/30", "172.16.9.0/30"))
    network = routed(driver)
    spec = RouterSpec(name="router", mark=mark(), external_network_id=one.id)
    id = network.routers.create(spec).id
    network.routers.set_gateway(id, other.id)
    network.floating_ips.create(FloatingIpSpec(name="", mark=mark(), external_network_id=one.id))


MAKERS = (server, server_on_a_volume, copied_volume, restored_volume, lonely_port, router)


def until_survived(killer: Killer, task: Callable[[], object], check: Callable[[], None]) -> int:
    """Kill the task at its first step, at its second …, until it survives; check after each death."""
    for steps in range(1000):
        killer.left = steps
        try:
            task()
        except Killed:
            killer.left = None
            check()
        else:
            killer.left = None
            return steps
    raise AssertionError("the task never ends")


@pytest.mark.parametrize("make", MAKERS)
def test_killed_while_creating(
    driver: Any, left: Callable[[], list[str]], killer: Killer, make: Callable[[Any], object]
) -> None:
    def check() -> None:
        delete_all(driver)
        assert left() == []

    steps = until_survived(killer, lambda: make(driver), check)
    assert steps > 10
    check()


@pytest.mark.parametrize("make", MAKERS)
def test_killed_while_deleting(
    driver: Any, left: Callable[[], list[str]], killer: Killer, make: Callable[[Any], object]
) -> None:
    def check() -> None:
        # Whoever comes next sees it through, from wherever it stopped.
        delete_all(driver)
        assert left() == []
        make(driver)

    make(driver)
    assert until_survived(killer, lambda: delete_all(driver), check) > 10
    assert left() == []


def test_a_restore_clears_away_what_a_dead_one_has_left(driver: Any, killer: Killer) -> None:
    volume = driver.volume.volumes.create(volume_spec())
    backup = driver.volume.backups.create(BackupSpec(name="b", mark=volume.mark, volume_id=volume.id))

    def files() -> list[str]:
        return [name for name in driver._context.pool.names() if name.startswith(f"ck-{volume.id}.")]

    def check() -> None:
        driver.volume.backups.restore(backup.id, volume.id)
        assert len(files()) == 1

    assert until_survived(killer, lambda: driver.volume.backups.restore(backup.id, volume.id), check) > 5
    assert len(files()) == 1


def test_a_verb_waits_for_its_own_note_of_which_the_answer_was_lost(
    driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there as an empty name, which stays until its writer is taken for dead."""
    monkeypatch.setattr(records, "UNFINISHED_S", 0.2)
    small = driver.compute.flavors.create(flavor_spec("small"))
    large = driver.compute.flavors.create(flavor_spec("large", ram_mib=256))
    server = driver.compute.servers.create(server_spec(driver, small))
    (record,) = driver._context.records.view().all(ServerBody)
    driver._context.records._store.create(f"ck1.server.{server.id}.{record.generation + 1}", bytes(10))
    driver.compute.servers.resize(server.id, large.id)
    assert driver.compute.servers.get(server.id).flavor_id == large.id


class Reshaped:
    """A server, and the ways to change it whose steps a dead client may leave half-done."""

    def __init__(self, driver: Any, running: bool) -> None:
        self.driver = driver
        self.servers = driver.compute.servers
        self.image = preset_image(driver)
        self.small = driver.compute.flavors.create(flavor_spec("small"))
        self.large = driver.compute.flavors.create(flavor_spec("large", disk_gib=2, ram_mib=256))
        self.id = self.servers.create(server_spec(driver, self.small)).id
        if not running:
            self.servers.stop(self.id, hard=True)
        self.wanted = ServerStatus.ACTIVE if running else ServerStatus.SHUTOFF

    def resize(self) -> None:
        self.servers.resize(self.id, self.large.id)
        self.servers.confirm_resize(self.id)

    def revert(self) -> None:
        self.servers.resize(self.id, self.large.id)
        self.servers.revert_resize(self.id)

    def rebuild(self) -> None:
        self.servers.rebuild(self.id, self.image.id)

    def rescue(self) -> None:
        self.servers.rescue(self.id, None)
        self.servers.unrescue(self.id)
        self.wanted = ServerStatus.ACTIVE

    def shelve(self) -> None:
        self.servers.shelve(self.id)
        self.servers.unshelve(self.id)
        self.wanted = ServerStatus.ACTIVE

    def take_up(self) -> None:
        """What the next client does, told by the status alone."""
        server = self.servers.get(self.id)
        if server.status in (ServerStatus.RESIZE, ServerStatus.VERIFY_RESIZE, ServerStatus.REVERT_RESIZE):
            self.servers.revert_resize(self.id)
        elif server.status is ServerStatus.REBUILD:
            self.servers.rebuild(self.id, self.image.id)
        elif server.status is ServerStatus.RESCUE or server.task == "rescuing":
            self.servers.unrescue(self.id)
        elif server.status is ServerStatus.SHELVED_OFFLOADED or server.task == "shelving":
            self.servers.unshelve(self.id)

    def check(self) -> None:
        server = self.servers.get(self.id)
        assert (server.task, server.fault) == (None, None)
        assert server.status in (self.wanted, ServerStatus.ACTIVE, ServerStatus.SHUTOFF)
        domain = self.driver.native.lookupByUUIDString(self.id)
        flavor = self.large if server.flavor_id == self.large.id else self.small
        assert domain.maxMemory() == flavor.ram_mib << 10
        # All disks that the domain names are there, and none that it does not name.
        files = {line.split("'")[1] for line in domain.XMLDesc().splitlines() if "<source file=" in line}
        assert {path.rpartition("/")[2] for path in files if self.id in path} == {
            name for name in self.driver._context.pool.names() if name.startswith(f"ck-{self.id}.")
        } - {f"ck-{self.id}.console"}
        self.servers.reboot(self.id, hard=True)
        assert self.servers.get(self.id).status is ServerStatus.ACTIVE
        self.servers.stop(self.id, hard=True)


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
@pytest.mark.parametrize("verb", ["resize", "revert", "rebuild", "rescue", "shelve"])
def test_killed_while_reshaping(
    driver: Any, left: Callable[[], list[str]], killer: Killer, verb: str, running: bool
) -> None:
    servers: list[Reshaped] = []

    def task() -> None:
        killer.left, steps = None, killer.left
        servers.append(Reshaped(driver, running))
        killer.left = steps
        getattr(servers[-1], verb)()

    def check() -> None:
        servers[-1].take_up()
        servers[-1].check()
        delete_all(driver)
        assert left() == []

    assert until_survived(killer, task, check) > 5
    servers[-1].check()
    delete_all(driver)
    assert left() == []


@pytest.mark.parametrize("verb", ["resize", "rebuild", "rescue"])
def test_a_reshaping_that_was_not_finished_is_deleted(
    driver: Any, left: Callable[[], list[str]], killer: Killer, verb: str
) -> None:
    server: list[Reshaped] = []

    def task() -> None:
        killer.left, steps = None, killer.left
        server.append(Reshaped(driver, True))
        killer.left = steps
        getattr(server[-1], verb)()

    def check() -> None:
        delete_all(driver)
        assert left() == []

    until_survived(killer, task, check)
    check()


def test_a_change_of_gateway_that_meets_another_client_takes_no_address(
    driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, out = routed(driver), external_network(driver, "172.16.8.0/30")
    router = network.routers.create(RouterSpec(name="router", mark=mark()))
    claim = Records.claim

    def meanwhile(records: Records, what: str, owner: str) -> bool:
        records.change(RouterBody, owner, lambda body: replace(body, description="changed by another client"))
        return claim(records, what, owner)

    with monkeypatch.context() as patch:
        patch.setattr(Records, "claim", meanwhile)
        with pytest.raises(Busy):
            network.routers.set_gateway(router.id, out.id)
    assert network.floating_ips.create(FloatingIpSpec(name="", mark=mark(), external_network_id=out.id)).ip


def test_the_address_of_a_client_that_died_is_given_back_by_the_next_change(
    driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, out = routed(driver), external_network(driver, "172.16.8.0/30")
    router = network.routers.create(RouterSpec(name="router", mark=mark()))
    claim = Records.claim

    def last_act(records: Records, what: str, owner: str) -> bool:
        claim(records, what, owner)
        monkeypatch.setattr(MemoryBlobs, "names", die)
        monkeypatch.setattr(MemoryBlobs, "create", die)
        raise Killed

    with monkeypatch.context() as monkeypatch, pytest.raises(Killed):
        monkeypatch.setattr(Records, "claim", last_act)
        network.routers.set_gateway(router.id, out.id)
    network.routers.set_gateway(router.id, None)
    assert network.floating_ips.create(FloatingIpSpec(name="", mark=mark(), external_network_id=out.id)).ip


def die(*_: object) -> None:
    raise Killed
