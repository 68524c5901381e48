"""Any verb at any time: it works, or raises a CloudError and changes nothing; every status is one that there is."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import cloudkit
from cloudkit import CloudError, NotFound
from cloudkit.testing import Fail
from cloudkit.types import BackupSpec, Kind, Mark, ServerStatus, VolumeStatus
from cloudkit_fake.images import empty_qcow2

SETTLED_SERVERS = {
    ServerStatus.ACTIVE,
    ServerStatus.SHUTOFF,
    ServerStatus.PAUSED,
    ServerStatus.SUSPENDED,
    ServerStatus.RESCUE,
    ServerStatus.SHELVED_OFFLOADED,
    ServerStatus.VERIFY_RESIZE,
    ServerStatus.ERROR,
}
SETTLED_VOLUMES = {VolumeStatus.AVAILABLE, VolumeStatus.IN_USE, VolumeStatus.RESERVED, VolumeStatus.ERROR}
LONG = 1000.0
SERVER_VERBS = st.sampled_from(
    [
        *((verb, ()) for verb in ("start", "pause", "unpause", "suspend", "resume", "unrescue", "lock", "unlock")),
        *((verb, ()) for verb in ("confirm_resize", "revert_resize", "shelve", "unshelve")),
        *((verb, (hard,)) for verb in ("stop", "reboot") for hard in (True, False)),
        *(("resize", (flavor_id,)) for flavor_id in ("1", "2", "no-such")),
        ("rebuild", ("image",)),
        ("rescue", ("image",)),
        ("rescue", (None,)),
    ]
)


class Machine(RuleBasedStateMachine):
    """Two servers, two volumes and their backups, and all that can be done to them."""

    @initialize()
    def start(self) -> None:
        self.cloud = cloudkit.connect("fake://?quotas=servers=-1,vcpus=-1,ram_mib=-1,backups=-1")
        self.driver: Any = self.cloud._context.driver
        self.servers, self.volumes = self.driver.compute.servers, self.driver.volume.volumes
        self.image = self.cloud.images.upload("blank", data=empty_qcow2(1 << 20))
        self.server_ids = [self.new_server(), self.new_server()]
        self.volume_ids = [self.new_volume(), self.new_volume()]
        self.backup_ids = ["no-such"]

    def new_server(self) -> str:
        return self.cloud.servers.create("web", image=self.image, flavor="m1.tiny", networks="none").id

    def new_volume(self) -> str:
        return self.cloud.volumes.create("data", size_gib=1).id

    def teardown(self) -> None:
        if hasattr(self, "cloud"):
            self.cloud.close()

    def everything(self) -> Any:
        """All values, and what is to happen to them."""
        with self.cloud.native as state:
            tables = {kind: dict(table) for kind, table in state.tables.items()}
            later = {id: (change.due, change.fields) for id, change in state.later.items()}
            return tables, later, {id: dict(secret) for id, secret in state.secrets.items()}

    def attempt(self, after: float, verb: Any, *arguments: Any) -> None:
        """Do it, and let time pass."""
        before = self.everything()
        try:
            verb(*arguments)
        except CloudError as error:
            assert error.message
            assert self.everything() == before
        self.cloud.native.clock.advance(after)

    which = st.sampled_from([0, 1])
    after = st.sampled_from([0, 0.5, LONG, LONG])

    @rule(after=after, which=which, verb_and_arguments=SERVER_VERBS)
    def server_verb(self, after: float, which: int, verb_and_arguments: tuple[str, tuple[Any, ...]]) -> None:
        verb, arguments = verb_and_arguments
        given = [self.image.id if each == "image" else each for each in arguments]
        self.attempt(after, getattr(self.servers, verb), self.server_ids[which], *given)

    @rule(after=after, which=which)
    def server_fails(self, after: float, which: int) -> None:
        fault = self.cloud.native.faults.add("servers.reboot", Fail("the host is on fire"))
        self.attempt(after, self.servers.reboot, self.server_ids[which], True)
        self.cloud.native.faults.clear()
        assert fault.met == 1

    @rule(after=after, which=which)
    def delete_server(self, after: float, which: int) -> None:
        self.attempt(after, self.servers.delete, self.server_ids[which])

    @rule()
    def what_is_gone_is_made_anew(self) -> None:
        tables, _, _ = self.everything()
        self.server_ids = [id if id in tables[Kind.SERVER] else self.new_server() for id in self.server_ids]
        self.volume_ids = [id if id in tables[Kind.VOLUME] else self.new_volume() for id in self.volume_ids]

    @rule(after=after, volume=which, server=which)
    def attach(self, after: float, volume: int, server: int) -> None:
        self.attempt(after, self.volumes.attach, self.volume_ids[volume], self.server_ids[server])

    @rule(after=after, volume=which, server=which)
    def detach(self, after: float, volume: int, server: int) -> None:
        self.attempt(after, self.volumes.detach, self.volume_ids[volume], self.server_ids[server])

    @rule(after=after, volume=which, size=st.integers(1, 4))
    def extend(self, after: float, volume: int, size: int) -> None:
        self.attempt(after, self.volumes.extend, self.volume_ids[volume], size)

    @rule(after=after, volume=which, force=st.booleans())
    def back_up(self, after: float, volume: int, force: bool) -> None:
        mark = Mark(request="r")
        spec = BackupSpec(name="b", mark=mark, volume_id=self.volume_ids[volume], force=force)
        self.attempt(after, lambda: self.backup_ids.append(self.driver.volume.backups.create(spec).id))

    @rule(after=after, backup=st.integers(-3, -1), volume=which)
    def restore(self, after: float, backup: int, volume: int) -> None:
        backup_id = self.backup_ids[max(backup, -len(self.backup_ids))]
        self.attempt(after, self.driver.volume.backups.restore, backup_id, self.volume_ids[volume])

    @rule(after=after, backup=st.integers(-3, -1))
    def delete_backup(self, after: float, backup: int) -> None:
        self.attempt(after, self.driver.volume.backups.delete, self.backup_ids[max(backup, -len(self.backup_ids))])

    @rule(after=after, volume=which)
    def delete_volume(self, after: float, volume: int) -> None:
        self.attempt(after, self.volumes.delete, self.volume_ids[volume])

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
                if volumes[id].status is VolumeStatus.RESERVED:
                    # Kept for a server that is shelved, on its way there or back, and plugged in nowhere.
                    assert volumes[id].attachments == ()
                    assert server.status is ServerStatus.SHELVED_OFFLOADED or server.task is not None
                else:
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
        for backup in tables[Kind.BACKUP].values():
            assert backup.id in later or backup.status == "available"


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
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
