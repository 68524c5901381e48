"""Images on a real host: what is refused leaves no trace, and what is taken becomes a disk of our own making."""

from __future__ import annotations

import io
import subprocess
import uuid
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

import libvirt
import pytest
from bare_driver import guest_path
from bed import LibvirtBed
from saved_guest import USER, Guest, deleting_all

from cloudkit import Cloud, image_format
from cloudkit.conformance import made_images as made
from cloudkit.driver import EVERYTHING
from cloudkit.errors import CloudError, InvalidRequest, Unsupported
from cloudkit.types import ImageSpec, Mark
from cloudkit_libvirt.images import base_name

CANARY = b"what must never be seen in the pool " * 2000


@pytest.fixture
def empty(cloud: Cloud) -> Generator[Cloud]:
    """A cloud of which nothing stays."""
    with deleting_all(cloud):
        yield cloud


class Stream(io.RawIOBase):
    """Bytes that come once, so that only the driver sees them all."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        return self._content.read(min(size, 70_000))


def pool_files(bed: LibvirtBed) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in bed.pool_path.iterdir()}


def test_the_corpus_is_refused_and_no_file_of_the_host_is_read(bed: LibvirtBed, driver: Any, empty: Cloud) -> None:
    canary = bed.folder / "canary"
    canary.write_bytes(CANARY)
    # Something that must stay as it is.
    empty.images.upload("good", data=made.qcow2())
    before = pool_files(bed)
    refused = 0
    for bad in made.corpus(str(canary)):
        claimed = bad.claimed or image_format.detect(bad.content)
        spec = ImageSpec(name=bad.name, mark=Mark(request=str(uuid.uuid4())), disk_format=claimed)
        attempts: tuple[Callable[[], Any], ...] = (
            partial(driver.image.images.create, spec, io.BytesIO(bad.content), None),
            partial(empty.images.upload, bad.name, data=bad.content, disk_format=bad.claimed),
            partial(empty.images.upload, bad.name, data=Stream(bad.content), disk_format=bad.claimed),
        )
        for attempt in attempts:
            with pytest.raises(InvalidRequest) as raised:
                attempt()
            assert raised.value.hint, bad.name
            refused += 1
    assert refused == 3 * len(made.corpus())
    assert pool_files(bed) == before
    assert [image.name for image in driver.image.images.list(EVERYTHING)] == ["good"]
    assert not [name for name, content in pool_files(bed).items() if CANARY[:100] in content]
    canary.unlink()


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("raw", ()),
        ("qcow2", ("-o", "compat=0.10")),
        ("qcow2", ("-c", "-o", "compression_type=zstd")),
        ("vmdk", ()),
        ("vmdk", ("-o", "subformat=streamOptimized")),
    ],
    ids=["raw", "old", "zstd", "vmdk", "stream"],
)
def test_what_servers_get_is_a_fresh_qcow2_and_what_is_given_back_is_what_came(
    bed: LibvirtBed, empty: Cloud, tmp_path: Path, format: str, options: tuple[str, ...]
) -> None:
    path = tmp_path / "guest"
    convert = ["qemu-img", "convert", "-f", "qcow2", "-O", format, *options, guest_path(), path]
    subprocess.run(convert, check=True, timeout=60)
    image = empty.images.upload("guest", path=path)
    assert (image.disk_format, image.size_bytes) == (format, path.stat().st_size)
    base = bed.pool_path / base_name(image.id)
    with base.open("rb") as file:
        info = image_format.inspect_file(file, "qcow2")
    assert info.virtual_size_bytes == image.virtual_size_bytes
    compare = ["qemu-img", "compare", "-f", format, "-F", "qcow2", path, base]
    subprocess.run(compare, check=True, timeout=60)
    empty.images.download(image, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == path.read_bytes()


def test_a_servers_disk_names_its_whole_chain(bed: LibvirtBed, empty: Cloud) -> None:
    image = empty.images.upload("blank", data=bytes(1 << 20))
    empty.flavors.create("small", vcpus=1, ram_mib=64, disk_gib=1)
    server = empty.servers.create("server", image=image, flavor="small", networks="none")
    root = empty.raw(server).partition("<disk ")[2].partition("</disk>")[0]
    base = bed.pool_path / base_name(image.id)
    assert "<driver name='qemu' type='qcow2'" in root
    assert f"<source file='{base}'" in root
    assert "<format type='qcow2'/>" in root
    assert root.count("<backingStore/>") == 1


def test_an_image_that_boots_by_uefi(bed: LibvirtBed, empty: Cloud, tmp_path: Path) -> None:
    key = tmp_path / "key"
    empty.networks.create("net", cidr="172.16.1.0/24")
    empty.key_pairs.generate("me", key)
    # GRUB takes no less.
    flavor = empty.flavors.create("small", vcpus=1, ram_mib=256, disk_gib=1)
    image = empty.images.upload("guest", path=guest_path(), metadata={"hw_firmware_type": "uefi"})
    server = empty.servers.create("server", image=image, flavor=flavor, key_pair="me")
    with empty.ssh(server, user=USER, key=key, timeout_s=180) as shell:
        shell.run("mount -t sysfs none /sys 2>/dev/null; test -d /sys/firmware/efi", check=True)
    variables = list((bed.folder / "lib").rglob("*_VARS*"))
    assert [path.name.startswith(f"ck-{server.id}") for path in variables] == [True]
    bios = empty.images.upload("bios", data=bytes(1 << 20))
    with pytest.raises(InvalidRequest, match="boots by bios, and the server by uefi"):
        empty.servers.rebuild(server, bios)
    empty.servers.stop(server, hard=True)
    assert empty.servers.create_image(server, "copy").metadata["hw_firmware_type"] == "uefi"
    empty.servers.delete(server)
    assert list((bed.folder / "lib").rglob("*_VARS*")) == []


def test_what_the_host_cannot_boot_is_told_before_anything_is_made(
    empty: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty.flavors.create("small", vcpus=1, ram_mib=64, disk_gib=1)
    uefi = empty.images.upload("uefi", data=bytes(1 << 20), metadata={"hw_firmware_type": "uefi"})
    capabilities = "<domainCapabilities><os><enum name='firmware'/></os></domainCapabilities>"
    monkeypatch.setattr(libvirt.virConnect, "getDomainCapabilities", lambda *_arguments: capabilities)
    with pytest.raises(Unsupported, match="no such firmware") as raised:
        empty.servers.create("server", image=uefi, flavor="small", networks="none")
    assert "ovmf" in raised.value.hint
    assert list(empty.servers.list()) == []


def test_a_running_guest_is_held_still_for_a_moment(guest: Guest) -> None:
    guest.await_agent()
    image = guest.cloud.servers.create_image(guest.server, "copy", metadata={"mine": "1"})
    assert image.metadata == {"mine": "1", "consistency": "file-system"}
    with guest.cloud.ssh(guest.server, user=USER, key=guest.key_path) as shell:
        shell.run("echo alive >/root/alive && sync", check=True)


def test_a_guest_is_let_go_when_the_copy_fails(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    guest.await_agent()

    def failing(*_arguments: object) -> None:
        raise libvirt.libvirtError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(libvirt.virDomain, "backupBegin", failing)
        with pytest.raises(CloudError):
            guest.cloud.servers.create_image(guest.server, "copy")
    assert guest.cloud.images.find("copy") is None
    with guest.cloud.ssh(guest.server, user=USER, key=guest.key_path) as shell:
        shell.run("echo alive >/root/alive && sync", check=True)


def test_without_an_agent_the_image_says_that_it_is_as_after_a_crash(guest: Guest) -> None:
    # It starts later than the SSH server, and one that starts after killall stays.
    guest.await_agent()
    with guest.cloud.ssh(guest.server, user=USER, key=guest.key_path) as shell:
        shell.run("killall qemu-ga; while pidof qemu-ga; do sleep 0.1; done", check=True, timeout_s=60)
    assert guest.cloud.servers.create_image(guest.server, "copy").metadata["consistency"] == "crash"
