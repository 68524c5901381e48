"""What servers offer where guests really run: a console, addresses that answer, images of their disks."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import libvirt

from cloudkit.errors import InvalidRequest, InvalidState
from cloudkit.types import Endpoint, FrozenMap, Image, ImageSpec, Sample, ServerStatus
from cloudkit_libvirt import firmware, images, places
from cloudkit_libvirt.console import DomainConsole
from cloudkit_libvirt.domain_xml import ROOT_DEVICE
from cloudkit_libvirt.places import Place
from cloudkit_libvirt.plugged import Plugged
from cloudkit_libvirt.samples import size_samples, usage_samples
from cloudkit_libvirt.seed_network import tap_name
from cloudkit_libvirt.server_build import console_name, seed_name
from cloudkit_libvirt.servers import Servers
from cloudkit_libvirt.undo import undoing

S = ServerStatus
CONSISTENCY = "consistency"
"""What an image's metadata say of a server that ran."""
_WITH_CONSOLE = (S.ACTIVE, S.PAUSED, S.RESCUE, S.VERIFY_RESIZE)
_STATS = (
    libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)


class GuestServers(Servers):
    """Virtual machines with guests in them."""

    def console_log(self, id: str, lines: int | None) -> str:
        """What the guest printed since it was powered on."""
        self._own(id)
        try:
            text = b"".join(self._context.pool.download(console_name(id))).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        if lines is None:
            return text
        return "".join(text.splitlines(keepends=True)[-lines:]) if lines > 0 else ""

    def console(self, id: str) -> DomainConsole:
        """Open the serial console as a terminal."""
        record = self._own(id)
        domain = self._fitting_domain(record, "console", *_WITH_CONSOLE)
        if not domain.isActive():
            raise InvalidState(f"the server {record.body.name!r} is off", driver="libvirt", resource=id)
        return DomainConsole(self._context.connection, domain)

    def samples(self, id: str) -> tuple[Sample, ...]:
        """What it uses now."""
        body, now = self._own(id).body, datetime.now(UTC)
        domain = self._context.domains.find(id)
        found = size_samples(id, body.vcpus, body.ram_mib, now)
        if domain is not None and domain.isActive():
            ((_, stats),) = self._context.connection.virt.domainListGetStats([domain], _STATS)
            taps = tuple(map(tap_name, body.port_ids))
            found += usage_samples(id, stats, taps, self._context.pool.path(seed_name(id)), now)
        return tuple(found)

    def endpoints(self, id: str, port: int) -> tuple[Endpoint, ...]:
        """Its floating addresses, then its fixed ones; for a remote host through an ssh jump to it."""
        record = self._own(id)
        plugged = Plugged(self._context.records.view(), self._context.cloud_id, [record])
        addresses = sorted(plugged.addresses(record), key=lambda address: not address.floating)
        return tuple(self._context.connection.endpoint(address.ip, port) for address in addresses)

    def create_image(self, id: str, spec: ImageSpec) -> Image:
        """Copy the root disk to a new qcow2 image; a running guest goes on meanwhile."""
        server, domain = self._fitting(id, "create_image", S.ACTIVE, S.SHUTOFF, S.PAUSED, S.SUSPENDED)
        if spec.disk_format != "qcow2":
            raise InvalidRequest("images of servers are qcow2", driver="libvirt", resource=spec.name)
        body = images.body_of(spec, self._project_id, server_id=id)
        collection = images.Images(self._context, self._project_id)
        record = self._context.records.create(str(uuid.uuid4()), body)
        name = images.volume_name(record.id)
        with undoing(lambda: collection.discard(record.id)):
            pool, (root, size_bytes) = self._context.pool, self._root(server)
            consistency = places.copy(self._context, root, Place(pool, name), (id, ROOT_DEVICE))
            facts = {CONSISTENCY: consistency.value} if consistency else {}
            if firmware.of(self._context.domains.tree(domain)) == firmware.UEFI:
                facts[firmware.PROPERTY] = firmware.UEFI
            done = replace(
                body,
                metadata=FrozenMap({**facts, **body.metadata}),
                size_bytes=pool.length_bytes(name),
                virtual_size_bytes=size_bytes,
            )
            return collection.value(collection.finish(record, done))
