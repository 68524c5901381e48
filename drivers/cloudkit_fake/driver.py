"""The driver: one project's view of one fake cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudkit.driver import CAPABILITIES, DRIVER_API, Driver, OpenRequest
from cloudkit.errors import CloudError, ConfigError
from cloudkit.types import Kind, Quota
from cloudkit_fake.backups import Backups
from cloudkit_fake.cloud import FakeCloud, make_clock
from cloudkit_fake.collections import used_of
from cloudkit_fake.images import Images
from cloudkit_fake.networks import Networks, Subnets
from cloudkit_fake.ports import Ports
from cloudkit_fake.routing import FloatingIps, Routers
from cloudkit_fake.security_groups import SecurityGroups
from cloudkit_fake.servers import Servers, size_used
from cloudkit_fake.small_kinds import Flavors, KeyPairs, ServerGroups
from cloudkit_fake.volumes import Snapshots, Volumes

DEFAULT_PROJECT = "default"
BOOT_SECONDS, TASK_SECONDS = 5.0, 1.0
"""On the virtual clock, where they pass at once; on the real one nothing takes time unless asked for."""


class Compute:
    """Servers and what they are made of."""

    def __init__(self, cloud: FakeCloud, project_id: str) -> None:
        self.servers = Servers(cloud, project_id)
        self.flavors = Flavors(cloud, project_id)
        self.key_pairs = KeyPairs(cloud, project_id)
        self.server_groups = ServerGroups(cloud, project_id)


class ImageService:
    """Images."""

    def __init__(self, cloud: FakeCloud, project_id: str) -> None:
        self.images = Images(cloud, project_id)


class NetworkService:
    """Networks and what joins them."""

    def __init__(self, cloud: FakeCloud, project_id: str) -> None:
        self.networks = Networks(cloud, project_id)
        self.subnets = Subnets(cloud, project_id)
        self.ports = Ports(cloud, project_id)
        self.routers = Routers(cloud, project_id)
        self.floating_ips = FloatingIps(cloud, project_id)
        self.security_groups = SecurityGroups(cloud, project_id)


class VolumeService:
    """Volumes, snapshots and backups."""

    def __init__(self, cloud: FakeCloud, project_id: str) -> None:
        self.volumes = Volumes(cloud, project_id)
        self.snapshots = Snapshots(cloud, project_id)
        self.backups = Backups(cloud, project_id)


class FakeDriver:
    """One project of one fake; it offers everything that there is."""

    name = "fake"
    api = DRIVER_API
    signals_changes = True
    capabilities = CAPABILITIES

    def __init__(self, cloud: FakeCloud, project_id: str) -> None:
        self._cloud = cloud
        self.project_id = project_id
        self.cloud_id = cloud.state.cloud_id
        self.compute = Compute(cloud, project_id)
        self.image = ImageService(cloud, project_id)
        self.network = NetworkService(cloud, project_id)
        self.volume = VolumeService(cloud, project_id)

    @property
    def native(self) -> FakeCloud:
        """The fake itself: its clock, faults, quotas and guests."""
        return self._cloud

    def for_project(self, project_id: str) -> FakeDriver:
        """The same cloud, acting in another project."""
        return FakeDriver(self._cloud, project_id)

    def raw(self, kind: Kind, id: str) -> Any:
        """The value as JSON data."""
        from cloudkit._schema import to_data

        for service in (self.compute, self.image, self.network, self.volume):
            if hasattr(service, kind.value):
                return to_data(getattr(service, kind.value).get(id))
        raise AssertionError(f"no service has {kind.value}")

    def translate(self, error: Exception) -> CloudError:
        """The fake raises CloudErrors; what else comes out of it is a defect, or what a fault script raises."""
        return CloudError(f"unexpected: {type(error).__name__}: {error}", driver=self.name)

    def now(self) -> float:
        """The fake's clock."""
        return self._cloud.clock.now()

    def wait_change(self, kind: Kind, timeout_s: float) -> None:
        """Let time pass until something happens."""
        del kind
        self._cloud.sleep(timeout_s)

    def limits(self) -> Mapping[str, Quota]:
        """Quota and use."""
        with self._cloud as state:
            used = {kind.value: used_of(state, kind, self.project_id) for kind in Kind if kind is not Kind.FLAVOR}
            used["vcpus"] = size_used(self._cloud, self.project_id, "vcpus")
            used["ram_mib"] = size_used(self._cloud, self.project_id, "ram_mib")
            used["volume_gib"] = used_of(state, Kind.VOLUME, self.project_id, "size_gib")
            used["backup_gib"] = used_of(state, Kind.BACKUP, self.project_id, "size_gib")
            quotas = {name: limit for name, limit in self._cloud.quotas.items() if limit >= 0}
        return {name: Quota(limit=quotas.get(name), in_use=in_use) for name, in_use in used.items()}

    def close(self) -> None:
        """End the guests; a fake in memory is forgotten with the last reference to it."""
        self._cloud.close()


def open_driver(request: OpenRequest) -> Driver:
    """A new fake, or the one in the file."""
    from cloudkit_fake.storage import Storage

    options = request.options
    if request.address.strip("/"):
        raise ConfigError(
            f"a fake has no address, and {request.address!r} is given", driver="fake", hint="Write fake://?path=FILE."
        )
    path, clock = options["path"], options["clock"]
    if path is not None and clock == "virtual":
        raise ConfigError(
            "a fake that is kept in a file has the real clock",
            driver="fake",
            hint="Processes that share the file cannot share a virtual clock: leave out clock or path.",
        )
    clock = clock or ("virtual" if path is None else "real")
    virtual = clock == "virtual"
    boot, task = options["boot_seconds"], options["task_seconds"]
    cloud = FakeCloud(
        clock=make_clock(clock),
        storage=None if path is None else Storage(path),
        boot_seconds=(BOOT_SECONDS if virtual else 0.0) if boot is None else boot,
        task_seconds=(TASK_SECONDS if virtual else 0.0) if task is None else task,
        quotas=options["quotas"],
    )
    return FakeDriver(cloud, request.project_id or DEFAULT_PROJECT)
