"""A cloud in a dictionary: the mandatory part of a driver, and nothing else."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cloudkit.driver import DRIVER_API, DriverPlugin, OpenRequest, Query
from cloudkit.errors import AlreadyExists, CloudError, InUse, InvalidRequest, InvalidState, NotFound
from cloudkit.types import (
    Address,
    Flavor,
    FlavorSpec,
    Image,
    ImageStatus,
    KeyPair,
    KeyPairSpec,
    Kind,
    Network,
    NetworkStatus,
    Port,
    Resource,
    Server,
    ServerSpec,
    ServerStatus,
    Spec,
    Subnet,
    Volume,
    VolumeSpec,
    VolumeStatus,
)

GIB = 1 << 30


class Store:
    """What all projects share."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.cloud_id = str(uuid.uuid4())
        self.tables: dict[Kind, dict[str, Any]] = {kind: {} for kind in Kind}
        self.last_address = 1
        preset = {"project_id": "admin", "cloud_id": self.cloud_id, "created_at": datetime.now(UTC)}
        image = Image(id="i-1", name="tiny", status=ImageStatus.ACTIVE, native_status="there", disk_format="raw",
                      size_bytes=GIB, virtual_size_bytes=GIB, **preset)  # fmt: skip
        subnet = Subnet(id="s-1", name="user", network_id="n-1", cidr="10.0.2.0/24", ip_version=4,
                        gateway_ip="10.0.2.1", allocation_pools=(("10.0.2.2", "10.0.2.254"),), **preset)  # fmt: skip
        network = Network(id="n-1", name="user", status=NetworkStatus.ACTIVE, native_status="up",
                          subnet_ids=("s-1",), shared=True, **preset)  # fmt: skip
        for value in (image, subnet, network):
            self.tables[value.kind][value.id] = value


def is_public(value: Any) -> bool:
    return getattr(value, "visibility", None) == "public"


class Table:
    """The things of one kind, as one project sees them."""

    kind: Kind
    shown_to_all = False

    def __init__(self, store: Store, project_id: str) -> None:
        self.store = store
        self.project_id = project_id

    @property
    def things(self) -> dict[str, Any]:
        return self.store.tables[self.kind]

    def sees(self, value: Resource) -> bool:
        return self.shown_to_all or value.project_id == self.project_id

    def list(self, query: Query) -> Iterator[Any]:
        with self.store.lock:
            return iter([value for value in self.things.values() if self.sees(value)])

    def get(self, id: str) -> Any:
        with self.store.lock:
            return self.find(self.kind, id)

    def find(self, kind: Kind, id: str) -> Any:
        value = self.store.tables[kind].get(id)
        if value is None or not (value.project_id in (self.project_id, "admin") or is_public(value)):
            raise NotFound(f"there is no {kind.noun} {id!r}", resource=id)
        return value

    def common(self, spec: Spec) -> dict[str, Any]:
        return {
            "id": str(uuid.uuid4()),
            "name": spec.name,
            "project_id": self.project_id,
            "cloud_id": self.store.cloud_id,
            "created_at": datetime.now(UTC),
            "description": spec.description,
            "mark": spec.mark,
        }

    def add(self, value: Any) -> Any:
        self.things[value.id] = value
        return value

    def delete(self, id: str) -> None:
        with self.store.lock:
            self.find(self.kind, id)
            del self.things[id]


class Servers(Table):
    kind = Kind.SERVER

    def create(self, spec: ServerSpec) -> Server:
        with self.store.lock:
            flavor, image = self.find(Kind.FLAVOR, spec.flavor_id), self.find(Kind.IMAGE, spec.image_id or "")
            if flavor.disk_gib and flavor.disk_gib * GIB < image.virtual_size_bytes:
                raise InvalidRequest("the flavor's disk is smaller than the image")
            if spec.key_pair is not None:
                KeyPairs(self.store, self.project_id).get(spec.key_pair)
            addresses = tuple(self.address(nic.network_id or "", nic.fixed_ip) for nic in spec.nics)
            fields = self.common(spec)
            return self.add(
                Server(**fields, status=ServerStatus.ACTIVE, native_status="on", image_id=image.id,
                       flavor_id=flavor.id, key_pair=spec.key_pair, addresses=addresses)
            )  # fmt: skip

    def address(self, network_id: str, wanted: str | None) -> Address:
        self.find(Kind.NETWORK, network_id)
        if wanted is not None:
            raise InvalidRequest("addresses cannot be chosen here")
        self.store.last_address += 1
        number = self.store.last_address
        return Address(ip=f"10.0.2.{number % 253 + 2}", mac=f"52:54:00:00:{number >> 8 & 255:02x}:{number & 255:02x}",
                       network_id=network_id, port_id=f"p-{number}")  # fmt: skip

    def become(self, id: str, allowed: tuple[ServerStatus, ...], status: ServerStatus) -> None:
        with self.store.lock:
            server = self.find(Kind.SERVER, id)
            if server.status not in allowed:
                raise InvalidState(f"the server is {server.status}", resource=id)
            self.add(replace(server, status=status, native_status="on" if status == "ACTIVE" else "off"))

    def start(self, id: str) -> None:
        self.become(id, (ServerStatus.SHUTOFF,), ServerStatus.ACTIVE)

    def stop(self, id: str, hard: bool) -> None:
        self.become(id, (ServerStatus.ACTIVE,), ServerStatus.SHUTOFF)

    def reboot(self, id: str, hard: bool) -> None:
        allowed = (ServerStatus.ACTIVE, ServerStatus.SHUTOFF) if hard else (ServerStatus.ACTIVE,)
        self.become(id, allowed, ServerStatus.ACTIVE)


class Flavors(Table):
    kind = Kind.FLAVOR

    def sees(self, value: Any) -> bool:
        return is_public(value) or super().sees(value)

    def create(self, spec: FlavorSpec) -> Flavor:
        with self.store.lock:
            if any(flavor.name == spec.name for flavor in self.things.values()):
                raise AlreadyExists(f"there is a flavor {spec.name!r}", resource=spec.name)
            return self.add(
                Flavor(**self.common(spec), vcpus=spec.vcpus, ram_mib=spec.ram_mib, disk_gib=spec.disk_gib,
                       visibility=spec.visibility, extra_specs=spec.extra_specs)
            )  # fmt: skip


class KeyPairs(Table):
    kind = Kind.KEY_PAIR

    def get(self, id: str) -> KeyPair:
        with self.store.lock:
            for key_pair in self.things.values():
                if key_pair.id == id and self.sees(key_pair):
                    return key_pair
        raise NotFound(f"there is no key pair {id!r}", resource=id)

    def create(self, spec: KeyPairSpec) -> KeyPair:
        with self.store.lock:
            key = f"{self.project_id}\0{spec.name}"
            if key in self.things:
                raise AlreadyExists(f"there is a key pair {spec.name!r}", resource=spec.name)
            fields = self.common(spec) | {"id": spec.name}
            self.things[key] = KeyPair(**fields, public_key=spec.public_key, fingerprint=spec.fingerprint)
            return self.things[key]

    def delete(self, id: str) -> None:
        with self.store.lock:
            self.get(id)
            del self.things[f"{self.project_id}\0{id}"]


class Images(Table):
    kind = Kind.IMAGE
    shown_to_all = True

    def delete(self, id: str) -> None:
        with self.store.lock:
            self.find(Kind.IMAGE, id)
            raise InUse("the toy has this one image only", resource=id)


class Networks(Table):
    kind = Kind.NETWORK
    shown_to_all = True


class Subnets(Table):
    kind = Kind.SUBNET
    shown_to_all = True


class Ports(Table):
    kind = Kind.PORT

    def list(self, query: Query) -> Iterator[Port]:
        return iter(())


class Volumes(Table):
    kind = Kind.VOLUME

    def create(self, spec: VolumeSpec) -> Volume:
        with self.store.lock:
            status = VolumeStatus.AVAILABLE
            fields = self.common(spec) | {"size_gib": spec.size_gib, "metadata": spec.metadata}
            return self.add(Volume(**fields, status=status, native_status="there"))


class Service:
    """One of the four services: its collections are its attributes."""

    def __init__(self, store: Store, project_id: str, *tables: type[Table]) -> None:
        for table in tables:
            setattr(self, table.kind.value, table(store, project_id))


class Toy:
    """The driver."""

    name = "toy"
    api = DRIVER_API
    capabilities: frozenset[str] = frozenset()
    signals_changes = False

    def __init__(self, store: Store, project_id: str) -> None:
        self.native = store
        self.cloud_id = store.cloud_id
        self.project_id = project_id
        self.compute = Service(store, project_id, Servers, Flavors, KeyPairs)
        self.image = Service(store, project_id, Images)
        self.network = Service(store, project_id, Networks, Subnets, Ports)
        self.volume = Service(store, project_id, Volumes)

    def for_project(self, project_id: str) -> Toy:
        return Toy(self.native, project_id)

    def raw(self, kind: Kind, id: str) -> Any:
        for service in (self.compute, self.image, self.network, self.volume):
            if hasattr(service, kind.value):
                return vars(self.native)["tables"][kind].get(id) or getattr(service, kind.value).get(id)
        raise NotFound(f"there is no {kind.noun} {id!r}", resource=id)

    def translate(self, error: Exception) -> CloudError:
        return CloudError(f"{type(error).__name__}: {error}")

    def now(self) -> float:
        return time.monotonic()

    def wait_change(self, kind: Kind, timeout_s: float) -> None:
        time.sleep(timeout_s)

    def close(self) -> None:
        pass


def open_toy(request: OpenRequest) -> Toy:
    return Toy(Store(), request.project_id or "default")


PLUGIN = DriverPlugin(name="toy", api=DRIVER_API, open=open_toy)  # type: ignore[arg-type]
