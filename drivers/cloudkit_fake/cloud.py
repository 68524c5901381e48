"""One fake cloud: its state behind a lock, its clock, its faults; what ``cloud.native`` gives."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from cloudkit.errors import CloudError
from cloudkit.types import BackupStatus, ImageStatus, Kind, Resource, ServerStatus, SnapshotStatus, VolumeStatus
from cloudkit.types import Fault as ServerFault
from cloudkit_fake import usage
from cloudkit_fake.clock import Clock, RealClock, VirtualClock, to_datetime
from cloudkit_fake.derived import refresh_server, vanish
from cloudkit_fake.faults import (
    Behaviour,
    Delay,
    Disconnect,
    Fail,
    Faults,
    Hang,
    LoseAnswer,
    Raise,
    disconnected,
    unanswered,
)
from cloudkit_fake.state import State, changed, new_id
from cloudkit_fake.storage import Blobs, MemoryBlobs, Storage

if TYPE_CHECKING:
    from cloudkit_fake.collections import FakeCollection
    from cloudkit_fake.guests import Guests
    from cloudkit_fake.terminal import Terminal

C = TypeVar("C", bound="FakeCollection[Any]")
P = ParamSpec("P")
R = TypeVar("R")

ERROR_STATUS: Mapping[Kind, Any] = {
    Kind.SERVER: ServerStatus.ERROR,
    Kind.VOLUME: VolumeStatus.ERROR,
    Kind.SNAPSHOT: SnapshotStatus.ERROR,
    Kind.BACKUP: BackupStatus.ERROR,
    Kind.IMAGE: ImageStatus.KILLED,
}

DEFAULT_QUOTAS: Mapping[str, int] = {
    "servers": 10,
    "vcpus": 20,
    "ram_mib": 51200,
    "key_pairs": 100,
    "server_groups": 10,
    "images": 100,
    "networks": 100,
    "subnets": 100,
    "ports": 500,
    "routers": 10,
    "floating_ips": 50,
    "security_groups": 10,
    "volumes": 10,
    "volume_gib": 1000,
    "snapshots": 10,
    "backups": 10,
    "backup_gib": 1000,
}
"""What an OpenStack starts with (the configuration references of Nova, Neutron and Cinder)."""


class FakeCloud:
    """A cloud in memory.

    Attributes:
        clock: a :class:`VirtualClock` with ``advance(seconds)``, or the real one.
        faults: what is to go wrong.
        quotas: name → how much each project may have; -1 for no limit.
        volume_types: name → description; more may be put in.
        guests: what the servers' shells answer.
        consoles: server id → the session with its console that is open.
        native_requests: id → what ``native=`` a create was given.
        boot_seconds: how long a server takes from BUILD to ACTIVE, and for a reboot.
        task_seconds: how long everything else takes that a real cloud does not do at once.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        storage: Storage | None,
        boot_seconds: float,
        task_seconds: float,
        quotas: Mapping[str, int],
    ) -> None:
        from cloudkit_fake.presets import fill

        self.clock = clock
        self.faults = Faults()
        self.quotas: dict[str, int] = {**DEFAULT_QUOTAS, **quotas}
        self.volume_types: dict[str, str] = {"fake": "In memory.", "fake-too": "In memory too."}
        self.native_requests: dict[str, Mapping[str, Any]] = {}
        self.boot_seconds = boot_seconds
        self.task_seconds = task_seconds
        self.lock = threading.RLock()
        self._depth = 0
        self._guests: Guests | None = None
        self.consoles: dict[str, Terminal] = {}
        self._storage = storage
        self.blobs: Blobs = MemoryBlobs() if storage is None else storage.blobs
        self.state = State(new_id())
        if storage is None:
            fill(self.state, clock.now())
        else:
            self.state = storage.load(self.state, lambda state: fill(state, clock.now()))

    @property
    def guests(self) -> Guests:
        """The shells in the servers; made when they are first asked for."""
        from cloudkit_fake.guests import Guests

        with self.lock:
            if self._guests is None:
                self._guests = Guests(self)
            return self._guests

    def close(self) -> None:
        """End the guests' listeners."""
        with self.lock:
            guests, self._guests = self._guests, None
            consoles, self.consoles = self.consoles, {}
        for console in consoles.values():
            console.end()
        if guests is not None:
            guests.close()

    def end_guest(self, server_id: str, *, disk_too: bool = False) -> None:
        """Close the connections to a server that no longer runs, or no longer has its disk."""
        console = self.consoles.pop(server_id, None)
        if console is not None:
            console.end()
        if self._guests is not None:
            self._guests.end(server_id, disk_too=disk_too)

    # ---------------------------------------------------------------- one request at a time

    def __enter__(self) -> State:
        self.lock.acquire()
        self._depth += 1
        try:
            if self._depth == 1 and self._storage is not None:
                self.state = self._storage.begin(self.state)
            if self.state.queue:
                self.settle()
        except BaseException:
            self.__exit__()
            raise
        return self.state

    def __exit__(self, *_error: object) -> None:
        try:
            self._depth -= 1
            if self._depth == 0 and self._storage is not None:
                self._storage.end(self.state)
        finally:
            self.lock.release()

    def settle(self) -> None:
        """Let happen what is due."""
        state, now = self.state, self.clock.now()
        while (change := state.pop_due(now)) is not None:
            if change.fields is None:
                vanish(self, change.kind, change.id)
            elif (before := state.find(change.kind, change.id)) is not None:
                after = state.put(changed(before, change.fields))
                if change.kind is Kind.SERVER:
                    usage.note(state.secrets[change.id], before.status, after.status, change.due)
                if change.kind is Kind.VOLUME and "attachments" in change.fields:
                    for attachment in before.attachments:
                        refresh_server(state, attachment.server_id)

    def later(self, kind: Kind, id: str, seconds: float, **fields: Any) -> None:
        """Change attributes of a thing in ``seconds``."""
        self.state.schedule(kind, id, self.clock.now() + seconds, fields)

    def gone_later(self, kind: Kind, id: str, seconds: float) -> None:
        """Let a thing vanish in ``seconds``."""
        self.state.schedule(kind, id, self.clock.now() + seconds, None)

    def sleep(self, timeout_s: float) -> None:
        """Return when something happens, or after ``timeout_s``."""
        with self.lock:
            due = self.state.next_due()
        until = self.clock.now() + timeout_s
        self.clock.sleep(until if due is None else min(due, until))


def request(method: Callable[Concatenate[C, P], R]) -> Callable[Concatenate[C, P], R]:
    """Make a method one request: faults first, then alone with a state that is up to date."""
    name = method.__name__.removeprefix("_")

    @wraps(method)
    def wrapped(self: C, /, *args: P.args, **kwargs: P.kwargs) -> R:
        cloud = self._cloud  # pyright: ignore[reportPrivateUsage]
        operation = self.operations + name
        if cloud.faults.script:
            return _faulty(cloud, operation, self, method, args, kwargs)
        with cloud:
            cloud.faults.calls[operation] += 1
            result = method(self, *args, **kwargs)
        cloud.clock.wake()
        return result

    return wrapped


def _faulty(cloud: FakeCloud, operation: str, owner: Any, method: Callable[..., R], args: Any, kwargs: Any) -> R:
    behaviours = cloud.faults.met_by(operation, _facts(cloud, owner.kind, args))
    for behaviour in behaviours:
        match behaviour:
            case Delay(seconds):
                until = cloud.clock.now() + seconds
                while cloud.clock.now() < until:
                    cloud.clock.sleep(until)
            case Raise(error):
                # What is raised gets a traceback and a context, of one request only.
                raise copy.copy(error)
            case Disconnect():
                raise disconnected()
            case Fail() if owner.kind not in ERROR_STATUS:
                raise CloudError(f"{owner.kind.value} have no error status to go to", driver="fake")
            case _:
                pass
    with cloud:
        result = method(owner, *args, **kwargs)
        for behaviour in behaviours:
            _spoil(cloud, owner.kind, behaviour, result, args)
    cloud.clock.wake()
    if any(isinstance(behaviour, LoseAnswer) for behaviour in behaviours):
        raise unanswered()
    return result


def _spoil(cloud: FakeCloud, kind: Kind, behaviour: Behaviour, result: object, args: tuple[Any, ...]) -> None:
    """Let what a request has started go wrong."""
    if not isinstance(behaviour, Fail | Hang):
        return
    value = result
    if not isinstance(value, Resource):
        value = cloud.state.find(kind, args[0]) if isinstance(args[0], str) else None
    if value is None:
        return
    if isinstance(behaviour, Hang):
        cloud.state.cancel(value.id)
        return
    status = ERROR_STATUS[value.kind]
    fields: dict[str, Any] = {"status": status, "native_status": status.value}
    if "fault" in value.__dataclass_fields__:
        now = to_datetime(cloud.clock.now())
        fields["fault"] = ServerFault(message=behaviour.message, code=behaviour.code, created_at=now)
    if value.kind is Kind.SERVER:
        fields["task"] = None
    cloud.later(value.kind, value.id, cloud.task_seconds, **fields)


def _facts(cloud: FakeCloud, kind: Kind, args: tuple[Any, ...]) -> Mapping[str, Any]:
    """What a fault may ask about a request: the spec's attributes, or those of the thing that it is about."""
    first = args[0]
    if not isinstance(first, str):
        return _attributes(first)
    with cloud as state:
        value = state.find(kind, first)
    return {"id": first} if value is None else _attributes(value)


def _attributes(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", {name: getattr(value, name) for name in value.__dataclass_fields__})


def make_clock(name: str) -> Clock:
    """The clock of this name."""
    return RealClock() if name == "real" else VirtualClock()
