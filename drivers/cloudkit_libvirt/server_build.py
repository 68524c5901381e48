"""Making a server: checks first, then ports, disks and domain, each undone by ``teardown``."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cloudkit._hostname import hostname_of
from cloudkit.errors import InvalidRequest
from cloudkit.types import Nic, ServerSpec, VolumeStatus
from cloudkit_libvirt import domain_xml, firmware, images, network_xml, seed, server_groups
from cloudkit_libvirt.bodies import (
    FlavorBody,
    ImageBody,
    NetworkBody,
    Phase,
    Plug,
    PlugPhase,
    PortBody,
    ServerBody,
    ServerGroupBody,
    VolumeBody,
    common_of,
    now_text,
)
from cloudkit_libvirt.context import Context
from cloudkit_libvirt.key_pairs import find_key_pair
from cloudkit_libvirt.places import volume_place
from cloudkit_libvirt.ports import Ports, Wish, has_subnet
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.seed_network import network_data
from cloudkit_libvirt.user_network import UserPorts
from cloudkit_libvirt.volume_state import require_state
from cloudkit_libvirt.xml_tree import Element
from cloudkit_libvirt.zone import ZONE, check_zone

GIB = 1 << 30
LookUp = Callable[[View, type[Any], str], Record[Any]]
_NATIVE_KEYS = frozenset({"domain"})


def disk_name(server_id: str, layer: int = 0) -> str:
    """The volume of a layer of a server's root disk."""
    return f"ck-{server_id}.disk{layer or ''}"


def rescue_name(server_id: str) -> str:
    """The volume that a rescued server boots from."""
    return f"ck-{server_id}.rescue"


def seed_name(server_id: str) -> str:
    """The volume of a server's seed."""
    return f"ck-{server_id}.seed"


def console_name(server_id: str) -> str:
    """The volume that holds what a server printed to its console."""
    return f"ck-{server_id}.console"


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for, looked up and found good."""

    spec: ServerSpec
    id: str
    image: Record[ImageBody] | None
    boot_volume: Record[VolumeBody] | None
    firmware: str
    flavor: Record[FlavorBody]
    public_keys: Mapping[str, str]
    nics: tuple[tuple[str, Nic], ...]
    alter_domain: Callable[[Element], object] | None
    group_ids: tuple[str, ...] | None = None

    @property
    def port_ids(self) -> tuple[str, ...]:
        """Known before any port is made, so that the server's record names all that a crash can leave."""
        return tuple(port_id for port_id, _ in self.nics)

    @property
    def disk_bytes(self) -> int:
        """Size of the root disk."""
        if self.boot_volume is not None:
            return self.boot_volume.body.size_gib * GIB
        assert self.image is not None
        return self.flavor.body.disk_gib * GIB or self.image.body.virtual_size_bytes


class Builder:
    """Makes servers of one project."""

    def __init__(
        self, context: Context, project_id: str, ready: Callable[[View, type[Any], str], Record[Any]]
    ) -> None:
        """``ready`` looks up a record that the project sees, or raises."""
        self._context = context
        self._project_id = project_id
        self._ready = ready
        self._ports = (UserPorts if context.user_network else Ports)(context, project_id)

    def plan(self, spec: ServerSpec) -> Plan:
        """Look up and check everything, and change nothing."""
        self._ports.check(spec.nics)
        view = self._context.records.view()
        check_zone(spec)
        if spec.server_group_id is not None:
            self._ready(view, ServerGroupBody, spec.server_group_id)
        flavor: Record[FlavorBody] = self._ready(view, FlavorBody, spec.flavor_id)
        image: Record[ImageBody] | None = None
        if spec.image_id is not None:
            image = self._ready(view, ImageBody, spec.image_id)
            check_fit(image.body, flavor.body)
        boot_volume = self._boot_volume(view, spec)
        keys: dict[str, str] = {}
        if spec.key_pair is not None:
            keys[spec.key_pair] = find_key_pair(view, self._project_id, spec.key_pair).body.public_key.strip()
        return Plan(
            spec=spec,
            id=str(uuid.uuid4()),
            image=image,
            boot_volume=boot_volume,
            firmware=self._firmware(view, image, boot_volume),
            flavor=flavor,
            public_keys=keys,
            nics=tuple((nic.port_id or str(uuid.uuid4()), self.check_nic(view, nic)) for nic in spec.nics),
            alter_domain=_alteration(spec.native),
            group_ids=self._ports.group_ids(view, spec.security_group_ids or None),
        )

    def body(self, plan: Plan) -> ServerBody:
        """The record to write first."""
        spec, flavor = plan.spec, plan.flavor.body
        return ServerBody(
            **common_of(spec, self._project_id),
            image_id=plan.image.id if plan.image else None,
            boot_volume_id=plan.boot_volume.id if plan.boot_volume else None,
            flavor_id=plan.flavor.id,
            vcpus=flavor.vcpus,
            ram_mib=flavor.ram_mib,
            disk_bytes=plan.disk_bytes,
            port_ids=plan.port_ids,
            key_pair=spec.key_pair,
            metadata=spec.metadata,
            tags=spec.tags,
            server_group_id=spec.server_group_id,
        )

    def build(self, plan: Plan, body: ServerBody) -> ServerBody:
        """Make and start it; returns the body with what came to be known."""
        view = self._context.records.view()
        if plan.image is not None:
            # A delete of the image at the same time sees this server's record, or this sees the delete.
            self._ready(view, ImageBody, plan.image.id)
        if plan.spec.server_group_id is not None:
            server_groups.join(self._context.records, plan.spec.server_group_id, plan.id)
        ports = self._plug_all(view, plan, body)
        if ports:
            # Before the guest runs: it is never without its filters.
            self._context.reconcile()
        host_key = seed.HostKey.generate() if plan.spec.inject_host_key is not False else None
        disk = seed.build(self._instance(plan, body, network_data(view, ports)), host_key)
        root = self._root_disk(plan)
        self._make_volumes(plan.id, disk)
        nics = tuple(self.interface(view, port) for port in ports)
        element = domain_xml.domain(self._domain_spec(plan, body, root, nics))
        if plan.alter_domain is not None:
            plan.alter_domain(element)
        domain = self._context.domains.define(element)
        # More at once than there are cores would all be slower, and their guests' boots run into time-outs.
        with self._context.starts:
            domain.create()
        self._context.set_resumed(domain, True)
        return replace(
            body,
            host_key=host_key.fingerprint if host_key else None,
            key_extents=disk.key_extents,
            secret_extent=disk.key_extents[0] if disk.key_extents else None,
        )

    def teardown(self, id: str, body: ServerBody) -> View:
        """Undo all of a server but its record, from whatever state it is in; returns the look that it went by."""
        self._context.domains.remove(id)
        # Before any record is changed: in a full pool that needs the room.
        self._context.pool.delete_all(f"ck-{id}.", unseen=False)
        view = self._context.records.view()
        self._unplug_volumes(view, id)
        for port_id in body.port_ids:
            self._ports.unplug(view, port_id, id)
        if body.server_group_id is not None:
            server_groups.leave(self._context.records, body.server_group_id, id)
        if body.port_ids:
            self._context.reconcile()
        return view

    def make_overlay(self, name: str, size_bytes: int, image: Record[ImageBody]) -> None:
        """A disk built on an image."""
        base, format = images.disk_of(image)
        self._context.pool.create_overlay(name, size_bytes, self._context.pool.path(base), format)

    def backing(self, image: Record[ImageBody]) -> Element:
        """What a domain is told to lie under such a disk."""
        base, format = images.disk_of(image)
        return domain_xml.image_backing(self._context.pool.path_for(base), format)

    # -- parts

    def _instance(self, plan: Plan, body: ServerBody, network: Mapping[str, Any]) -> seed.Instance:
        return seed.Instance(
            id=plan.id,
            name=body.name,
            hostname=hostname_of(body.name, plan.id),
            project_id=self._project_id,
            zone=ZONE,
            public_keys=plan.public_keys,
            metadata=body.metadata,
            user_data=plan.spec.user_data or b"",
            network=network,
        )

    def check_nic(self, view: View, nic: Nic) -> Nic:
        """The same with the port's network; raises what a server that is made with it would."""
        if nic.port_id is not None:
            port: Record[PortBody] = self._ready(view, PortBody, nic.port_id)
            network_id = port.body.network_id
        elif nic.network_id is not None:
            network_id = nic.network_id
        else:
            raise InvalidRequest("an interface needs a network or a port", driver="libvirt")
        network: Record[NetworkBody] = self._ready(view, NetworkBody, network_id)
        if not has_subnet(view, network_id):
            raise InvalidRequest(
                f"the network {network.body.name!r} has no subnet, so a server cannot be plugged into it",
                driver="libvirt",
                resource=network_id,
                hint="Create a subnet on it first.",
            )
        return replace(nic, network_id=network_id)

    def _plug_all(self, view: View, plan: Plan, body: ServerBody) -> list[Record[PortBody]]:
        ports: list[Record[PortBody]] = []
        for port_id, nic in plan.nics:
            # The next one must not try for the address of the one before.
            now = self._context.records.view() if ports else view
            ports.append(self.plug(now, nic, port_id, Record(plan.id, 1, body), plan.group_ids))
        return ports

    def plug(
        self,
        view: View,
        nic: Nic,
        port_id: str,
        server: Record[ServerBody],
        group_ids: tuple[str, ...] | None = None,
    ) -> Record[PortBody]:
        """Give a server the port that a checked ``nic`` names, or one that is made.

        Args:
            group_ids: None for the project's default.
        """
        if nic.port_id is not None:
            return self._ports.plug(port_id, server.id)
        assert nic.network_id is not None
        wanted = PortBody(
            phase=Phase.CREATING,
            project_id=self._project_id,
            name="",
            created_at=now_text(),
            request=server.body.request,
            scope=server.body.scope,
            network_id=nic.network_id,
            subnet_id=None,
            mac="",
            ip=None,
            device_id=server.id,
            owned=True,
            group_ids=self._ports.group_ids(view, None) if group_ids is None else group_ids,
        )
        return self._ports.make(view, port_id, wanted, Wish(ip=nic.fixed_ip))

    def interface(self, view: View, port: Record[PortBody]) -> domain_xml.Nic:
        """How a domain is told of a port."""
        network_id = port.body.network_id
        mtu = view.get(NetworkBody, network_id).body.mtu
        hostnet = self._context.hostnet
        if port.body.trunk:
            return domain_xml.Nic(
                mac=port.body.mac,
                network=None,
                mtu=mtu,
                tap=network_xml.trunk_tap_name(port.id),
                switch=network_xml.trunk_name(port.id),
                finished=hostnet is not None and hostnet.copies_packets,
            )
        return domain_xml.Nic(
            mac=port.body.mac,
            network=None if self._context.user_network else network_xml.libvirt_name(network_id),
            mtu=mtu,
            # Told, as the filters are by it.
            tap=network_xml.tap_name(port.id) if hostnet is not None else None,
        )

    def _boot_volume(self, view: View, spec: ServerSpec) -> Record[VolumeBody] | None:
        """The volume to boot from, if that is asked for; raises InvalidState unless it is free."""
        if spec.boot_volume_id is None:
            if spec.image_id is None:
                raise InvalidRequest("a server needs an image or a boot volume", driver="libvirt", resource=spec.name)
            return None
        volume: Record[VolumeBody] = self._ready(view, VolumeBody, spec.boot_volume_id)
        if not volume.body.bootable:
            raise InvalidRequest(
                f"the volume {volume.body.name!r} is not bootable",
                driver="libvirt",
                resource=volume.id,
                hint="Make one from an image, or from a snapshot or copy of such a volume.",
            )
        require_state(self._context, volume, view, VolumeStatus.AVAILABLE)
        return volume

    def _firmware(self, view: View, image: Record[ImageBody] | None, boot_volume: Record[VolumeBody] | None) -> str:
        """What the image asks for that the disk is made from; BIOS where a volume's is gone. Raises Unsupported."""
        if boot_volume is not None and boot_volume.body.image_id is not None:
            image = view.find(ImageBody, boot_volume.body.image_id)
        wanted = firmware.BIOS if image is None else firmware.wanted_by(image.body)
        firmware.require(self._context, wanted)
        return wanted

    def _root_disk(self, plan: Plan) -> Element:
        """Make the disk that the server boots from, or take the volume that is it."""
        if plan.image is not None:
            name = disk_name(plan.id)
            self.make_overlay(name, plan.disk_bytes, plan.image)
            return domain_xml.overlay_disk(self._context.pool.path_for(name), self.backing(plan.image))
        assert plan.boot_volume is not None
        id, device = plan.boot_volume.id, domain_xml.ROOT_DEVICE
        plug = Plug(phase=PlugPhase.ATTACHED, server_id=plan.id, device=device, since=now_text())

        def take(body: VolumeBody) -> VolumeBody:
            view = self._context.records.view()
            require_state(self._context, view.get(VolumeBody, id), view, VolumeStatus.AVAILABLE)
            return replace(body, plug=plug, updated_at=now_text())

        taken = self._context.records.change(VolumeBody, id, take)
        return domain_xml.volume_disk(id, volume_place(self._context, taken).path, device)

    def _make_volumes(self, id: str, disk: seed.Seed) -> None:
        pool = self._context.pool
        if self._context.simulated:
            pool.create_raw(seed_name(id), len(disk.data))
        else:
            pool.create_filled(seed_name(id), disk.data, quiet=True)
        # Made beforehand, so that libvirt knows the file as a volume and it can be read through libvirt.
        pool.create_raw(console_name(id), 0)

    def _domain_spec(
        self, plan: Plan, body: ServerBody, root: Element, nics: tuple[domain_xml.Nic, ...]
    ) -> domain_xml.DomainSpec:
        pool = self._context.pool
        return domain_xml.DomainSpec(
            id=plan.id,
            project_id=self._project_id,
            title=body.name,
            type=self._context.domain_type,
            arch=self._context.arch,
            vcpus=body.vcpus,
            ram_mib=body.ram_mib,
            root=root,
            uefi=plan.firmware == firmware.UEFI,
            seed_path=pool.path_for(seed_name(plan.id)),
            console_path=pool.path_for(console_name(plan.id)),
            nics=nics,
        )

    def _unplug_volumes(self, view: View, server_id: str) -> None:
        for record in view.all(VolumeBody):
            if record.body.plug is not None and record.body.plug.server_id == server_id:
                self._context.records.change(VolumeBody, record.id, lambda body: _unplugged(body, server_id))


def _unplugged(body: VolumeBody, server_id: str) -> VolumeBody:
    if body.plug is None or body.plug.server_id != server_id:
        return body
    return replace(body, plug=None, updated_at=now_text())


def check_fit(image: ImageBody, flavor: FlavorBody) -> None:
    """Refuse an image that needs more than the flavor has; raises InvalidRequest."""
    disk_bytes = flavor.disk_gib * GIB
    needed = max(image.virtual_size_bytes, image.min_disk_gib * GIB)
    if disk_bytes and disk_bytes < needed:
        raise InvalidRequest(
            f"the flavor {flavor.name!r} has a disk of {flavor.disk_gib} GiB, and the image {image.name!r} needs "
            f"{needed / GIB:.1f} GiB",
            driver="libvirt",
            hint="Take a flavor with a larger disk, or with disk_gib=0: as large as the image.",
        )
    if flavor.ram_mib < image.min_ram_mib:
        raise InvalidRequest(
            f"the flavor {flavor.name!r} has {flavor.ram_mib} MiB of memory, and the image {image.name!r} needs "
            f"{image.min_ram_mib} MiB",
            driver="libvirt",
        )


def _alteration(native: Mapping[str, Any] | None) -> Callable[[Element], object] | None:
    if not native:
        return None
    if unknown := native.keys() - _NATIVE_KEYS:
        raise InvalidRequest(
            f"native has the unknown keys {sorted(unknown)}",
            driver="libvirt",
            hint='Known is "domain": a callable that takes the domain\'s xml.etree element.',
        )
    alter = native["domain"]
    if not callable(alter):
        raise InvalidRequest('native["domain"] must be a callable that takes an xml.etree element', driver="libvirt")
    return alter  # type: ignore[no-any-return]
