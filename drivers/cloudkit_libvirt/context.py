"""What all parts of the driver share: the connection, the pool, the records, and facts about the host."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import libvirt

from cloudkit_libvirt.connection import Connection
from cloudkit_libvirt.domains import Domains
from cloudkit_libvirt.hostnet.reconcile import HostNetwork
from cloudkit_libvirt.pool import Pool
from cloudkit_libvirt.pools import Pools
from cloudkit_libvirt.promised import Promised
from cloudkit_libvirt.records import Records


@dataclass(frozen=True, slots=True)
class Context:
    """One libvirt host and pool, shared by the drivers of all projects.

    Attributes:
        pool: holds the records, images and servers' disks.
        pools: all pools, which hold volumes, snapshots and backups.
        domain_type: ``kvm``, ``qemu`` or ``test``.
        simulated: libvirt's test driver, whose volumes hold no bytes.
        max_image_bytes: the largest virtual size of an image that is taken.
        hostnet: the host's routing and filters, where this client may change them.
        user_network: an unprivileged libvirt, whose guests are on QEMU's user network.
        live_copies: domain UUID → what threads that copy its disks wait for each other with.
        starts: held while an emulator is started for a create; as many at once as the host has cores.
        read_only: nothing is to be changed.
        resume_servers: libvirt is to start a server again when the host has booted.
        plug_lock: choosing a disk's name and plugging it in is one step within a process.
        promised: addresses that threads of this process are about to take.
    """

    connection: Connection
    pool: Pool
    pools: Pools
    records: Records
    domains: Domains
    cloud_id: str
    domain_type: str
    arch: str
    simulated: bool
    max_image_bytes: int
    starts: threading.BoundedSemaphore
    hostnet: HostNetwork | None = None
    user_network: bool = False
    read_only: bool = False
    resume_servers: bool = False
    plug_lock: threading.Lock = field(default_factory=threading.Lock)
    promised: Promised = field(default_factory=Promised)
    live_copies: dict[str, threading.Lock] = field(default_factory=dict[str, threading.Lock])

    def reconcile(self) -> None:
        """Have the host's network follow the records; where libvirt alone cares for it, there is nothing to do."""
        if self.hostnet is not None:
            self.hostnet.reconcile()

    def set_resumed(self, domain: libvirt.virDomain, resumed: bool) -> None:
        """Note with libvirt whether a server is to start when the host has booted, where that is wanted at all."""
        if self.resume_servers:
            domain.setAutostart(resumed)
