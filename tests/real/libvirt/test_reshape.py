"""What the guest sees of a resize, a rebuild and a rescue."""

from __future__ import annotations

import pytest
from bed import LibvirtBed
from saved_guest import NAME, USER, Guest

from cloudkit import Flavor, Shell


def login(guest: Guest) -> Shell:
    server = guest.cloud.servers.get(guest.server)
    return guest.cloud.ssh(server, user=USER, key=guest.key_path, timeout_s=120)


def write(guest: Guest, text: str) -> None:
    with login(guest) as shell:
        shell.run(f"echo {text} >/root/marker; sync", check=True)


def read(guest: Guest, command: str) -> str:
    with login(guest) as shell:
        return shell.run(command).stdout.strip()


def large(guest: Guest) -> Flavor:
    return guest.cloud.flavors.create("large", vcpus=2, ram_mib=192, disk_gib=2)


def files(bed: LibvirtBed, server_id: str) -> list[str]:
    return sorted(path.name for path in bed.pool_path.glob(f"ck-{server_id}.disk*"))


def test_a_resized_guest_has_more_of_everything_and_its_image_is_whole(guest: Guest) -> None:
    cloud = guest.cloud
    write(guest, "kept")
    cloud.servers.resize(guest.server, large(guest))
    with login(guest) as shell:
        assert shell.run("cat /sys/block/vda/size").stdout.strip() == str(2 << 21)
        assert shell.run("cat /root/marker").stdout == "kept\n"
        assert shell.run("nproc").stdout.strip() == "2"
        assert 150 < int(shell.run("awk '/MemTotal/ { print $2 }' /proc/meminfo").stdout) >> 10 <= 192
        shell.run("echo in-the-upper-layer >/root/another; sync", check=True)
    image = cloud.servers.create_image(guest.server, "copy")
    cloud.servers.delete(guest.server)
    cloud.servers.create(NAME, image=image, flavor="large", key_pair=NAME)
    fresh = Guest(cloud, cloud.servers.get(NAME), guest.key_path)
    assert read(fresh, "cat /root/marker /root/another") == "kept\nin-the-upper-layer"


def test_a_reverted_guest_has_what_it_had(bed: LibvirtBed, guest: Guest) -> None:
    cloud, id = guest.cloud, guest.server.id
    write(guest, "before")
    cloud.servers.resize(guest.server, large(guest), confirm=False)
    write(guest, "after")
    assert files(bed, id) == [f"ck-{id}.disk", f"ck-{id}.disk1"]
    assert cloud.servers.revert_resize(guest.server).flavor_id == guest.server.flavor_id
    with login(guest) as shell:
        assert shell.run("cat /root/marker").stdout == "before\n"
        assert shell.run("cat /sys/block/vda/size").stdout.strip() == str(1 << 21)
    assert files(bed, id) == [f"ck-{id}.disk"]


def test_a_rescue_by_its_own_image_boots_from_the_rescue_disk(guest: Guest) -> None:
    cloud = guest.cloud
    write(guest, "its-own")
    volume = cloud.volumes.create("data", size_gib=1)
    cloud.volumes.attach(volume, guest.server)
    own_key = guest.server.host_key
    rescued = cloud.servers.rescue(guest.server)
    assert (rescued.status, rescued.image_id) == ("RESCUE", guest.server.image_id)
    assert rescued.host_key not in (None, own_key)
    with login(guest) as shell:
        # Both disks have the same labels: the root must be the rescue disk's.
        assert "/dev/vda" in shell.run("awk '$2 == \"/\" { print $1 }' /proc/mounts").stdout
        assert shell.run("cat /root/marker").exit_status != 0
        assert shell.run("cat /sys/block/vdb/serial").stdout.strip() == volume.id[:20]
        shell.run("modprobe -a sd_mod virtio_scsi; mkdir /tmp/own && mount /dev/sda2 /tmp/own", check=True)
        assert shell.run("cat /tmp/own/root/marker").stdout == "its-own\n"
        shell.run("echo mended >/tmp/own/root/marker; umount /tmp/own", check=True)
    mended = cloud.servers.unrescue(guest.server)
    assert (mended.status, mended.host_key) == ("ACTIVE", own_key)
    with login(guest) as shell:
        assert shell.run("cat /root/marker").stdout == "mended\n"
        assert shell.run("cat /sys/block/vdb/serial").stdout.strip() == volume.id[:20]
    cloud.servers.stop(guest.server)
    cloud.volumes.detach(volume, guest.server)


def test_a_rebuilt_guest_is_new_and_keeps_what_stays(bed: LibvirtBed, guest: Guest) -> None:
    cloud, id = guest.cloud, guest.server.id
    write(guest, "old")
    cloud.servers.resize(guest.server, large(guest))
    image = cloud.images.get(NAME)
    rebuilt = cloud.servers.rebuild(guest.server, image)
    assert (rebuilt.addresses, rebuilt.key_pair) == (guest.server.addresses, guest.server.key_pair)
    assert rebuilt.host_key not in (None, guest.server.host_key)
    assert files(bed, id) == [f"ck-{id}.disk"]
    with login(guest) as shell:
        assert shell.run("cat /root/marker").exit_status != 0
        assert shell.run("cat /sys/block/vda/size").stdout.strip() == str(2 << 21)
    seed = (bed.pool_path / f"ck-{id}.seed").read_bytes()
    assert b"PRIVATE KEY" in seed
    cloud.servers.stop(guest.server)
    cloud.servers.start(guest.server)
    assert b"PRIVATE KEY" not in (bed.pool_path / f"ck-{id}.seed").read_bytes()
    # The key that it took over at its first boot.
    assert read(guest, "hostname") == NAME


@pytest.mark.parametrize("hard", [True, False])
def test_a_server_whose_emulator_was_killed_is_stopped_and_starts_anew(
    bed: LibvirtBed, guest: Guest, hard: bool
) -> None:
    cloud = guest.cloud
    bed.kill_guests()
    failed = cloud.servers.wait(guest.server, "ERROR", timeout_s=30)
    assert failed.fault is not None
    stopped = cloud.servers.stop(guest.server, hard=hard)
    assert (stopped.status, stopped.fault) == ("SHUTOFF", None)
    assert cloud.servers.start(guest.server).status == "ACTIVE"
