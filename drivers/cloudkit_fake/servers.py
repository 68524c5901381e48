"""Servers: Nova's state machine, on the cloud's clock."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from cloudkit.errors import InUse, InvalidRequest, InvalidState, WaitTimeout
from cloudkit.types import (
    Endpoint,
    Fault,
    Flavor,
    Image,
    ImageSpec,
    Kind,
    Mark,
    Nic,
    Sample,
    Server,
    ServerSpec,
    ServerStatus,
    Volume,
)
from cloudkit_fake import console, usage
from cloudkit_fake.clock import VirtualClock
from cloudkit_fake.cloud import FakeCloud, request
from cloudkit_fake.collections import Updatable, not_found
from cloudkit_fake.derived import refresh_server, release_port
from cloudkit_fake.images import Images
from cloudkit_fake.ports import Ports
from cloudkit_fake.security_groups import check_groups, lets_in
from cloudkit_fake.small_kinds import Flavors, KeyPairs
from cloudkit_fake.terminal import Terminal
from cloudkit_fake.volumes import ROOT_DEVICE, Volumes
from cloudkit_fake.zone import ZONE, check_zone

S = ServerStatus
GIB = 1 << 30
SSH_PORT = 22
POWERING_OFF = "powering-off"
_WITH_INTERFACES = (S.ACTIVE, S.PAUSED, S.SHUTOFF)


class Servers(Updatable[Server]):
    """Virtual machines that are data."""

    kind = Kind.SERVER

    def __init__(self, cloud: FakeCloud, project_id: str) -> None:
        super().__init__(cloud, project_id)
        self._flavors = Flavors(cloud, project_id)
        self._images = Images(cloud, project_id)
        self._key_pairs = KeyPairs(cloud, project_id)
        self._ports = Ports(cloud, project_id)
        self._volumes = Volumes(cloud, project_id)

    # ---------------------------------------------------------------- life

    @request
    def create(self, spec: ServerSpec) -> Server:
        """Boot one: BUILD, and ACTIVE after ``boot_seconds``."""
        state = self._state
        flavor = self._flavors.seen(spec.flavor_id)
        disk_bytes = self._check_boot_source(spec, flavor)
        key_pair = None if spec.key_pair is None else self._key_pairs.seen(spec.key_pair)
        apart = self._check_group(spec)
        check_zone(spec)
        self._check_quota("servers")
        self._check_size_quotas(flavor, {})
        plugs = self._ports.plan(spec.nics, spec.security_group_ids)
        fields = self._common(spec)
        id: str = fields["id"]
        secret: dict[str, Any] = {"vcpus": flavor.vcpus, "ram_mib": flavor.ram_mib, "disk_bytes": disk_bytes}
        if key_pair is not None:
            # Nova copies the key: deleting the key pair later does not lock anybody out.
            secret["public_key"] = key_pair.public_key
        if spec.user_data is not None:
            secret["user_data"] = spec.user_data.decode("latin-1")
        server = Server(
            **fields,
            status=S.BUILD,
            native_status="BUILD",
            image_id=spec.image_id,
            flavor_id=spec.flavor_id,
            key_pair=spec.key_pair,
            metadata=spec.metadata,
            tags=spec.tags,
            availability_zone=ZONE,
            host_key=console.new_host_key(secret) if spec.inject_host_key else None,
            task="spawning",
        )
        state.secrets[id] = secret
        state.put(server)
        if apart:
            secret["unplaced"] = True
            self._cloud.later(Kind.SERVER, id, self._cloud.task_seconds, **_is(S.ERROR), fault=self._no_host())
        else:
            self._cloud.later(Kind.SERVER, id, self._cloud.boot_seconds, **_is(S.ACTIVE))
        if not (plugs or spec.boot_volume_id or spec.server_group_id):
            return server
        for plug in plugs:
            self._ports.plug_in(plug, id, spec.mark)
        if spec.boot_volume_id is not None:
            self._volumes.plug_in(spec.boot_volume_id, id, ROOT_DEVICE)
        if spec.server_group_id is not None:
            group = state.get(Kind.SERVER_GROUP, spec.server_group_id)
            state.update(Kind.SERVER_GROUP, group.id, server_ids=(*group.server_ids, id))
        refresh_server(state, id)
        return state.get(Kind.SERVER, id)  # type: ignore[no-any-return]

    @request
    def delete(self, id: str) -> None:
        """Delete one; it is gone after ``task_seconds``."""
        server = self._own(id)
        if server.locked:
            raise _locked(server)
        if server.task == "deleting":
            return
        self._change(id, task="deleting")
        for group in self._state.all(Kind.SERVER_GROUP):
            if id in group.server_ids:
                left = tuple(each for each in group.server_ids if each != id)
                self._state.update(Kind.SERVER_GROUP, group.id, server_ids=left)
        self._cloud.gone_later(Kind.SERVER, id, self._cloud.task_seconds)

    # ---------------------------------------------------------------- power

    @request
    def start(self, id: str) -> None:
        """SHUTOFF → ACTIVE."""
        self._go(id, (S.SHUTOFF,), "powering-on", S.ACTIVE, self._cloud.boot_seconds)

    @request
    def stop(self, id: str, hard: bool) -> None:
        """ACTIVE or ERROR → SHUTOFF."""
        self._go(
            id,
            (S.ACTIVE, S.ERROR),
            POWERING_OFF,
            S.SHUTOFF,
            0 if hard else None,
            interrupts=POWERING_OFF if hard else None,
        )
        self._cloud.end_guest(id)

    @request
    def reboot(self, id: str, hard: bool) -> None:
        """ACTIVE → REBOOT → ACTIVE."""
        allowed = (S.ACTIVE, S.SHUTOFF, S.PAUSED, S.SUSPENDED, S.ERROR) if hard else (S.ACTIVE,)
        task, status = ("rebooting_hard", S.HARD_REBOOT) if hard else ("rebooting", S.REBOOT)
        self._go(id, allowed, task, S.ACTIVE, self._cloud.boot_seconds, meanwhile=status)
        self._cloud.end_guest(id)

    @request
    def pause(self, id: str) -> None:
        """ACTIVE → PAUSED."""
        self._go(id, (S.ACTIVE,), "pausing", S.PAUSED)

    @request
    def unpause(self, id: str) -> None:
        """PAUSED → ACTIVE."""
        self._go(id, (S.PAUSED,), "unpausing", S.ACTIVE)

    @request
    def suspend(self, id: str) -> None:
        """ACTIVE → SUSPENDED."""
        self._go(id, (S.ACTIVE,), "suspending", S.SUSPENDED)
        self._cloud.end_guest(id)

    @request
    def resume(self, id: str) -> None:
        """SUSPENDED → ACTIVE."""
        self._go(id, (S.SUSPENDED,), "resuming", S.ACTIVE)

    @request
    def shelve(self, id: str) -> None:
        """ACTIVE, SHUTOFF, PAUSED or SUSPENDED → SHELVED_OFFLOADED."""
        self._go(id, (S.ACTIVE, S.SHUTOFF, S.PAUSED, S.SUSPENDED), "shelving", S.SHELVED_OFFLOADED)
        self._volumes.reserve(self._own(id))
        self._cloud.end_guest(id)

    @request
    def unshelve(self, id: str) -> None:
        """SHELVED_OFFLOADED → ACTIVE."""
        self._go(id, (S.SHELVED_OFFLOADED,), "unshelving", S.ACTIVE, self._cloud.boot_seconds)
        self._volumes.plug_back(self._own(id))

    # ---------------------------------------------------------------- shape

    @request
    def resize(self, id: str, flavor_id: str) -> None:
        """ACTIVE or SHUTOFF → RESIZE → VERIFY_RESIZE."""
        server, flavor = self._own(id), self._flavors.seen(flavor_id)
        if flavor_id == server.flavor_id:
            raise InvalidRequest(f"the server has the flavor {flavor.name!r} already", driver="fake", resource=id)
        secret = self._state.secrets[id]
        if flavor.disk_gib and flavor.disk_gib * GIB < secret["disk_bytes"]:
            raise InvalidRequest(
                f"the flavor {flavor.name!r} has a disk of {flavor.disk_gib} GiB, smaller than the server's",
                driver="fake",
                hint="Disks do not shrink: take a flavor with as large a one.",
            )
        self._check_size_quotas(flavor, secret)
        self._go(id, (S.ACTIVE, S.SHUTOFF), "resize_prep", S.VERIFY_RESIZE, meanwhile=S.RESIZE)
        old = {name: secret[name] for name in ("vcpus", "ram_mib", "disk_bytes")}
        secret["before"] = {"flavor_id": server.flavor_id, "status": server.status.value, **old}
        self._take_size(id, flavor)

    @request
    def confirm_resize(self, id: str) -> None:
        """VERIFY_RESIZE → what it was."""
        server = self._allowed(id, (S.VERIFY_RESIZE,))
        before = self._state.secrets[id].pop("before")
        self._become(server, S(before["status"]))

    @request
    def revert_resize(self, id: str) -> None:
        """VERIFY_RESIZE → REVERT_RESIZE → what it was, with the old flavor."""
        server = self._allowed(id, (S.VERIFY_RESIZE,))
        secret = self._state.secrets[id]
        before = secret.pop("before")
        secret.update({name: before[name] for name in ("vcpus", "ram_mib", "disk_bytes")})
        self._change(id, flavor_id=before["flavor_id"])
        self._go(id, (server.status,), "resize_reverting", S(before["status"]), meanwhile=S.REVERT_RESIZE)

    @request
    def rebuild(self, id: str, image_id: str) -> None:
        """ACTIVE, SHUTOFF or ERROR → REBUILD → ACTIVE (a stopped one stays stopped)."""
        server = self._own(id)
        _refuse_boot_volume(server, "rebuilt")
        image = self._images.usable(image_id)
        if server.flavor_id is not None and (flavor := self._state.find(Kind.FLAVOR, server.flavor_id)) is not None:
            _check_fit(image, flavor)
        after = S.SHUTOFF if server.status is S.SHUTOFF else S.ACTIVE
        seconds = self._cloud.boot_seconds
        self._go(id, (S.ACTIVE, S.SHUTOFF, S.ERROR), "rebuilding", after, seconds, meanwhile=S.REBUILD)
        self._cloud.end_guest(id, disk_too=True)
        secret = self._state.secrets[id]
        console.forget_host_key(secret)
        host_key = console.new_host_key(secret) if server.host_key else None
        self._change(id, image_id=image_id, fault=None, host_key=host_key)

    @request
    def rescue(self, id: str, image_id: str | None) -> None:
        """ACTIVE, SHUTOFF or ERROR → RESCUE."""
        server = self._own(id)
        _refuse_boot_volume(server, "rescued")
        if image_id is not None:
            self._images.usable(image_id)
        before = server.status
        self._go(id, (S.ACTIVE, S.SHUTOFF, S.ERROR), "rescuing", S.RESCUE, self._cloud.boot_seconds, meanwhile=before)
        self._cloud.end_guest(id)

    @request
    def unrescue(self, id: str) -> None:
        """RESCUE → ACTIVE."""
        self._go(id, (S.RESCUE,), "unrescuing", S.ACTIVE, self._cloud.boot_seconds)
        self._cloud.end_guest(id)

    @request
    def lock(self, id: str) -> None:
        """Refuse verbs."""
        self._own(id)
        self._change(id, locked=True)

    @request
    def unlock(self, id: str) -> None:
        """Allow verbs."""
        self._own(id)
        self._change(id, locked=False)

    @request
    def set_security_groups(self, id: str, security_group_ids: tuple[str, ...]) -> None:
        """Change the groups of all its ports."""
        server = self._own(id)
        if server.locked:
            raise _locked(server)
        check_groups(self._state, self._project_id, security_group_ids)
        for port_id in self._state.plugged.get(id, ()):
            self._state.update(Kind.PORT, port_id, security_group_ids=security_group_ids)
        refresh_server(self._state, id)

    @request
    def attach_interface(self, id: str, nic: Nic) -> str:
        """Plug one in."""
        server = self._allowed(id, _WITH_INTERFACES)
        (plug,) = self._ports.plan((nic,), ())
        port_id = self._ports.plug_in(plug, id, server.mark or Mark(request=str(uuid.uuid4())))
        refresh_server(self._state, id)
        return port_id

    @request
    def detach_interface(self, id: str, port_id: str) -> None:
        """Pull one out: the fake's guests let go at once."""
        self._allowed(id, _WITH_INTERFACES)
        if port_id not in self._state.plugged.get(id, ()):
            raise InvalidState("the port is not plugged into this server", driver="fake", resource=port_id)
        release_port(self._state, self._state.get(Kind.PORT, port_id))
        refresh_server(self._state, id)

    # ---------------------------------------------------------------- what it tells

    @request
    def console_log(self, id: str, lines: int | None) -> str:
        """What it has printed since boot."""
        server = self._own(id)
        if server.status is S.BUILD or "unplaced" in self._state.secrets[id]:
            return ""
        text = console.boot_log(server, self._state.secrets[id])
        return text if lines is None else "".join(text.splitlines(keepends=True)[-lines:])

    @request
    def console(self, id: str) -> Terminal:
        """A terminal with a getty; one session at a time."""
        server = self._own(id)
        if server.status not in (S.ACTIVE, S.PAUSED, S.RESCUE, S.VERIFY_RESIZE):
            raise InvalidState(f"the server {server.name!r} is {server.status}", driver="fake", resource=id)
        consoles = self._cloud.consoles
        if id in consoles:
            raise InUse(
                "another session with the server's console is open",
                driver="fake",
                resource=id,
                hint="Close it first: a console serves one at a time.",
            )

        def forget(terminal: Terminal) -> None:
            with self._cloud:
                if consoles.get(id) is terminal:
                    del consoles[id]

        consoles[id] = Terminal(console.hostname(server), forget)
        return consoles[id]

    @request
    def samples(self, id: str) -> tuple[Sample, ...]:
        """What it uses now."""
        ports = self._state.plugged.get(id, [])
        return usage.samples_of(self._own(id), self._state.secrets[id], ports, self._cloud.clock.now(), self._now())

    @request
    def endpoints(self, id: str, port: int) -> tuple[Endpoint, ...]:
        """A listener on loopback for the SSH port of a running server, started on demand; no other port.

        Raises:
            WaitTimeout: its security groups keep everybody out, and no time passes in which somebody opens them.
        """
        server = self._own(id)
        if server.status not in (S.ACTIVE, S.RESCUE) or port != SSH_PORT:
            return ()
        if not self._is_open(server):
            if isinstance(self._cloud.clock, VirtualClock):
                raise _closed(server)
            return ()
        return (self._cloud.guests.endpoint(id),)

    def _is_open(self, server: Server) -> bool:
        """Whether a login gets through; to a server without a port nothing is in the way here."""
        ports = [self._state.get(Kind.PORT, id) for id in self._state.plugged.get(server.id, ())]
        return not ports or any(lets_in(self._state, port, SSH_PORT) for port in ports)

    @request
    def create_image(self, id: str, spec: ImageSpec) -> Image:
        """An image with the server's root disk, as far as the fake has one: what it was made from."""
        server = self._allowed(id, (S.ACTIVE, S.SHUTOFF, S.PAUSED, S.SUSPENDED))
        return self._images.copy(spec, server, self._state.secrets[id]["disk_bytes"])

    # ---------------------------------------------------------------- parts

    def _allowed(self, id: str, statuses: tuple[ServerStatus, ...], interrupts: str | None = None) -> Server:
        """The server, if a verb fits its status; raises InvalidState."""
        server = self._own(id)
        if server.locked:
            raise _locked(server)
        if server.task not in (None, interrupts) or server.status not in statuses:
            doing = f" ({server.task})" if server.task else ""
            raise InvalidState(
                f"the server {server.name!r} is {server.status}{doing}, and must be {' or '.join(statuses)}",
                driver="fake",
                resource=id,
            )
        return server

    def _go(
        self,
        id: str,
        allowed: tuple[ServerStatus, ...],
        task: str,
        after: ServerStatus,
        seconds: float | None = None,
        meanwhile: ServerStatus | None = None,
        interrupts: str | None = None,
    ) -> None:
        """Start a task that leads to another status; it may take the place of the task ``interrupts``."""
        server = self._allowed(id, allowed, interrupts)
        status = meanwhile or server.status
        self._change(id, task=task, status=status, native_status=status.value)
        self._cloud.later(Kind.SERVER, id, self._cloud.task_seconds if seconds is None else seconds, **_is(after))

    def _change(self, id: str, **fields: Any) -> Server:
        before = self._state.get(Kind.SERVER, id)
        after = super()._change(id, **fields)
        usage.note(self._state.secrets[id], before.status, after.status, self._cloud.clock.now())
        return after

    def _become(self, server: Server, status: ServerStatus) -> None:
        self._change(server.id, **_is(status))

    def _take_size(self, id: str, flavor: Flavor) -> None:
        secret = self._state.secrets[id]
        disk_bytes = max(secret["disk_bytes"], flavor.disk_gib * GIB)
        secret.update(vcpus=flavor.vcpus, ram_mib=flavor.ram_mib, disk_bytes=disk_bytes)
        self._change(id, flavor_id=flavor.id)

    def _check_boot_source(self, spec: ServerSpec, flavor: Flavor) -> int:
        """Size of the root disk in bytes."""
        if spec.boot_volume_id is not None:
            volume: Volume = self._volumes.free(spec.boot_volume_id)
            if not volume.bootable:
                raise InvalidRequest(f"the volume {volume.name!r} is not bootable", driver="fake", resource=volume.id)
            return volume.size_gib * GIB
        if spec.image_id is None:
            raise InvalidRequest("a server needs an image or a boot volume", driver="fake", resource=spec.name)
        image = self._images.usable(spec.image_id)
        _check_fit(image, flavor)
        return flavor.disk_gib * GIB or image.virtual_size_bytes or 0

    def _check_group(self, spec: ServerSpec) -> bool:
        """Whether the group wants it on another host than the one that there is; raises NotFound."""
        if spec.server_group_id is None:
            return False
        group = self._state.find(Kind.SERVER_GROUP, spec.server_group_id)
        if group is None or group.project_id != self._project_id:
            raise not_found(Kind.SERVER_GROUP, spec.server_group_id)
        return group.policy == "anti-affinity" and bool(group.server_ids)

    def _no_host(self) -> Fault:
        return Fault(message="No valid host was found.", code=500, created_at=self._now())

    def _check_size_quotas(self, flavor: Flavor, before: Mapping[str, int]) -> None:
        for name, size in (("vcpus", flavor.vcpus), ("ram_mib", flavor.ram_mib)):
            more = size - before.get(name, 0)
            limit = self._cloud.quotas.get(name, -1)
            if limit >= 0 and more > 0:
                self._require(name, size_used(self._cloud, self._project_id, name), more, limit)


def size_used(cloud: FakeCloud, project_id: str, name: str) -> int:
    """How many vcpus or how much ram_mib the servers of a project have."""
    state = cloud.state
    servers = state.tables[Kind.SERVER].values()
    return sum(state.secrets[server.id][name] for server in servers if server.project_id == project_id)


def _is(status: ServerStatus) -> dict[str, Any]:
    fields: dict[str, Any] = {"status": status, "native_status": status.value, "task": None}
    # Nova shows a fault as long as the server is in ERROR.
    return fields if status is S.ERROR else fields | {"fault": None}


def _refuse_boot_volume(server: Server, verb: str) -> None:
    # As Nova does, unless it is asked by a newer microversion and finds a driver and an image that can.
    if server.image_id is None:
        raise InvalidRequest(
            f"the server {server.name!r} boots from a volume, and is not {verb}", driver="fake", resource=server.id
        )


def _closed(server: Server) -> WaitTimeout:
    groups = ", ".join(server.security_groups) or "none"
    return WaitTimeout(
        f"nothing spoke SSH for {server.name}: of its security groups ({groups}) no rule lets TCP port {SSH_PORT} in",
        driver="fake",
        resource=server.id,
        hint="Add a rule, as cloud.security_groups.add_rule(group, 'tcp', port=22); the group 'default' has none.",
    )


def _locked(server: Server) -> InvalidState:
    return InvalidState(
        f"the server {server.name!r} is locked", driver="fake", resource=server.id, hint="Unlock it first."
    )


def _check_fit(image: Image, flavor: Flavor) -> None:
    needed = max(image.virtual_size_bytes or 0, image.min_disk_gib * GIB)
    if flavor.disk_gib and flavor.disk_gib * GIB < needed:
        raise InvalidRequest(
            f"the flavor {flavor.name!r} has a disk of {flavor.disk_gib} GiB, and the image {image.name!r} needs "
            f"{needed / GIB:.1f} GiB",
            driver="fake",
            hint="Take a flavor with a larger disk, or with disk_gib=0: as large as the image.",
        )
    if flavor.ram_mib < image.min_ram_mib:
        raise InvalidRequest(
            f"the flavor {flavor.name!r} has {flavor.ram_mib} MiB of memory, and the image {image.name!r} needs "
            f"{image.min_ram_mib} MiB",
            driver="fake",
            hint="Take a larger flavor.",
        )
