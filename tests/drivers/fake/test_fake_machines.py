"""Any verb at any time: it works, or raises a CloudError and changes nothing; every status is one that there is."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import cloudkit
from cloudkit import CloudError, NotFound
from cloudkit.testing import Fail
from cloudkit.types import Kind, ServerStatus, VolumeStatus
from cloudkit_fake.images import empty_qcow2

SETTLED_SERVERS = {
    ServerStatus.ACTIVE,
    ServerStatus.SHUTOFF,
    ServerStatus.PAUSED,
    ServerStatus.SUSPENDED,
    ServerStatus.RESCUE,
    ServerStatus.VERIFY_RESIZE,
    ServerStatus.ERROR,
}
SETTLED_VOLUMES = {VolumeStatus.AVAILABLE, VolumeStatus.IN_USE, VolumeStatus.ERROR}
LONG = 1000.0


class Machine(RuleBasedStateMachine):
    """Two servers and two volumes, and all that can be done to them."""

    @initialize()
    def start(self) -> None:
        self.cloud = cloudkit.connect("fake://?quotas=servers=-1,vcpus=-1,ram_mib=-1")
        self.driver: Any = self.cloud._context.driver
        self.servers, self.volumes = self.driver.compute.servers, self.driver.volume.volumes
        self.image = self.cloud.images.upload("blank", data=empty_qcow2(1 << 20))
        boot = {"image": self.image, "flavor": "m1.tiny", "networks": "none"}
        made = self.cloud.servers.create_many([{"name": name, **boot} for name in "ab"])
        self.server_ids = [server.id for server in made]
        self.volume_ids = [
            volume.id for volume in self.cloud.volumes.create_many([{"name": name, "size_gib": 1} for name in "vw"])
        ]

    def teardown(self) -> None:
        if hasattr(self, "cloud"):
            self.cloud.close()

    def everything(self) -> Any:
        """All values, and what is to happen to them."""
        with self.cloud.native as state:
            tables = {kind: dict(table) for kind, table in state.tables.items()}
            later = {id: (change.due, change.fields) for id, change in state.later.items()}
            return tables, later, {id: dict(secret) for id, secret in state.secrets.items()}

    def attempt(self, verb: Any, *arguments: Any) -> None:
        before = self.everything()
        try:
            verb(*arguments)
        except CloudError as error:
            assert error.message
            assert self.everything() == before

    which = st.sampled_from([0, 1])

    @rule(
        which=which,
        verb=st.sampled_from(
            [
                "start",
                "pause",
                "unpause",
                "suspend",
                "resume",
                "confirm_resize",
                "revert_resize",
                "unrescue",
                "lock",
                "unlock",
            ]
        ),
    )
    def plain_verb(self, which: int, verb: str) -> None:
        self.attempt(getattr(self.servers, verb), self.server_ids[which])

    @rule(which=which, verb=st.sampled_from(["stop", "reboot"]), hard=st.booleans())
    def hard_verb(self, which: int, verb: str, hard: bool) -> None:
        self.attempt(getattr(self.servers, verb), self.server_ids[which], hard)

    @rule(which=which, flavor_id=st.sampled_from(["1", "2", "no-such"]))
    def resize(self, which: int, flavor_id: str) -> None:
        self.attempt(self.servers.resize, self.server_ids[which], flavor_id)

    @rule(which=which)
    def rebuild(self, which: int) -> None:
        self.attempt(self.servers.rebuild, self.server_ids[which], self.image.id)

    @rule(which=which, with_image=st.booleans())
    def rescue(self, which: int, with_image: bool) -> None:
        self.attempt(self.servers.rescue, self.server_ids[which], self.image.id if with_image else None)

    @rule(which=which)
    def server_fails(self, which: int) -> None:
        fault = self.cloud.native.faults.add("servers.reboot", Fail("the host is on fire"))
        self.attempt(self.servers.reboot, self.server_ids[which], True)
        self.cloud.native.faults.clear()
        assert fault.met <= 1

    @rule(which=which)
    def delete_server(self, which: int) -> None:
        self.attempt(self.servers.delete, self.server_ids[which])

    @rule(volume=which, server=which)
    def attach(self, volume: int, server: int) -> None:
        self.attempt(self.volumes.attach, self.volume_ids[volume], self.server_ids[server])

    @rule(volume=which, server=which)
    def detach(self, volume: int, server: int) -> None:
        self.attempt(self.volumes.detach, self.volume_ids[volume], self.server_ids[server])

    @rule(volume=which, size=st.integers(1, 4))
    def extend(self, volume: int, size: int) -> None:
        self.attempt(self.volumes.extend, self.volume_ids[volume], size)

    @rule(volume=which)
    def delete_volume(self, volume: int) -> None:
        self.attempt(self.volumes.delete, self.volume_ids[volume])

    @rule(seconds=st.sampled_from([0.5, 1, 5, LONG]))
    def time_passes(self, seconds: float) -> None:
        self.cloud.native.clock.advance(seconds)

    @precondition(lambda self: hasattr(self, "cloud"))
    @invariant()
    def a_volume_and_its_server_agree(self) -> None:
        tables, _, _ = self.everything()
        servers, volumes = tables[Kind.SERVER], tables[Kind.VOLUME]
        for volume in volumes.values():
            for attachment in volume.attachments:
                assert volume.id in servers[attachment.server_id].volume_ids
        for server in servers.values():
            assert server.native_status == server.status
            for id in server.volume_ids:
                assert volumes[id].attachments[0].server_id == server.id

    @precondition(lambda self: hasattr(self, "cloud"))
    @invariant()
    def nothing_hangs(self) -> None:
        """Whatever is under way has its end in the queue."""
        tables, later, _ = self.everything()
        for server in tables[Kind.SERVER].values():
            assert server.id in later or (server.status in SETTLED_SERVERS and server.task is None)
        for volume in tables[Kind.VOLUME].values():
            assert volume.id in later or volume.status in SETTLED_VOLUMES


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestMachine = Machine.TestCase


def test_what_is_deleted_is_not_found_by_any_verb() -> None:
    with cloudkit.connect("fake://") as cloud:
        servers = cloud._context.driver.compute.servers
        for verb, arguments in (("start", ()), ("stop", (True,)), ("lock", ()), ("delete", ()), ("rescue", (None,))):
            try:
                getattr(servers, verb)("gone", *arguments)
            except NotFound:
                continue
            raise AssertionError(f"{verb} found it")
