"""A real libvirt that is looked at and never changed; and ways to it that cannot be used."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from bed import LibvirtBed
from saved_guest import Guest, connect

import cloudkit
from cloudkit import Cloud, CloudError, Kind, PermissionDenied, Unsupported

CHANGES: dict[str, Callable[[Cloud, Any], Any]] = {
    "stop": lambda cloud, guest: cloud.servers.stop(guest, hard=True),
    "reboot": lambda cloud, guest: cloud.servers.reboot(guest),
    "pause": lambda cloud, guest: cloud.servers.pause(guest),
    "delete a server": lambda cloud, guest: cloud.servers.delete(guest),
    "create a server": lambda cloud, _: cloud.servers.create("no", image="guest", flavor="guest"),
    "image of a server": lambda cloud, guest: cloud.servers.create_image(guest, "no"),
    "create a volume": lambda cloud, _: cloud.volumes.create("no", size_gib=1),
    "delete an image": lambda cloud, _: cloud.images.delete("guest"),
    "upload": lambda cloud, _: cloud.images.upload("no", data=io.BytesIO(bytes(4096)), disk_format="raw"),
    "create a network": lambda cloud, _: cloud.networks.create("no", cidr="172.16.9.0/24"),
    "delete a network": lambda cloud, _: cloud.networks.delete("guest"),
    "create a flavor": lambda cloud, _: cloud.flavors.create("no", vcpus=1, ram_mib=64, disk_gib=1),
    "delete a key pair": lambda cloud, _: cloud.key_pairs.delete("guest"),
}


def everything(cloud: Cloud) -> set[Any]:
    """All values of all kinds."""
    return {
        value
        for kind in Kind
        if kind.value in ("servers", "images", "flavors", "key_pairs", "networks", "subnets", "ports", "volumes")
        for value in getattr(cloud, kind.value).list()
    }


def test_all_is_seen_and_nothing_can_be_changed(guest: Guest, bed: LibvirtBed) -> None:
    before = everything(guest.cloud)
    files = sorted(bed.pool_path.iterdir())
    with connect(bed, read_only=True) as cloud:
        assert everything(cloud) == before
        with cloud.ssh(guest.server, user="root", key=guest.key_path) as shell:
            assert shell.run("hostname", check=True).stdout
        for name, change in CHANGES.items():
            with pytest.raises(PermissionDenied, match="read_only=true") as raised:
                change(cloud, guest.server)
            assert raised.value.hint, name
        assert cloud.sweep() == []
    assert everything(guest.cloud) == before
    assert sorted(bed.pool_path.iterdir()) == files


def test_an_empty_host_stays_empty(bed: LibvirtBed) -> None:
    with pytest.raises(PermissionDenied, match="making the pool 'not-there'"):
        connect(bed, read_only=True, pool="not-there")


@pytest.mark.parametrize(
    ("uri", "error", "words"),
    [
        ("qemu+unix:///system?socket={run}/libvirt-sock-ro", PermissionDenied, "reading only"),
        ("xen+unix:///system?socket={run}/libvirt-sock", Unsupported, "no driver"),
        ("vbox+unix:///session?socket={run}/libvirt-sock", Unsupported, "no driver"),
        ("hyperv://127.0.0.1/", Unsupported, "no driver"),
    ],
)
def test_a_way_that_cannot_be_used_says_why(
    guest: Guest, bed: LibvirtBed, uri: str, error: type[CloudError], words: str
) -> None:
    del guest  # So that there is a pool.
    with pytest.raises(error, match=words) as raised:
        cloudkit.connect(f"libvirt+{uri.format(run=bed.folder / 'run')}", pool_path=str(bed.pool_path))
    assert raised.value.fault
    assert raised.value.hint
