"""Servers and their verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Unpack, cast

from cloudkit import _checks as checks
from cloudkit._collection import Collection, Creation, Ref
from cloudkit._console import Console
from cloudkit._context import Verb
from cloudkit._wait import Goal, TimeUp, poll
from cloudkit.driver import ConsoleLog, InteractiveConsole, Interfaces, Samples, ServerImages
from cloudkit.errors import Busy, CloudError, InvalidRequest, InvalidState, NotFound, ResourceFailed, WaitTimeout
from cloudkit.types import Image, ImageSpec, Kind, Nic, Port, Sample, Server, ServerSpec, ServerStatus

NO_NETWORK = "none"
_RUNNING = frozenset({ServerStatus.ACTIVE})
_OFF = frozenset({ServerStatus.SHUTOFF})
_RUNNING_OR_OFF = _RUNNING | _OFF
_SHELVED = frozenset({ServerStatus.SHELVED_OFFLOADED, ServerStatus.SHELVED})
"""A cloud may leave it on its host for a while, or for good (Nova's shelved_offload_time)."""
_ASK_AGAIN_S = 10.0
"""How long a guest is given to shut down before it is asked once more; Nova's shutdown_retry_interval."""
CONSOLE_LINES = 20
FAULT_PAUSES_S = (0.2, 0.5, 1.0)
"""Before the looks for a fault that is not there yet: Nova writes it after the status."""
MAX_USER_DATA_BYTES = 65535
"""Nova's limit, of the base64 text (compute API reference, "Create server")."""


class Servers(Collection[Server]):
    """Virtual machines."""

    kind = Kind.SERVER
    _service = "compute"
    _ready = _RUNNING
    _broken = frozenset({ServerStatus.ERROR})
    _timeout_s = 600.0

    def create(
        self,
        name: str,
        *,
        flavor: Ref,
        image: Ref | None = None,
        networks: Iterable[Ref] | str = (),
        key_pair: Ref | None = None,
        security_groups: Iterable[Ref] = (),
        user_data: str | bytes | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Iterable[str] = (),
        availability_zone: str | None = None,
        server_group: Ref | None = None,
        boot_volume: Ref | None = None,
        inject_host_key: bool | None = None,
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> Server:
        """Boot one; returns when it is ACTIVE. Waiting until it can be logged in to is ``cloud.ssh``'s task.

        Args:
            image: what its root disk is made from; or ``boot_volume``: a volume that is its root disk.
            networks: networks, Port values, or :class:`~cloudkit.Nic` for an address of one's own, in the order of
                the interfaces. Empty: the one network that the project can use. "none": no interface.
            security_groups: empty for the project's ``default``.
            user_data: for the guest's cloud-init, as it is: a script, cloud-config, MIME multipart, gzip; at most
                64 KiB in base64.
            inject_host_key: give it a host key that is known before the first login; None for the driver's default.

        Raises:
            ResourceFailed: it went to ERROR (``fault`` and ``console_tail`` tell why) and was deleted.
            WaitTimeout: it is not ACTIVE yet; it was not deleted.
            InvalidRequest, NotFound, AmbiguousName, Unsupported, QuotaExceeded: nothing was made.
        """
        with self._creating(name):
            if (image is None) == (boot_volume is None):
                raise InvalidRequest("either image or boot_volume is expected", hint="Name what it boots from.")
            groups = checks.items(security_groups, "security_groups")
            spec = ServerSpec(
                **self._common(name, description, native),
                image_id=None if image is None else self._others(Kind.IMAGE).ref_id(image),
                flavor_id=self._others(Kind.FLAVOR).ref_id(flavor),
                nics=self._nics(networks),
                key_pair=None if key_pair is None else self._others(Kind.KEY_PAIR).ref_id(key_pair),
                security_group_ids=self._group_ids(groups) if groups else (),
                user_data=_user_data(user_data),
                metadata=checks.metadata(metadata),
                tags=checks.tags(tags),
                availability_zone=None if availability_zone is None else checks.name(availability_zone, "zone"),
                server_group_id=None
                if server_group is None
                else self._others(Kind.SERVER_GROUP).ref_id(server_group),
                boot_volume_id=None if boot_volume is None else self._others(Kind.VOLUME).ref_id(boot_volume),
                inject_host_key=None if inject_host_key is None else checks.flag(inject_host_key, "inject_host_key"),
            )
            return self._create(spec, **how)

    def update(self, ref: Ref, **changes: Any) -> Server:
        """Change ``name``, ``description``, ``metadata`` or ``tags`` (both as a whole)."""
        allowed: dict[str, Callable[[Any], Any]] = {
            "name": checks.name,
            "description": lambda value: checks.text(value, "description"),
            "metadata": checks.metadata,
            "tags": checks.tags,
        }
        return self._update(ref, changes, allowed)

    # ---------------------------------------------------------------- power

    def start(self, ref: Ref, *, timeout_s: float | None = None) -> Server:
        """Power on a SHUTOFF server; raises InvalidState for another status."""
        return self._do("start", ref, after=_RUNNING, timeout_s=timeout_s)

    def stop(self, ref: Ref, *, hard: bool = False, timeout_s: float = 60.0) -> Server:
        """Power off.

        The guest is asked first, and again every 10 s, as one that boots may not hear it; it has ``timeout_s``
        seconds to shut down, then the power is cut. With ``hard`` it is cut at once.
        """
        with Verb(self._context, "servers.stop", ref):
            soft_s = self._checked_timeout(timeout_s)
            checks.flag(hard, "hard")
            id, _ = self._act(ref, lambda id: self._context.call(self._part.stop, id, hard))
            if hard:
                return self._await_status(id, _OFF)
            try:
                return self._await_shutdown(id, soft_s)
            except TimeUp:
                self._context.log.info("servers.stop %s: the guest does not shut down, its power is cut", id)
            self._cut_power(id)
            return self._await_status(id, _OFF)

    def reboot(self, ref: Ref, *, hard: bool = False, timeout_s: float | None = None) -> Server:
        """Reboot by the guest (raises InvalidState unless ACTIVE), or with ``hard`` by the reset line."""
        return self._do("reboot", ref, lambda: checks.flag(hard, "hard"), after=_RUNNING, timeout_s=timeout_s)

    def pause(self, ref: Ref) -> Server:
        """Stop the virtual CPUs; the memory stays in place."""
        return self._do("pause", ref, needs="servers.pause", after=frozenset({ServerStatus.PAUSED}))

    def unpause(self, ref: Ref) -> Server:
        """Go on after a pause."""
        return self._do("unpause", ref, needs="servers.pause", after=_RUNNING)

    def suspend(self, ref: Ref) -> Server:
        """Save the memory to disk and power off."""
        return self._do("suspend", ref, needs="servers.suspend", after=frozenset({ServerStatus.SUSPENDED}))

    def resume(self, ref: Ref) -> Server:
        """Go on after a suspend."""
        return self._do("resume", ref, needs="servers.suspend", after=_RUNNING)

    def shelve(self, ref: Ref, *, timeout_s: float | None = None) -> Server:
        """Power off, by the guest if it does so in time, and give back what it takes of its host.

        Its root disk and its addresses stay, and its volumes are kept for it. One that is paused or suspended loses
        its memory.
        """
        return self._do("shelve", ref, needs="servers.shelve", after=_SHELVED, timeout_s=timeout_s)

    def unshelve(self, ref: Ref, *, timeout_s: float | None = None) -> Server:
        """Boot a shelved server again, wherever there is room for it."""
        return self._do("unshelve", ref, needs="servers.shelve", after=_RUNNING, timeout_s=timeout_s)

    # ---------------------------------------------------------------- shape

    def resize(self, ref: Ref, flavor: Ref, *, confirm: bool = True, timeout_s: float | None = None) -> Server:
        """Give it another flavor.

        Args:
            confirm: False leaves it at VERIFY_RESIZE, to be confirmed or reverted.
        """

        def flavor_id() -> str:
            checks.flag(confirm, "confirm")
            return self._others(Kind.FLAVOR).ref_id(flavor)

        verify = frozenset({ServerStatus.VERIFY_RESIZE})
        server = self._do("resize", ref, flavor_id, needs="servers.resize", after=verify, timeout_s=timeout_s)
        return self.confirm_resize(server) if confirm else server

    def confirm_resize(self, ref: Ref) -> Server:
        """Keep the new flavor; the old disk is gone for good."""
        return self._do("confirm_resize", ref, needs="servers.resize", after=_RUNNING_OR_OFF)

    def revert_resize(self, ref: Ref) -> Server:
        """Go back to the old flavor."""
        return self._do("revert_resize", ref, needs="servers.resize", after=_RUNNING_OR_OFF)

    def rebuild(self, ref: Ref, image: Ref, *, timeout_s: float | None = None) -> Server:
        """Make the root disk anew from an image; id, addresses and volumes stay."""
        with Verb(self._context, "servers.rebuild", ref):
            self._context.require("servers.rebuild")
            limit_s = self._checked_timeout(timeout_s)
            image_id = self._others(Kind.IMAGE).ref_id(image)

            def act(id: str) -> Server:
                before = self._fetch(id)
                self._context.call(self._part.rebuild, id, image_id)
                return before

            id, before = self._act(ref, act)
            # Nova lets one that was off run, with no task for a moment, before it powers it off again.
            off = before.status is ServerStatus.SHUTOFF
            goal = self._goal(_OFF) if off else self._verb_goal(_RUNNING_OR_OFF)
            return self._await_one(self._fetch(id), goal, limit_s, seen=True)

    def rescue(self, ref: Ref, image: Ref | None = None) -> Server:
        """Boot from another image (None: the server's own), with its root disk beside it."""

        def image_id() -> str | None:
            return None if image is None else self._others(Kind.IMAGE).ref_id(image)

        return self._do("rescue", ref, image_id, needs="servers.rescue", after=frozenset({ServerStatus.RESCUE}))

    def unrescue(self, ref: Ref) -> Server:
        """Boot from its own root disk again."""
        return self._do("unrescue", ref, needs="servers.rescue", after=_RUNNING)

    def lock(self, ref: Ref) -> Server:
        """Refuse verbs until it is unlocked."""
        return self._do("lock", ref, needs="servers.lock")

    def unlock(self, ref: Ref) -> Server:
        """Allow verbs again."""
        return self._do("unlock", ref, needs="servers.lock")

    def set_security_groups(self, ref: Ref, groups: Iterable[Ref]) -> Server:
        """Put it into these security groups instead of those that it is in; an open connection feels it too."""

        def ids() -> tuple[str, ...]:
            return self._group_ids(checks.items(groups, "groups"))

        return self._do("set_security_groups", ref, ids, needs="servers.security_groups")

    # ---------------------------------------------------------------- what it tells, what is made of it

    def console_log(self, ref: Ref, lines: int | None = None) -> str:
        """What it printed to its serial console since boot; the last ``lines``, or all that is kept."""
        with Verb(self._context, "servers.console_log", ref):
            part: ConsoleLog = self._offered("servers.console_log")
            count = None if lines is None else checks.integer(lines, "lines", 1, 1 << 31)
            return self._act(ref, lambda id: self._context.call(part.console_log, id, count))[1]

    def console(self, ref: Ref) -> Console:
        """Open its serial console as a terminal; close it, or use it as a context.

        Raises:
            InUse: another session is open.
            InvalidState: the server does not run.
        """
        with Verb(self._context, "servers.console", ref):
            part: InteractiveConsole = self._offered("servers.console")
            server = self._get(ref)
            return Console(self._context, server, self._context.call(part.console, server.id))

    def attach_interface(self, ref: Ref, interface: Ref | Nic) -> Port:
        """Plug another network interface into a server; a running guest sees it in a moment.

        Args:
            interface: a network, a port or a Nic, as in create's ``networks``.

        Returns:
            The port. One that was made for the server is deleted with it, or when it is detached.

        Raises:
            InUse: the port is plugged in somewhere.
            Conflict: the address is taken.
            InvalidState: the server is neither ACTIVE nor PAUSED nor SHUTOFF.
        """
        with Verb(self._context, "servers.attach_interface", ref):
            part: Interfaces = self._offered("servers.interfaces")
            nic = self._nic(interface)
            _, port_id = self._act(ref, lambda id: self._context.call(part.attach_interface, id, nic))
            return cast(Port, self._others(Kind.PORT)._fetch(port_id))

    def detach_interface(self, ref: Ref, port: Ref, *, timeout_s: float | None = None) -> None:
        """Pull an interface out; returns when the guest has let go of it.

        A port that was made for the server is deleted, another one stays and is free.

        Raises:
            InvalidState: the port is not plugged into this server; or the server is in a status in which
                ``attach_interface`` is refused too.
            WaitTimeout: the guest does not let go.
        """
        with Verb(self._context, "servers.detach_interface", ref):
            part: Interfaces = self._offered("servers.interfaces")
            limit_s = self._checked_timeout(timeout_s)
            port_id = self._others(Kind.PORT)._get(port).id
            id, _ = self._act(ref, lambda id: self._context.call(part.detach_interface, id, port_id))
            self._await_unplugged(id, port_id, limit_s)

    def samples(self, ref: Ref) -> tuple[Sample, ...]:
        """What it uses at this moment, by Ceilometer's meters.

        For all servers: ``vcpus`` and ``memory``. For running ones: ``cpu``, ``memory.usage`` where the guest tells
        it, and for each device ``disk.device.{read,write}.{bytes,requests}`` and
        ``network.{incoming,outgoing}.{bytes,packets}``.
        """
        with Verb(self._context, "servers.samples", ref):
            part: Samples = self._offered("servers.samples")
            return self._act(ref, lambda id: self._context.call(part.samples, id))[1]

    def create_image(
        self,
        ref: Ref,
        name: str,
        *,
        metadata: Mapping[str, str] | None = None,
        tags: Iterable[str] = (),
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> Image:
        """Make an image of its root disk; returns when the image is active."""
        with Verb(self._context, "servers.create_image", ref):
            part: ServerImages = self._offered("servers.create_image")
            images = self._others(Kind.IMAGE)
            spec = ImageSpec(
                **self._common(name, description, native),
                disk_format="qcow2",
                metadata=checks.metadata(metadata),
                tags=checks.tags(tags),
            )
            id = self.ref_id(ref)
            return cast(Image, images._create(spec, send=lambda spec: part.create_image(id, spec), **how))

    # ---------------------------------------------------------------- parts

    def _do(
        self,
        verb: str,
        ref: Ref,
        *arguments: Callable[[], Any],
        needs: str | None = None,
        after: frozenset[str] | None = None,
        timeout_s: float | None = None,
    ) -> Server:
        """Call the driver's verb of the same name, and wait for the status that it leads to.

        Args:
            arguments: find what the driver gets besides the id, once it is known to offer the verb.
        """
        with Verb(self._context, f"servers.{verb}", ref):
            if needs is not None:
                self._context.require(needs)
            limit_s = self._checked_timeout(timeout_s)
            method = getattr(self._part, verb)
            found = [argument() for argument in arguments]
            id, _ = self._act(ref, lambda id: self._context.call(method, id, *found))
            return self._await_status(id, after, limit_s)

    def _await_status(self, id: str, statuses: frozenset[str] | None, timeout_s: float | None = None) -> Server:
        return self._await_one(self._fetch(id), self._verb_goal(statuses), timeout_s, seen=True)

    def _verb_goal(self, statuses: frozenset[str] | None) -> Goal:
        """The goal of a verb, which is missed also where its task has ended with the server in another status.

        So Nova tells that it found no host for another size: the server is what it was before, and has no fault.
        """
        goal, began = self._goal(statuses), False

        def missed(server: Server) -> bool:
            nonlocal began
            if server.task is not None:
                began = True
                return False
            return began or goal.failed(server)

        return replace(goal, failed=missed)

    def _await_unplugged(self, id: str, port_id: str, timeout_s: float) -> None:
        """Wait until neither the port nor the server shows that it is plugged in: Nova learns it after Neutron."""

        def look() -> bool | None:
            if any(address.port_id == port_id for address in self._fetch(id).addresses):
                return None
            try:
                return True if self._others(Kind.PORT)._fetch(port_id).device_id != id else None
            except NotFound:
                return True

        try:
            poll(self._context, Kind.PORT, timeout_s, look)
        except TimeUp as up:
            raise WaitTimeout(
                f"the guest does not let go of the interface after {timeout_s:g} s",
                resource=port_id,
                fault=str(up.trouble) if up.trouble is not None else None,
                hint="It may not have booted yet: try again. A server that is stopped lets go at once.",
            ) from up.trouble

    def _await_shutdown(self, id: str, timeout_s: float) -> Server:
        goal, now = self._goal(_OFF), self._context.driver.now
        asked_at = now()

        def look() -> Server | None:
            nonlocal asked_at
            server = self._fetch(id)
            if goal.reached(server) or goal.failed(server):
                return server
            if now() >= asked_at + _ASK_AGAIN_S:
                asked_at = now()
                # Nova is busy with it, and asks it again by itself; or it has shut down this moment.
                with suppress(Busy, InvalidState):
                    self._context.call(self._part.stop, id, False)
            return None

        server = poll(self._context, Kind.SERVER, timeout_s, look)
        return self._succeeded(server, server, goal)

    def _cut_power(self, id: str) -> None:
        try:
            self._context.call(self._part.stop, id, True)
        except InvalidState:
            # The guest may have shut down in the last moment.
            if self._fetch(id).status is not ServerStatus.SHUTOFF:
                raise

    def _nics(self, networks: Iterable[Ref] | str) -> tuple[Nic, ...]:
        if networks == NO_NETWORK:
            return ()
        wanted = checks.items(networks, "networks")
        return tuple(map(self._nic, wanted)) if wanted else (Nic(network_id=self._only_network()),)

    def _nic(self, item: Any) -> Nic:
        if isinstance(item, Port):
            return Nic(port_id=self._others(Kind.PORT).ref_id(item))
        if not isinstance(item, Nic):
            return Nic(network_id=self._others(Kind.NETWORK).ref_id(item))
        if (item.network_id is None) == (item.port_id is None):
            raise InvalidRequest("networks: a Nic has either network_id or port_id")
        if item.port_id is not None:
            if item.fixed_ip is not None:
                raise InvalidRequest(
                    "networks: a port has its own addresses, so fixed_ip cannot be given with port_id"
                )
            return item
        fixed_ip = None if item.fixed_ip is None else checks.address(item.fixed_ip, "fixed_ip")
        return Nic(network_id=self._others(Kind.NETWORK).ref_id(item.network_id), fixed_ip=fixed_ip)

    def _only_network(self) -> str:
        memory = self._context.memory
        if memory is None:
            return self._find_only_network()
        return memory.recall(NO_NETWORK, self._find_only_network)

    def _find_only_network(self) -> str:
        usable = [each for each in self._others(Kind.NETWORK)._all({}) if each.subnet_ids and not each.external]
        if len(usable) == 1:
            return cast(str, usable[0].id)
        names = ", ".join(f"{each.name} ({each.id})" for each in usable)
        raise InvalidRequest(
            f"no network was named, and there are {len(usable)} to choose from: {names}"
            if usable
            else "no network was named, and the project has none with a subnet",
            hint='Pass networks=[…], or networks="none" for a server without an interface.',
        )

    def _group_ids(self, refs: tuple[Ref, ...]) -> tuple[str, ...]:
        self._context.require("security_groups")
        groups = self._others(Kind.SECURITY_GROUP)
        return tuple(dict.fromkeys(groups.ref_id(ref) for ref in refs))

    def _failure(self, value: Server) -> ResourceFailed:
        if value.status not in self._broken:
            return ResourceFailed(
                f"the cloud gave it up: the server {value.name!r} is {value.status} again",
                resource=value,
                hint="Most often no host has room for it. The server's events tell more, to an administrator all.",
            )
        try:
            for pause_s in FAULT_PAUSES_S:
                if value.fault is not None:
                    break
                self._context.call(self._context.driver.wait_change, self.kind, pause_s)
                value = self._fetch(value.id)
        except CloudError:
            # What is known already is told.
            pass
        return super()._failure(value)

    def _console_tail(self, id: str) -> str | None:
        if "servers.console_log" not in self._context.driver.capabilities:
            return None
        try:
            part = cast(ConsoleLog, self._part)
            return self._context.call(part.console_log, id, CONSOLE_LINES).rstrip() or None
        except CloudError:
            return None


def _user_data(value: object) -> bytes | None:
    if value is None:
        return None
    data = value
    if isinstance(value, str):
        try:
            data = value.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"user_data: the text cannot be written as UTF-8: {error.reason}") from None
    if not isinstance(data, bytes):
        checks.wrong("user_data", "text or bytes", value)
    if (len(data) + 2) // 3 * 4 > MAX_USER_DATA_BYTES:
        raise InvalidRequest(f"user_data: {len(data)} bytes are too many", hint="At most 49 149 bytes fit.")
    return data
