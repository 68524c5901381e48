"""What a host does to servers behind the driver's back: each is told, nothing is left over, a second try works."""

from __future__ import annotations

import io
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import libvirt  # type: ignore[import-untyped, unused-ignore]
import pytest
from bed import LibvirtBed
from libvirt_faults import inventory
from racing import race
from saved_guest import connect, deleting_all

from cloudkit import Cloud
from cloudkit.errors import AlreadyExists, CloudError, Conflict, InvalidState, NotFound, QuotaExceeded, ResourceFailed
from cloudkit.types import Server, ServerStatus, VolumeStatus

MIB = 1 << 20
CLIENTS = 2
SOON_S = 60.0


@pytest.fixture
def empty(cloud: Cloud) -> Generator[Cloud]:
    with deleting_all(cloud):
        cloud.images.upload("blank", data=io.BytesIO(bytes(4096)), disk_format="raw")
        cloud.flavors.create("small", vcpus=1, ram_mib=32, disk_gib=1)
        yield cloud


def make_server(cloud: Cloud, name: str = "server", **options: Any) -> Server:
    return cloud.servers.create(name, **{"image": "blank", "flavor": "small", "networks": "none", **options})


@contextmanager
def domain_of(bed: LibvirtBed, server: Server) -> Generator[Any]:
    """The domain as virsh has it, by a connection of its own."""
    connection = libvirt.open(bed.uri)
    try:
        yield connection.lookupByUUIDString(server.id)
    finally:
        connection.close()


def test_a_guest_whose_emulator_was_killed_is_told_and_starts_again(bed: LibvirtBed, empty: Cloud) -> None:
    server = make_server(empty)
    volume = empty.volumes.create("data", size_gib=1)
    empty.volumes.attach(volume, server)
    bed.kill_guests()
    crashed = empty.servers.wait(server, (ServerStatus.ERROR, ServerStatus.SHUTOFF), timeout_s=SOON_S)
    assert crashed.fault is not None
    assert "crashed" in crashed.fault.message
    assert empty.servers.start(server).status is ServerStatus.ACTIVE
    assert empty.servers.get(server).volume_ids == (volume.id,)


def test_a_server_whose_emulator_was_killed_is_deleted_as_a_whole(bed: LibvirtBed, empty: Cloud) -> None:
    before = inventory(bed)
    server = make_server(empty)
    bed.kill_guests()
    empty.servers.delete(server)
    assert inventory(bed) == before


@pytest.mark.parametrize("size_mib", [1, 2, 3, 4, 5, 6])
def test_a_pool_that_gets_full_at_any_step_of_a_create(bed: LibvirtBed, size_mib: int) -> None:
    """The image takes half of the room; a filler leaves less each time."""
    with bed.restrict_pool(12) as folder, connect(bed, pool="small", pool_path=str(folder)) as cloud:
        cloud.images.upload("blank", data=io.BytesIO(b"x" * 4096), disk_format="raw")
        cloud.flavors.create("small", vcpus=1, ram_mib=32, disk_gib=1)
        files = sorted(path.name for path in folder.iterdir())
        filler = folder / "filler"
        free = _free_bytes(folder)
        # From room for all but the last step down to room for nothing.
        filler.write_bytes(bytes(max(0, free - (size_mib - 1) * 96 * 1024)))
        outcome: str
        try:
            make_server(cloud)
            outcome = "made"
        except QuotaExceeded as error:
            outcome = "refused"
            assert "pool is full" in error.message
            assert sorted(path.name for path in folder.iterdir()) == sorted([*files, "filler"])
        filler.unlink()
        if outcome == "refused":
            make_server(cloud)
        with deleting_all(cloud):
            pass
        assert list(folder.iterdir()) == []
        pool = cloud.native.storagePoolLookupByName("small")
        pool.destroy()
        pool.undefine()
        assert size_mib > 1 or outcome == "refused"


def _free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def test_an_image_that_was_removed_from_the_pool_is_told(bed: LibvirtBed, empty: Cloud) -> None:
    image = empty.images.get("blank")
    make_server(empty, "before")
    before = inventory(bed)
    for path in bed.pool_path.glob(f"ck-{image.id}.*"):
        path.rename(path.with_name(f"hidden-{path.name}"))
    empty.native.storagePoolLookupByName("cloudkit").refresh()
    try:
        with pytest.raises((NotFound, InvalidState, ResourceFailed, Conflict)) as raised:
            make_server(empty)
        assert "blank" in str(raised.value) or image.id in str(raised.value)
    finally:
        for path in bed.pool_path.glob("hidden-*"):
            path.rename(path.with_name(path.name.removeprefix("hidden-")))
        empty.native.storagePoolLookupByName("cloudkit").refresh()
    assert inventory(bed) == before
    make_server(empty)


def test_an_image_that_was_removed_for_good_can_be_deleted_with_its_servers(bed: LibvirtBed, empty: Cloud) -> None:
    image = empty.images.get("blank")
    server = make_server(empty)
    for path in bed.pool_path.glob(f"ck-{image.id}.*"):
        path.unlink()
    empty.servers.stop(server, hard=True)
    with pytest.raises(CloudError):
        empty.servers.start(server)
    empty.servers.delete(server)
    empty.images.delete(image)
    assert list(empty.images.list()) == []


@pytest.mark.parametrize("act", ["destroy", "suspend", "undefine", "undefine and destroy", "rename the disk"])
def test_what_virsh_does_to_a_domain_is_seen_and_a_delete_removes_all(
    bed: LibvirtBed, empty: Cloud, act: str
) -> None:
    before = inventory(bed)
    server = make_server(empty)
    with domain_of(bed, server) as domain:
        if act == "rename the disk":
            domain.destroy()
            (bed.pool_path / f"ck-{server.id}.disk").rename(bed.pool_path / f"ck-{server.id}.disk.old")
            empty.native.storagePoolLookupByName("cloudkit").refresh()
        if act == "suspend":
            domain.suspend()
        if act.startswith("undefine"):
            domain.undefine()
        if act.endswith("destroy"):
            domain.destroy()
    shown = empty.servers.get(server)
    expected = {
        "destroy": ServerStatus.SHUTOFF,
        "suspend": ServerStatus.PAUSED,
        "undefine": ServerStatus.ACTIVE,
        "undefine and destroy": ServerStatus.ERROR,
        "rename the disk": ServerStatus.SHUTOFF,
    }
    assert shown.status is expected[act]
    if shown.status is ServerStatus.ERROR:
        assert shown.fault is not None
        assert "missing" in shown.fault.message
        with pytest.raises(InvalidState):
            empty.servers.start(server)
    if act == "suspend":
        assert empty.servers.unpause(server).status is ServerStatus.ACTIVE
    empty.servers.delete(server)
    assert inventory(bed) == before


def test_a_disk_that_virsh_took_out_leaves_the_volume_usable(bed: LibvirtBed, empty: Cloud) -> None:
    server = empty.servers.stop(make_server(empty), hard=True)
    volume = empty.volumes.create("data", size_gib=1)
    empty.volumes.attach(volume, server)
    with domain_of(bed, server) as domain:
        domain.detachDeviceAlias(f"ua-{volume.id}", libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    empty.volumes.detach(volume)
    assert empty.volumes.get(volume).status is VolumeStatus.AVAILABLE
    empty.volumes.attach(volume, server)


RACE = """
import json, sys
import cloudkit
from cloudkit.errors import CloudError

cloud = cloudkit.connect("bed")
print("ready", flush=True)
sys.stdin.readline()
results = []
for number in range(int(sys.argv[1])):
    for make in (
        lambda: cloud.ports.create(f"p{number}", network="net", fixed_ips=[f"172.16.1.{50 + number}"]),
        lambda: cloud.key_pairs.create(f"k{number}", public_key=sys.argv[2]),
        lambda: cloud.servers.create(f"s{number}", image="blank", flavor="small", networks=["net"]),
    ):
        try:
            made = make()
            results.append(["made", type(made).__name__, getattr(made, "id", "")])
        except CloudError as error:
            results.append([type(error).__name__, str(error), ""])
print(json.dumps(results))
"""


def test_two_processes_that_want_the_same_name_and_address(bed: LibvirtBed, empty: Cloud, profile: str) -> None:
    from cloudkit._keys import generate_key_pair

    rounds = 4
    empty.networks.create("net", cidr="172.16.1.0/24")
    before = inventory(bed)
    script = (RACE, str(rounds), generate_key_pair()[1])
    outcomes: list[list[list[str]]] = race([script] * CLIENTS, timeout_s=120)
    for position, (first, second) in enumerate(zip(*outcomes, strict=True)):
        words = sorted((first[0], second[0]))
        if position % 3 == 2:
            # Names of servers may repeat; their addresses may not.
            assert words == ["made", "made"], (first, second)
        else:
            expected = Conflict if position % 3 == 0 else AlreadyExists
            assert words in ([expected.__name__, "made"], ["AlreadyExists", "made"]), (first, second)
    ports = list(empty.ports.list())
    ips = [fixed.ip for port in ports for fixed in port.fixed_ips]
    assert len(set(ips)) == len(ips) == rounds + CLIENTS * rounds
    assert len({port.mac for port in ports}) == len(ports)
    assert sorted(key.name for key in empty.key_pairs.list()) == [f"k{number}" for number in range(rounds)]
    for collection in (empty.servers, empty.ports, empty.key_pairs):
        for value in list(collection.list()):
            collection.delete(value)
    assert inventory(bed) == before
