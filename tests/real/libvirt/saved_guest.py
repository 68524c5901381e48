"""A guest that has booted once and is put back as often as tests want one: 1 s instead of a boot.

It is kept as files: the pool with all records and disks, the XML of network and domain, and the guest's memory.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt  # type: ignore[import-untyped, unused-ignore]
from bare_driver import guest_path
from bed import LibvirtBed

import cloudkit
from cloudkit import Cloud, Server

NAME = "guest"
USER = "root"


@dataclass(frozen=True)
class Guest:
    """A running guest and how to log in to it, as root."""

    cloud: Cloud
    server: Server
    key_path: Path

    def await_agent(self) -> None:
        """After a restore it takes the guest a moment to answer."""
        domain = self.cloud.native.lookupByUUIDString(self.server.id)
        deadline = time.monotonic() + 60
        while True:
            try:
                domain.getTime()
            except libvirt.libvirtError:
                assert time.monotonic() < deadline, "the guest's agent does not answer"
                time.sleep(0.2)
            else:
                return


class SavedGuest:
    """One server with its network, image, flavor and key pair, all called NAME."""

    def __init__(self, bed: LibvirtBed, folder: Path) -> None:
        """Boot the guest, save all of it into ``folder``, and delete it."""
        self.key_path = folder / "id_ed25519"
        self._bed = bed
        self._pool = folder / "pool"
        self._memory = folder / "memory"
        with connect(bed) as cloud, deleting_all(cloud):
            server = self._boot(cloud)
            # Its agent starts later than its SSH server, and what is half-done when it is saved may never be done.
            Guest(cloud, server, self.key_path).await_agent()
            with cloud.ssh(server, user=USER, key=self.key_path) as shell:
                shell.run("sync", check=True)
            cloud.servers.suspend(server)
            domain = cloud.native.lookupByUUIDString(server.id)
            (network,) = cloud.native.listAllNetworks()
            self._domain_xml: str = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
            self._network_xml: str = network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE)
            copy(bed.pool_path, self._pool)
            copy(bed.folder / f"lib/qemu/save/{domain.name()}.save", self._memory)

    def put_back(self) -> None:
        """Let it run again, as it was when it was saved."""
        copy(self._pool, self._bed.pool_path)
        connection = libvirt.open(self._bed.uri)
        try:
            network = connection.networkDefineXML(self._network_xml)
            network.create()
            connection.defineXML(self._domain_xml)
            connection.restore(str(self._memory))
        finally:
            connection.close()

    def _boot(self, cloud: Cloud) -> Server:
        cloud.networks.create(NAME, cidr="172.16.1.0/24")
        cloud.images.upload(NAME, path=guest_path())
        cloud.flavors.create(NAME, vcpus=1, ram_mib=128, disk_gib=1)
        cloud.key_pairs.generate(NAME, self.key_path)
        return cloud.servers.create(NAME, image=NAME, flavor=NAME, key_pair=NAME)


def connect(bed: LibvirtBed, **options: Any) -> Cloud:
    """The bed's libvirt by URL, as a Cloud; without filters, so that a login needs no security group."""
    given = {"pool_path": str(bed.pool_path), "host_network": "off", **options}
    return cloudkit.connect(f"libvirt+{bed.uri}", **given)


@contextmanager
def deleting_all(cloud: Cloud) -> Generator[None]:
    """Delete all that the project has, at the end."""
    try:
        yield
    finally:
        for collection in (
            cloud.servers,
            cloud.backups,
            cloud.snapshots,
            cloud.volumes,
            cloud.images,
            cloud.ports,
            cloud.networks,
            cloud.key_pairs,
            cloud.flavors,
        ):
            for value in list(collection.list()):
                collection.delete(value, missing_ok=True)


def copy(source: Path, target: Path) -> None:
    """Copy a file or all of a folder; holes stay holes."""
    if source.is_dir():
        target.mkdir(exist_ok=True)
        subprocess.run(["cp", "--archive", "--sparse=always", f"{source}/.", target], check=True)
    else:
        shutil.copyfile(source, target)
