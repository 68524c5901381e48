"""What is in volumes: copies of every kind hold what the guest wrote, types are pools, a full pool leaves nothing."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import libvirt  # type: ignore[import-untyped, unused-ignore]
import pytest
from bed import LibvirtBed
from conftest import Guest
from saved_guest import USER, connect, deleting_all

from cloudkit import Attachment, Cloud, InUse, QuotaExceeded, Shell, Volume
from cloudkit.cli.story import find_disk

MIB, GIB = 1 << 20, 1 << 30


@pytest.fixture
def shell(guest: Guest) -> Generator[Shell]:
    with guest.cloud.ssh(guest.server, user=USER, key=guest.key_path) as shell:
        yield shell


def write(shell: Shell, device: str, text: str) -> None:
    shell.run(f"dd of={device} conv=fsync", input=text.ljust(512), check=True)


def read(shell: Shell, device: str) -> str:
    return shell.run(f"dd if={device} bs=512 count=1", check=True).stdout.rstrip()


def content(guest: Guest, shell: Shell, volume: Volume) -> str:
    """What is at the start of a volume, as the guest sees it."""
    disk = guest.cloud.volumes.attach(volume, guest.server)
    text = read(shell, find_disk(shell, disk))
    guest.cloud.volumes.detach(volume)
    return text


def plugged(guest: Guest, shell: Shell, **options: Any) -> tuple[Volume, Attachment, str]:
    volume = guest.cloud.volumes.create("data", **{"size_gib": 1, **options})
    disk = guest.cloud.volumes.attach(volume, guest.server)
    return volume, disk, find_disk(shell, disk)


def test_every_copy_holds_what_the_guest_wrote_before_it(guest: Guest, shell: Shell) -> None:
    cloud = guest.cloud
    volume, _, device = plugged(guest, shell)
    write(shell, device, "first")
    copies = {
        "snapshot": cloud.volumes.create(
            "s", size_gib=2, snapshot=cloud.snapshots.create("snapshot", volume=volume, force=True)
        ),
        "clone": cloud.volumes.create("c", size_gib=1, source_volume=volume),
    }
    backup = cloud.backups.create("backup", volume=volume, force=True)
    copies["backup"] = cloud.backups.restore(backup)
    write(shell, device, "second")
    assert {what: content(guest, shell, copy) for what, copy in copies.items()} == dict.fromkeys(copies, "first")
    assert read(shell, device) == "second"

    cloud.volumes.detach(volume)
    assert content(guest, shell, cloud.volumes.create("d", size_gib=1, source_volume=volume)) == "second"
    assert content(guest, shell, cloud.backups.restore(backup, volume)) == "first"
    # The clone is no part of what it was made from.
    with pytest.raises(InUse):
        cloud.volumes.delete(volume)
    cloud.snapshots.delete("snapshot")
    cloud.volumes.delete(volume)
    cloud.backups.delete(backup)
    assert content(guest, shell, copies["clone"]) == "first"


def test_a_volume_of_an_image_is_the_image(guest: Guest, shell: Shell) -> None:
    _, _, device = plugged(guest, shell, image=guest.server.image_id, size_gib=2)
    # The boot sector, which the guest never writes to.
    same = shell.run(f"dd if=/dev/vda bs=440 count=1 of=a; dd if={device} bs=440 count=1 of=b; cmp a b")
    assert (same.exit_status, same.stdout) == (0, "")
    assert shell.run("tr -d '\\0' < a | wc -c", check=True).stdout.strip() != "0"
    assert f"{2 * GIB} bytes" in shell.run(f"fdisk -l {device}", check=True).stdout


def test_the_end_of_a_grown_disk_is_the_guests(guest: Guest, shell: Shell) -> None:
    volume, _, device = plugged(guest, shell)
    write(shell, device, "kept")
    guest.cloud.volumes.extend(volume, 2)
    shell.run(f"echo end | dd of={device} bs=1M seek=2047 conv=fsync,notrunc", check=True)
    assert shell.run(f"dd if={device} bs=1M skip=2047 count=1 | head -c 3", check=True).stdout == "end"
    assert read(shell, device) == "kept"


def test_a_disk_that_has_grown_by_another_hand_does_not_shrink(guest: Guest, shell: Shell) -> None:
    volume, disk, device = plugged(guest, shell)
    domain = guest.cloud.native.lookupByUUIDString(guest.server.id)
    domain.blockResize(disk.device_hint.removeprefix("/dev/"), 3 * GIB, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
    assert guest.cloud.volumes.extend(volume, 2).size_gib == 3
    assert f"{3 * GIB} bytes" in shell.run(f"fdisk -l {device}", check=True).stdout


def test_a_server_whose_disk_grew_while_it_was_suspended_goes_on(guest: Guest) -> None:
    cloud = guest.cloud
    with cloud.ssh(guest.server, user=USER, key=guest.key_path) as shell:
        volume, disk, device = plugged(guest, shell)
        write(shell, device, "kept")
    cloud.servers.suspend(guest.server)
    cloud.volumes.extend(volume, 2)
    cloud.servers.resume(guest.server)
    with cloud.ssh(guest.server, user=USER, key=guest.key_path) as shell:
        assert read(shell, find_disk(shell, disk)) == "kept"
        write(shell, find_disk(shell, disk), "more")
        assert read(shell, find_disk(shell, disk)) == "more"


def test_several_copies_of_one_running_servers_disk_at_once(bed: LibvirtBed, guest: Guest, shell: Shell) -> None:
    volume, _, device = plugged(guest, shell)
    write(shell, device, "both")
    with ThreadPoolExecutor(3) as threads, connect(bed) as another:
        clones = threads.map(
            lambda cloud: cloud.volumes.create("c", size_gib=1, source_volume=volume.id),
            (guest.cloud, another, guest.cloud),
        )
        assert [content(guest, shell, clone) for clone in list(clones)] == ["both"] * 3


# ---------------------------------------------------------------- pools


POOL = "<pool type='dir'><name>{name}</name><target><path>{folder}</path></target></pool>"


@contextmanager
def small_pool(bed: LibvirtBed, cloud: Cloud, name: str, size_mib: int) -> Generator[Path]:
    """A pool of its own file system."""
    with bed.restrict_pool(size_mib) as folder:
        pool = cloud.native.storagePoolDefineXML(POOL.format(name=name, folder=folder))
        try:
            yield folder
        finally:
            if pool.isActive():
                pool.destroy()
            pool.undefine()


def test_types_are_pools_and_copies_go_between_them(bed: LibvirtBed, guest: Guest, shell: Shell) -> None:
    with (
        small_pool(bed, guest.cloud, "fast", 64) as fast,
        small_pool(bed, guest.cloud, "vault", 64) as vault,
        connect(bed, volume_types="ssd=fast", backup_pool="vault") as cloud,
        deleting_all(cloud),
    ):
        typed = Guest(cloud, guest.server, guest.key_path)
        volume, _, device = plugged(typed, shell, volume_type="ssd")
        assert [file.name for file in fast.iterdir()] == [f"ck-{volume.id}.volume"]
        write(shell, device, "in ssd")
        clone = cloud.volumes.create("c", size_gib=1, source_volume=volume, volume_type="default")
        snapshot = cloud.snapshots.create("s", volume=volume, force=True)
        backup = cloud.backups.create("b", volume=volume, force=True)
        assert {file.name for file in fast.iterdir()} == {f"ck-{volume.id}.volume", f"ck-{snapshot.id}.snapshot"}
        assert [file.name for file in vault.iterdir()] == [f"ck-{backup.id}.backup"]
        cloud.volumes.detach(volume)
        restored = cloud.backups.restore(backup, volume_type="ssd")
        assert content(typed, shell, clone) == content(typed, shell, restored) == "in ssd"
        assert (bed.pool_path / f"ck-{clone.id}.volume").exists()


def fill(folder: Path, leave: int) -> None:
    """Leave so many bytes in a file system of tmpfs."""
    file = folder / "filler"
    with file.open("wb") as out:
        while True:
            try:
                out.write(bytes(MIB))
                out.flush()
            except OSError:
                break
    with file.open("r+b") as out:
        out.truncate(max(0, file.stat().st_size - leave))


@pytest.mark.parametrize("live", [False, True], ids=["free", "attached"])
def test_a_copy_that_does_not_fit_leaves_nothing(bed: LibvirtBed, guest: Guest, shell: Shell, live: bool) -> None:
    with (
        small_pool(bed, guest.cloud, "fast", 16) as fast,
        connect(bed, volume_types="ssd=fast", backup_pool="fast") as cloud,
        deleting_all(cloud),
    ):
        typed = Guest(cloud, guest.server, guest.key_path)
        volume, _, device = plugged(typed, shell)
        shell.run(f"dd if=/dev/urandom of={device} bs=1M count=32 conv=fsync", check=True)
        if not live:
            cloud.volumes.detach(volume)
        before = cloud.volumes.get(volume)
        for copy in (
            lambda: cloud.backups.create("b", volume=volume, force=True),
            lambda: cloud.volumes.create("c", size_gib=1, source_volume=volume, volume_type="ssd"),
            lambda: cloud.volumes.create("i", size_gib=2, image=guest.server.image_id, volume_type="ssd"),
        ):
            with pytest.raises(QuotaExceeded, match="the storage pool 'fast' is full") as raised:
                copy()
            # QEMU may hold what is deleted for a moment.
            assert f"Free now: {'' if live else 1}" in raised.value.hint
            assert list(fast.iterdir()) == []
        assert list(cloud.backups.list()) == []
        assert list(cloud.volumes.list()) == [before]
        # The same goes where there is room.
        cloud.volumes.create("c", size_gib=1, source_volume=volume)


def test_a_full_pool_grows_no_disk_and_makes_none(bed: LibvirtBed) -> None:
    with bed.restrict_pool(4) as folder, connect(bed, pool="small", pool_path=str(folder)) as cloud:
        with deleting_all(cloud):
            volume = cloud.volumes.create("data", size_gib=1)
            fill(folder, 0)
            with pytest.raises(QuotaExceeded, match="pool is full"):
                cloud.volumes.extend(volume, 100)
            assert cloud.volumes.get(volume).status == "available"
            with pytest.raises(QuotaExceeded, match="pool is full"):
                cloud.volumes.create("more", size_gib=1)
            assert [each.name for each in cloud.volumes.list()] == ["data"]
            (folder / "filler").unlink()
            assert cloud.volumes.extend(volume, 100).size_gib == 100
            assert f"<capacity unit='bytes'>{100 * GIB}" in cloud.raw(volume)
        assert list(folder.iterdir()) == []
        pool = cloud.native.storagePoolLookupByName("small")
        pool.destroy()
        pool.undefine()
