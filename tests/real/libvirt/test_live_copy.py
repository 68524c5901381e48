"""libvirt goes away while it copies a running guest's disk: the copy is ended, the guest and the next copy go on."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from typing import Any

import libvirt
import libvirt_qemu
import pytest
from bed import LibvirtBed
from qemu_monitor import monitor
from saved_guest import USER, Guest

from cloudkit import Volume
from cloudkit.errors import Unavailable

MIB = 1 << 20
CONTENT_MIB = 256
"""As much as takes some time to copy."""

BACKUP = """
<domainbackup mode="push"><disks>
    <disk name="vdb" backup="yes" type="file"><driver type="qcow2"/><target file="{path}"/></disk>
</disks></domainbackup>
"""


@pytest.fixture
def volume(guest: Guest) -> Volume:
    """A volume of the running guest."""
    content = io.BytesIO(b"content " * (CONTENT_MIB * MIB // 8))
    image = guest.cloud.images.upload("content", data=content, disk_format="raw")
    volume = guest.cloud.volumes.create("volume", size_gib=1, image=image)
    guest.cloud.volumes.attach(volume, guest.server)
    return guest.cloud.volumes.get(volume)


def hold(domain: libvirt.virDomain) -> None:
    """Let what is copied of the domain take hours."""

    def command(name: str, **arguments: Any) -> Any:
        text = json.dumps({"execute": name, "arguments": arguments})
        return json.loads(libvirt_qemu.qemuMonitorCommand(domain, text, 0))["return"]

    set_speed(command, 1)


def set_speed(command: Callable[..., Any], bytes_per_s: int) -> str:
    """Set how fast the one job of a QEMU goes, 0 for as fast as it can; returns the job's id."""
    (job,) = command("query-block-jobs")
    command("block-job-set-speed", device=job["device"], speed=bytes_per_s)
    return str(job["device"])


def test_one_whose_begin_was_not_answered_is_ended(
    guest: Guest, volume: Volume, bed: LibvirtBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = guest.cloud
    guest.await_agent()
    begin = libvirt.virDomain.backupBegin

    def unanswered(domain: libvirt.virDomain, *arguments: Any) -> None:
        begin(domain, *arguments)
        hold(domain)
        bed.restart_libvirtd()
        domain.info()

    with monkeypatch.context() as patch:
        patch.setattr(libvirt.virDomain, "backupBegin", unanswered)
        with pytest.raises(Unavailable):
            cloud.snapshots.create("snapshot", volume=volume, force=True)
    assert cloud.snapshots.find("snapshot") is None
    with cloud.ssh(guest.server, user=USER, key=guest.key_path) as shell:
        shell.run("echo alive >/root/alive && sync", check=True)
    cloud.snapshots.create("snapshot", volume=volume, force=True)


def test_one_whose_end_libvirt_has_missed_lets_the_next_begin(guest: Guest, volume: Volume, bed: LibvirtBed) -> None:
    domain = guest.cloud.native.lookupByUUIDString(guest.server.id)
    copy = bed.folder / "copy.qcow2"
    domain.backupBegin(BACKUP.format(path=copy), None)
    hold(domain)
    bed.kill_libvirtd()
    with monitor(bed, domain.name()) as command:
        job = set_speed(command, 0)
        deadline = time.monotonic() + 30
        while [each["status"] for each in command("query-jobs")] != ["concluded"]:
            assert time.monotonic() < deadline
        command("job-dismiss", id=job)
    bed.start_libvirtd()
    guest.cloud.snapshots.create("snapshot", volume=volume, force=True)
