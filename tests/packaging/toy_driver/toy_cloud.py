"""A cloud in a list, as small as a driver can be: the mandatory part, and one group."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from cloudkit.driver import DRIVER_API, DriverPlugin, OpenRequest, Option, Query
from cloudkit.errors import AlreadyExists, CloudError, InvalidRequest, InvalidState, NotFound
from cloudkit.types import (
    Flavor,
    FlavorSpec,
    Image,
    ImageStatus,
    KeyPair,
    KeyPairSpec,
    Kind,
    Server,
    ServerSpec,
    ServerStatus,
    Spec,
    Visibility,
    Volume,
    VolumeSpec,
    VolumeStatus,
)

ON, OFF, PAUSED = ServerStatus.ACTIVE, ServerStatus.SHUTOFF, ServerStatus.PAUSED
NATIVE = {ON: "on", OFF: "off", PAUSED: "frozen"}
"""A server's status in this back-end's own words."""

GIB = 1 << 30


class Store:
    """What all projects share."""

    def __init__(self, image_gib: int) -> None:
        self.lock = threading.RLock()
        self.cloud_id = str(uuid.uuid4())
        self.things: dict[Kind, list[Any]] = {kind: [] for kind in Kind}
        self.things[Kind.IMAGE].append(
            Image(
                id=str(uuid.uuid4()),
                name="tiny",
                project_id="toy",
                cloud_id=self.cloud_id,
                created_at=datetime.now(UTC),
                status=ImageStatus.ACTIVE,
                native_status="there",
                disk_format="raw",
                virtual_size_bytes=image_gib * GIB,
                visibility=Visibility.PUBLIC,
            )
        )


class Collection:
    """The things of one kind, as one project sees them."""

    kind: Kind

    def __init__(self, store: Store, project_id: str) -> None:
        self._store = store
        self._project_id = project_id

    def list(self, query: Query) -> Iterator[Any]:
        with self._store.lock:
            return iter([value for value in self._store.things[self.kind] if self._sees(value)])

    def get(self, id: str) -> Any:
        return self._find(self.kind, id)

    def delete(self, id: str) -> None:
        with self._store.lock:
            value = self.get(id)
            if value.project_id != self._project_id:
                raise NotFound(f"the {self.kind.noun} {id!r} belongs to another project", resource=id)
            self._store.things[self.kind].remove(value)

    def _sees(self, value: Any) -> bool:
        return value.project_id == self._project_id or getattr(value, "visibility", None) is Visibility.PUBLIC

    def _find(self, kind: Kind, id: str | None) -> Any:
        with self._store.lock:
            for value in self._store.things[kind]:
                if value.id == id and self._sees(value):
                    return value
        raise NotFound(f"there is no {kind.noun} {id!r}", resource=id)

    def _add(self, spec: Spec, value_type: type[Any], **fields: Any) -> Any:
        common = {
            "id": str(uuid.uuid4()),
            "name": spec.name,
            "project_id": self._project_id,
            "cloud_id": self._store.cloud_id,
            "created_at": datetime.now(UTC),
            "description": spec.description,
            "mark": spec.mark,
        }
        value = value_type(**(common | fields))
        self._store.things[self.kind].append(value)
        return value


class Volumes(Collection):
    kind = Kind.VOLUME

    def create(self, spec: VolumeSpec) -> Volume:
        with self._store.lock:
            status = VolumeStatus.AVAILABLE
            return self._add(
                spec, Volume, status=status, native_status="made", size_gib=spec.size_gib, metadata=spec.metadata
            )


class Servers(Collection):
    kind = Kind.SERVER

    def create(self, spec: ServerSpec) -> Server:
        with self._store.lock:
            flavor, image = self._find(Kind.FLAVOR, spec.flavor_id), self._find(Kind.IMAGE, spec.image_id)
            if flavor.disk_gib and flavor.disk_gib * GIB < image.virtual_size_bytes:
                raise InvalidRequest(f"the disk of the flavor {flavor.name!r} is smaller than the image")
            if spec.key_pair is not None:
                self._find(Kind.KEY_PAIR, spec.key_pair)
            for nic in spec.nics:
                self._find(Kind.NETWORK, nic.network_id)
            fields = {"image_id": image.id, "flavor_id": flavor.id, "key_pair": spec.key_pair}
            return self._add(spec, Server, status=ON, native_status=NATIVE[ON], **fields)

    def start(self, id: str) -> None:
        self._go(id, (OFF,), ON)

    def stop(self, id: str, hard: bool) -> None:
        self._go(id, (ON,), OFF)

    def reboot(self, id: str, hard: bool) -> None:
        self._go(id, (ON, OFF, PAUSED) if hard else (ON,), ON)

    def pause(self, id: str) -> None:
        self._go(id, (ON,), PAUSED)

    def unpause(self, id: str) -> None:
        self._go(id, (PAUSED,), ON)

    def _go(self, id: str, allowed: tuple[ServerStatus, ...], status: ServerStatus) -> None:
        with self._store.lock:
            server = self.get(id)
            if server.status not in allowed:
                raise InvalidState(f"the server {server.name!r} is {server.status}", resource=id)
            servers = self._store.things[Kind.SERVER]
            servers[servers.index(server)] = replace(server, status=status, native_status=NATIVE[status])


class Flavors(Collection):
    kind = Kind.FLAVOR

    def create(self, spec: FlavorSpec) -> Flavor:
        with self._store.lock:
            if any(flavor.name == spec.name for flavor in self._store.things[Kind.FLAVOR]):
                raise AlreadyExists(f"there is a flavor {spec.name!r}", resource=spec.name)
            size = {"vcpus": spec.vcpus, "ram_mib": spec.ram_mib, "disk_gib": spec.disk_gib}
            return self._add(spec, Flavor, **size, visibility=spec.visibility, extra_specs=spec.extra_specs)


class KeyPairs(Collection):
    kind = Kind.KEY_PAIR

    def create(self, spec: KeyPairSpec) -> KeyPair:
        with self._store.lock:
            if any(key_pair.name == spec.name for key_pair in self.list(Query())):
                raise AlreadyExists(f"there is a key pair {spec.name!r}", resource=spec.name)
            key = {"public_key": spec.public_key, "fingerprint": spec.fingerprint}
            return self._add(spec, KeyPair, id=spec.name, **key)


class Images(Collection):
    kind = Kind.IMAGE


class Networks(Collection):
    kind = Kind.NETWORK


class Subnets(Collection):
    kind = Kind.SUBNET


class Ports(Collection):
    kind = Kind.PORT


class Toy:
    """One project of one toy."""

    name = "toy"
    api = DRIVER_API
    capabilities = frozenset({"servers.pause"})
    signals_changes = False

    def __init__(self, store: Store, project_id: str) -> None:
        self.native = store
        self.cloud_id = store.cloud_id
        self.project_id = project_id
        self.compute = self._service(Servers, Flavors, KeyPairs)
        self.image = self._service(Images)
        self.network = self._service(Networks, Subnets, Ports)
        self.volume = self._service(Volumes)

    def _service(self, *collections: type[Collection]) -> SimpleNamespace:
        return SimpleNamespace(**{each.kind.value: each(self.native, self.project_id) for each in collections})

    def for_project(self, project_id: str) -> Toy:
        return Toy(self.native, project_id)

    def raw(self, kind: Kind, id: str) -> Any:
        services = vars(self.compute) | vars(self.image) | vars(self.network) | vars(self.volume)
        return services[kind.value].get(id)

    def translate(self, error: Exception) -> CloudError:
        return CloudError(f"{type(error).__name__}: {error}")

    def now(self) -> float:
        return time.monotonic()

    def wait_change(self, kind: Kind, timeout_s: float) -> None:
        time.sleep(timeout_s)

    def close(self) -> None:
        pass


def open_toy(request: OpenRequest) -> Toy:
    return Toy(Store(request.options["image_gib"]), request.project_id or "default")


PLUGIN = DriverPlugin(
    name="toy",
    api=DRIVER_API,
    open=open_toy,
    options=(Option("image_gib", "size of its only image", parse=int, default=1),),
)
