"""Servers: Nova's."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, ClassVar, cast

from cloudkit.driver import Query
from cloudkit.errors import Busy, Conflict, InvalidRequest, InvalidState, NotFound, Unavailable
from cloudkit.types import (
    Endpoint,
    Fault,
    Image,
    ImageSpec,
    Kind,
    Nic,
    Port,
    Server,
    ServerSpec,
    ServerStatus,
)
from cloudkit_openstack import marks
from cloudkit_openstack.collection import Narrowing, RestCollection, exactly, with_native
from cloudkit_openstack.errors import DRIVER
from cloudkit_openstack.host_key import inject
from cloudkit_openstack.server_body import FaultBody, Reference, ServerBody, decode_one, decode_page
from cloudkit_openstack.service import Service, segment
from cloudkit_openstack.wire import NO_TIME, Body, http_date, part, status_of, time_of

READING = "2.46"
"""Has description, tags and locked; from 2.47 on a server does not tell its flavor's id any more."""
CREATING = "2.52"
"""The first to take tags."""
RESCUING = "2.87"
"""The first to rescue a server that was booted from a volume."""
IMAGING = "2.45"
"""The first that answers createImage with the image's id in the body."""
SIZED = "2.47"
"""Shows the size of a server in place of its flavor's id."""

_HINTS = "os:scheduler_hints"
_POWERING_OFF = "powering-off"


def name_pattern(name: str) -> tuple[str, Any] | None:
    """Nova takes a regular expression, in the dialect of its database; what is special in any is left open."""
    return "name", f"^{re.sub(r'[^A-Za-z0-9_-]+', '.*', name)}$"


class Servers(RestCollection[Server]):
    """Virtual machines."""

    kind = Kind.SERVER
    path, list_path = "/servers", "/servers/detail"
    one, many = "server", "servers"
    version = READING
    narrowing: ClassVar[Narrowing] = {
        "name": name_pattern,
        "status": exactly("status"),
        "image_id": exactly("image"),
        "flavor_id": exactly("flavor"),
        "tags": lambda tags: ("tags", ",".join(tags)) if tags and not any("," in tag for tag in tags) else None,
    }

    @property
    def _service(self) -> Service:
        return self._context.compute

    def _project_query(self, all_projects: bool) -> list[tuple[str, Any]]:
        return [("all_tenants", 1)] if all_projects else []

    def _list_query(self, query: Query) -> Sequence[tuple[str, Any]]:
        # Nova refuses a status that it does not know, as UNKNOWN.
        if query.filters.get("status") is ServerStatus.UNKNOWN:
            query = Query({key: value for key, value in query.filters.items() if key != "status"}, query.all_projects)
        return super()._list_query(query)

    def _sees(self, value: Server) -> bool:
        # For a moment after its end Nova shows it as it was last.
        return value.status is not ServerStatus.DELETED and super()._sees(value)

    # ---------------------------------------------------------------- life

    def create(self, spec: ServerSpec) -> Server:
        """Boot one; Nova answers with its id only, so that the rest is what was asked for."""
        self._check_references(spec)
        metadata = {**spec.metadata, **marks.to_metadata(spec.mark)}
        user_data, host_key = spec.user_data, None
        if spec.inject_host_key:
            user_data, host_key = inject(user_data)
            metadata[marks.HOST_KEY] = host_key
        answer = self._service.request(
            "POST", self.path, body=self._request(spec, metadata, user_data), version=CREATING
        )
        body: Body = self._service.read(answer)["server"]
        return Server(
            id=body["id"],
            name=spec.name,
            project_id=self._project.id,
            cloud_id=self._project.cloud_id,
            created_at=http_date(answer.headers.get("Date")),
            description=spec.description,
            mark=spec.mark,
            status=ServerStatus.BUILD,
            native_status=ServerStatus.BUILD.value,
            image_id=spec.image_id,
            flavor_id=spec.flavor_id,
            key_pair=spec.key_pair,
            metadata=spec.metadata,
            tags=spec.tags,
            availability_zone=spec.availability_zone,
            host_key=host_key,
            task="scheduling",
        )

    def delete(self, id: str) -> None:
        """Delete one; raises InvalidState for a locked one."""
        self.refuse_locked(id)
        self._service.delete(self._at(id))

    def update(self, id: str, changes: Mapping[str, Any]) -> Server:
        """Change name and description in one request, metadata and tags in one each."""
        self.refuse_locked(id)
        plain = {name: changes[name] for name in ("name", "description") if name in changes}
        if plain:
            self._service.put(self._at(id), {"server": plain}, READING)
        if "metadata" in changes:
            ours = marks.our_metadata(self.body(id).get("metadata") or {})
            self._service.put(self._at(id, "metadata"), {"metadata": {**changes["metadata"], **ours}})
        if "tags" in changes:
            self._service.put(self._at(id, "tags"), {"tags": list(changes["tags"])}, READING)
        return self.get(id)

    # ---------------------------------------------------------------- power

    def start(self, id: str) -> None:
        """SHUTOFF → ACTIVE."""
        self._act(id, "os-start")

    def stop(self, id: str, hard: bool) -> None:
        """ACTIVE → SHUTOFF. Nova has one verb: it asks the guest, and cuts the power when that takes too long."""
        try:
            self._act(id, "os-stop")
        except Busy:
            # Only then is cutting the power what goes on already.
            if not (hard and self.body(id).get("OS-EXT-STS:task_state") == _POWERING_OFF):
                raise

    def reboot(self, id: str, hard: bool) -> None:
        """Reboot by the guest, or by the reset line."""
        self._act(id, "reboot", {"type": "HARD" if hard else "SOFT"})

    def pause(self, id: str) -> None:
        """ACTIVE → PAUSED."""
        self._act(id, "pause")

    def unpause(self, id: str) -> None:
        """PAUSED → ACTIVE."""
        self._act(id, "unpause")

    def suspend(self, id: str) -> None:
        """ACTIVE → SUSPENDED."""
        self._act(id, "suspend")

    def resume(self, id: str) -> None:
        """SUSPENDED → ACTIVE."""
        self._act(id, "resume")

    def shelve(self, id: str) -> None:
        """ACTIVE, SHUTOFF, PAUSED or SUSPENDED → SHELVED, and SHELVED_OFFLOADED when the cloud offloads it."""
        self._act(id, "shelve")

    def unshelve(self, id: str) -> None:
        """SHELVED or SHELVED_OFFLOADED → ACTIVE."""
        self._act(id, "unshelve")

    # ---------------------------------------------------------------- shape

    def resize(self, id: str, flavor_id: str) -> None:
        """Another flavor; a smaller disk, which Nova would only find out later, is refused here."""
        flavor: Body = self._service.get(f"/flavors/{segment(flavor_id)}")["flavor"]
        size = part(self._service.get(self._at(id), version=SIZED)["server"], "flavor")
        if 0 < flavor["disk"] < size.get("disk", 0):
            raise InvalidRequest(
                f"the flavor {flavor['name']!r} has a disk of {flavor['disk']} GiB, smaller than the server's",
                driver=DRIVER,
                resource=id,
                hint="Disks do not shrink: take a flavor with as large a one.",
            )
        self._act(id, "resize", {"flavorRef": flavor_id})

    def confirm_resize(self, id: str) -> None:
        """Keep the new flavor."""
        self._act(id, "confirmResize")

    def revert_resize(self, id: str) -> None:
        """Go back to the old one."""
        self._act(id, "revertResize")

    def rebuild(self, id: str, image_id: str) -> None:
        """The root disk anew."""
        self._context.require(Kind.IMAGE, image_id)
        self._act(id, "rebuild", {"imageRef": image_id})

    def rescue(self, id: str, image_id: str | None) -> None:
        """Boot from another image."""
        self._context.require(Kind.IMAGE, image_id)
        self._act(id, "rescue", None if image_id is None else {"rescue_image_ref": image_id}, RESCUING)

    def unrescue(self, id: str) -> None:
        """Boot from the own disk again."""
        self._act(id, "unrescue")

    def lock(self, id: str) -> None:
        """Refuse verbs."""
        self._act(id, "lock", even_locked=True)

    def unlock(self, id: str) -> None:
        """Allow verbs."""
        self._act(id, "unlock", even_locked=True)

    def set_security_groups(self, id: str, security_group_ids: tuple[str, ...]) -> None:
        """Change the groups of all its ports: Nova can only add and remove one at a time."""
        self.get(id)
        for group_id in security_group_ids:
            self._context.require(Kind.SECURITY_GROUP, group_id)
        network = self._context.network
        for ports in network.pages("/ports", "ports", [("device_id", id), ("fields", "id")]):
            for port in ports:
                network.put(f"/ports/{port['id']}", {"port": {"security_groups": list(security_group_ids)}})

    def attach_interface(self, id: str, nic: Nic) -> str:
        """Plug one in; Nova answers when it is there."""
        self.refuse_locked(id)
        if nic.port_id is not None:
            wanted: Body = {"port_id": nic.port_id}
        else:
            wanted = {"net_id": nic.network_id}
            if nic.fixed_ip is not None:
                wanted["fixed_ips"] = [{"ip_address": nic.fixed_ip}]
        kind, wanted_id = (Kind.NETWORK, nic.network_id) if nic.port_id is None else (Kind.PORT, nic.port_id)
        self._context.require(kind, wanted_id)
        try:
            answer = self._service.post(self._at(id, "os-interface"), {"interfaceAttachment": wanted})
        except Unavailable:
            # Nova answers 500 for a network that is not there.
            self._context.collections[kind].get(wanted_id or "")
            raise
        return str(answer["interfaceAttachment"]["port_id"])

    def detach_interface(self, id: str, port_id: str) -> None:
        """Have Nova pull one out; of a port that another server has, or none, it would tell its log only."""
        self.refuse_locked(id)
        port: Port = self._context.collections[Kind.PORT].get(port_id)
        if port.device_id != id:
            raise InvalidState("the port is not plugged into this server", driver=DRIVER, resource=port)
        self._service.delete(self._at(id, "os-interface", segment(port_id)))

    # ---------------------------------------------------------------- what it tells, what is made of it

    def console_log(self, id: str, lines: int | None) -> str:
        """What it printed since boot; nothing while it is being built, or where it was stopped before it printed."""
        self._own(id)
        try:
            answer = self._action(id, "os-getConsoleOutput", {} if lines is None else {"length": lines})
        except Conflict:
            # Nova's InstanceNotReady: no host has it yet.
            return ""
        except NotFound:
            # Nova's ConsoleNotAvailable, or there is no such server.
            self.get(id)
            return ""
        text = str(answer.get("output") or "")
        return text if lines is None else "".join(text.splitlines(keepends=True)[-lines:])

    def endpoints(self, id: str, port: int) -> tuple[Endpoint, ...]:
        """Its floating addresses, then its fixed ones."""
        addresses = sorted(self.get(id).addresses, key=lambda address: not address.floating)
        return tuple(Endpoint(host=address.ip, port=port) for address in addresses)

    def create_image(self, id: str, spec: ImageSpec) -> Image:
        """An image of its root disk; Nova takes no tags, so they follow."""
        images = cast("Any", self._context.collections[Kind.IMAGE])
        properties = {**spec.metadata, **marks.to_metadata(spec.mark)}
        if spec.description:
            properties["description"] = spec.description
        request = with_native({"name": spec.name, "metadata": properties}, spec.native)
        answer = self._act(id, "createImage", request, IMAGING)
        return cast(Image, images.finish_server_image(answer["image_id"], spec.tags))

    # ---------------------------------------------------------------- parts

    def refuse_locked(self, id: str) -> None:
        """Raise InvalidState for a locked server, of which Nova lets an administrator do anything."""
        server = self._own(id)
        if server is not None and server.locked:
            raise InvalidState(f"the server {server.name!r} is locked", driver=DRIVER, resource=server)

    def refuse_offloaded(self, id: str) -> None:
        """Raise InvalidState for a locked server, and for one that is on no host.

        Nova would take a disk for the latter and Cinder keep it as reserved, which is what it is for a moment on its
        way into any server, so that nobody could tell when it is done.
        """
        server = self._own(id) or self.get(id)
        if server.locked or server.status is ServerStatus.SHELVED_OFFLOADED:
            state = "locked" if server.locked else server.status
            raise InvalidState(f"the server {server.name!r} is {state}", driver=DRIVER, resource=server)

    def _act(
        self, id: str, verb: str, arguments: Any = None, version: str | None = None, even_locked: bool = False
    ) -> Body:
        if even_locked:
            self._own(id)
        else:
            self.refuse_locked(id)
        return self._action(id, verb, arguments, version)

    def _action(self, id: str, verb: str, arguments: Any, version: str | None = None) -> Body:
        return self._service.post(self._at(id, "action"), {verb: arguments}, version)

    def _request(self, spec: ServerSpec, metadata: dict[str, str], user_data: bytes | None) -> Body:
        server: Body = {
            "name": spec.name,
            "flavorRef": spec.flavor_id,
            "networks": [_interface(nic) for nic in spec.nics] or "none",
            "metadata": metadata,
        }
        optional = {
            "imageRef": spec.image_id,
            "key_name": spec.key_pair,
            "description": spec.description or None,
            "tags": list(spec.tags) or None,
            "availability_zone": spec.availability_zone,
            "security_groups": [{"name": id} for id in spec.security_group_ids] or None,
            "user_data": None if user_data is None else base64.b64encode(user_data).decode(),
        }
        server |= {name: value for name, value in optional.items() if value is not None}
        if spec.boot_volume_id is not None:
            server["block_device_mapping_v2"] = [
                {
                    "boot_index": 0,
                    "uuid": spec.boot_volume_id,
                    "source_type": "volume",
                    "destination_type": "volume",
                    "delete_on_termination": False,
                }
            ]
        native = dict(spec.native or {})
        hints = {} if spec.server_group_id is None else {"group": spec.server_group_id}
        hints |= native.pop(_HINTS, {})
        return {"server": {**server, **native}, **({_HINTS: hints} if hints else {})}

    def _check_references(self, spec: ServerSpec) -> None:
        require = self._context.require
        require(Kind.IMAGE, spec.image_id)
        require(Kind.VOLUME, spec.boot_volume_id)
        require(Kind.SERVER_GROUP, spec.server_group_id)
        for group_id in spec.security_group_ids:
            require(Kind.SECURITY_GROUP, group_id)
        for nic in spec.nics:
            require(Kind.NETWORK, nic.network_id)
            require(Kind.PORT, nic.port_id)
            if nic.network_id is not None and nic.fixed_ip is not None:
                check_usable(self._context.network, nic.network_id, nic.fixed_ip)

    def _described(self, id: str) -> ServerBody:
        answer = self._service.request("GET", self._at(id), version=READING)
        return self._service.decoded(answer, decode_one)

    def _pages(self, query: Sequence[tuple[str, Any]]) -> Iterator[Sequence[ServerBody]]:
        return self._service.decoded_pages("/servers/detail", decode_page, query, READING, lambda server: server.id)

    def _values(self, bodies: Sequence[ServerBody]) -> Iterable[Server]:
        self._context.plugs.learn(body for body in bodies if body.status != "BUILD")
        return map(self._value, bodies)

    def _value(self, body: ServerBody) -> Server:
        status = status_of(ServerStatus, body.status)
        metadata = body.metadata
        return Server(
            id=body.id,
            name=body.name,
            project_id=body.tenant_id,
            cloud_id=self._project.cloud_id,
            created_at=time_of(body.created) or NO_TIME,
            updated_at=time_of(body.updated),
            description=body.description or "",
            mark=marks.of_metadata(metadata),
            status=status,
            native_status=body.status,
            # Nova writes an empty text for a server that was booted from a volume.
            image_id=body.image.id if isinstance(body.image, Reference) else None,
            flavor_id=None if body.flavor is None else body.flavor.id,
            key_pair=body.key_name,
            # Nova's are not settled while it builds.
            addresses=() if status is ServerStatus.BUILD else self._context.plugs.addresses(body),
            security_groups=tuple(dict.fromkeys([group.name for group in body.security_groups])),
            volume_ids=tuple([volume.id for volume in body.volumes]),
            metadata=marks.users_metadata(metadata),
            tags=tuple(body.tags),
            availability_zone=body.zone or None,
            locked=body.locked,
            fault=None if body.fault is None else _fault(body.fault),
            host_key=metadata.get(marks.HOST_KEY),
            task=body.task,
        )


def check_usable(network: Service, network_id: str, ip: str) -> None:
    """Raise InvalidRequest for an address that no subnet has; Nova would find out when it builds the server."""
    address = ip_address(ip)
    subnets: Sequence[Body] = network.get("/subnets", [("network_id", network_id), ("fields", "cidr")])["subnets"]
    for subnet in subnets:
        cidr = ip_network(subnet["cidr"])
        ends = (cidr.network_address, cidr.broadcast_address) if cidr.version == 4 else (cidr.network_address,)
        if address in cidr and (address not in ends or cidr.prefixlen >= cidr.max_prefixlen - 1):
            return
    raise InvalidRequest(f"{ip} is no usable address of a subnet of the network", driver=DRIVER, resource=network_id)


def _interface(nic: Nic) -> Body:
    if nic.port_id is not None:
        return {"port": nic.port_id}
    return {"uuid": nic.network_id} | ({} if nic.fixed_ip is None else {"fixed_ip": nic.fixed_ip})


def _fault(body: FaultBody) -> Fault:
    return Fault(
        message=body.message,
        code=body.code,
        details=body.details,
        created_at=time_of(body.created),
    )
