"""Two clients on one store, stopped and killed between any two of their steps, as hypothesis likes.

A client's verb runs in a thread of its own and halts before each call of the store until the machine lets it through,
so that each interleaving is found again by the same choices. The judge is what was promised to the callers: a change
that returned has happened once and stays; one that was killed has happened or has not; a claim has one owner.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cloudkit.errors import AlreadyExists, Busy, NotFound
from cloudkit_libvirt import records as records_module
from cloudkit_libvirt.blobs import BlobExists, BlobGone
from cloudkit_libvirt.bodies import NetworkBody, Phase
from cloudkit_libvirt.records import UNFINISHED_S, Records, View

IDS = tuple(str(uuid.UUID(int=number)) for number in (1, 2))
FOREIGN = ("disk.qcow2", "ck-x.disk", "ck1.network.no-uuid.1", f"ck1.network.{IDS[0]}.x", f"ck2.network.{IDS[0]}.1")
CLIENTS = ("one", "two")
OLD_S = UNFINISHED_S * 2


class Killed(BaseException):
    """The client is dead: it cleans up nothing."""


class Store:
    """Named bytes with an age. Taking a name and filling it are two steps, as in a pool."""

    def __init__(self) -> None:
        self.blobs: dict[str, tuple[bytes, float]] = dict.fromkeys(FOREIGN, (b"foreign", 0.0))
        self.now = 0.0

    def names(self) -> list[str]:
        return list(self.blobs)

    def create(self, name: str, data: bytes, quiet: bool = False) -> None:
        self.take(name, len(data))
        self.fill(name, data)

    def take(self, name: str, size: int) -> None:
        if name in self.blobs:
            raise BlobExists(name)
        self.blobs[name] = (bytes(size), self.now)

    def fill(self, name: str, data: bytes) -> None:
        if name not in self.blobs:
            raise BlobGone(name)
        self.blobs[name] = (data, self.now)

    def read(self, name: str) -> bytes:
        if name not in self.blobs:
            raise BlobGone(name)
        return self.blobs[name][0]

    def delete(self, name: str) -> bool:
        return self.blobs.pop(name, None) is not None

    def age_s(self, name: str) -> float:
        if name not in self.blobs:
            raise BlobGone(name)
        return self.now - self.blobs[name][1]


class Client:
    """One process: at most one verb at a time, which goes on when it is told to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._go = threading.Semaphore(0)
        self._halted = threading.Semaphore(0)
        self._torn: int | None = None
        self._killed = False
        self._thread: threading.Thread | None = None
        self._found_old: str | None = None
        self.filling = False
        self.outcome: Any = None
        self.records = Records(cast(Any, self))

    # -- the store, seen by the client

    def _step(self, call: Callable[[], Any]) -> Any:
        self._halted.release()
        self._go.acquire()
        if self._killed:
            raise Killed
        return call()

    def names(self) -> list[str]:
        return cast("list[str]", self._step(self._store.names))

    def create(self, name: str, data: bytes, quiet: bool = False) -> None:
        self._step(lambda: self._store.take(name, len(data)))
        self.filling = True
        try:
            self._step(lambda: self._store.fill(name, data))
        except Killed:
            if self._torn is not None and name in self._store.blobs:
                kept = data[: len(data) * self._torn // 100]
                self._store.fill(name, kept + bytes(len(data) - len(kept)))
            raise
        finally:
            self.filling = False

    def read(self, name: str) -> bytes:
        return cast(bytes, self._step(lambda: self._store.read(name)))

    def delete(self, name: str) -> bool:
        if name == self._found_old:
            # No store can look and remove in one; what is promised supposes that nobody gets in between.
            self._found_old = None
            return self._store.delete(name)
        return cast(bool, self._step(lambda: self._store.delete(name)))

    def age_s(self, name: str) -> float:
        age_s = cast(float, self._step(lambda: self._store.age_s(name)))
        self._found_old = name if age_s >= UNFINISHED_S else None
        return age_s

    # -- what the machine does with it

    @property
    def busy(self) -> bool:
        return self._thread is not None

    def start(self, verb: Callable[[Records], Any]) -> None:
        def run() -> None:
            try:
                self.outcome = verb(self.records)
            except (AlreadyExists, Busy, NotFound, Killed) as error:
                self.outcome = error
            self._halted.release()

        self.outcome = None
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        self._halted.acquire()

    def step(self) -> bool:
        """Let one call of the store through; whether the verb has ended by it."""
        assert self._thread is not None
        self._go.release()
        self._halted.acquire()
        return self._end_if_done()

    def kill(self, torn: int | None) -> None:
        assert self._thread is not None
        self._killed, self._torn = True, torn
        while not self._end_if_done():
            self._go.release()
            self._halted.acquire()
        self._killed = False
        # Another process comes in its place.
        self.records = Records(cast(Any, self))

    def _end_if_done(self) -> bool:
        if self.outcome is None:
            return False
        assert self._thread is not None
        self._thread.join()
        self._thread = None
        return True


def new_body() -> NetworkBody:
    return NetworkBody(
        phase=Phase.READY, project_id="p", name="n", created_at="2026-01-01T00:00:00+00:00", mtu=0, description="ü"
    )


def incremented(body: NetworkBody) -> NetworkBody:
    return replace(body, mtu=(body.mtu or 0) + 1)


class TwoClients(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.clients = {name: Client(self.store) for name in CLIENTS}
        self.running: dict[str, tuple[str, str]] = {}
        self.made: set[str] = set()
        self.whole: set[str] = set()
        self.views: dict[str, View] = {}
        self.removed: set[str] = set()
        self.haunted: set[str] = set()
        self.counted: Counter[str] = Counter()
        self.perhaps: Counter[str] = Counter()
        self.owners: dict[str, str] = {}

    # -- verbs

    def _start(self, client: str, verb: str, what: str, call: Callable[[Records], Any]) -> None:
        self.running[client] = (verb, what)
        self.clients[client].start(call)

    def _idle(self, client: str) -> bool:
        return not self.clients[client].busy

    @rule(client=st.sampled_from(CLIENTS), id=st.sampled_from(IDS))
    def create(self, client: str, id: str) -> None:
        # Ids are drawn at random, so that nobody makes one twice.
        if self._idle(client) and id not in self.made:
            self.made.add(id)
            self._start(client, "create", id, lambda records: records.create(id, new_body()))

    @rule(client=st.sampled_from(CLIENTS), id=st.sampled_from(IDS))
    def change(self, client: str, id: str) -> None:
        if self._idle(client):
            self._start(client, "change", id, lambda records: records.change(NetworkBody, id, incremented))

    @rule(client=st.sampled_from(CLIENTS))
    def look(self, client: str) -> None:
        """Take a view, for a remove that comes later."""
        if self._idle(client):
            self._start(client, "look", "", lambda records: records.view())

    @rule(client=st.sampled_from(CLIENTS), id=st.sampled_from(IDS), by_view=st.booleans())
    def remove(self, client: str, id: str, by_view: bool) -> None:
        view = self.views.pop(client, None) if by_view else None
        # A view is of a time at which the record was there.
        if self._idle(client) and id in self.whole and (view is None or view.generations(NetworkBody, id)):
            self.haunted -= {id} - self._changing()
            self._start(client, "remove", id, lambda records: records.remove(NetworkBody, id, view) or True)

    def _changing(self) -> set[str]:
        return {what for verb, what in self.running.values() if verb == "change"}

    @rule(client=st.sampled_from(CLIENTS), what=st.sampled_from(("address/1", "address/2")))
    def claim(self, client: str, what: str) -> None:
        if self._idle(client):
            self._start(client, "claim", what, lambda records: records.claim(what, client))

    @rule(client=st.sampled_from(CLIENTS), what=st.sampled_from(("address/1", "address/2")))
    def release(self, client: str, what: str) -> None:
        if self._idle(client):
            if self.owners.get(what) == client:
                del self.owners[what]
            self._start(client, "release", what, lambda records: records.release(what, client) or True)

    # -- time

    @precondition(lambda self: self.running)
    @rule(data=st.data(), steps=st.integers(1, 6))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        client = data.draw(st.sampled_from(sorted(self.running)))
        for _ in range(steps):
            if self.clients[client].step():
                self._ended(client)
                return

    @precondition(lambda self: self.running)
    @rule(data=st.data(), torn=st.none() | st.integers(0, 100))
    def kill(self, data: st.DataObject, torn: int | None) -> None:
        client = data.draw(st.sampled_from(sorted(self.running)))
        verb, what = self.running.pop(client)
        self.views.pop(client, None)
        self.clients[client].kill(torn)
        if verb == "change":
            self.perhaps[what] += 1
            self.haunted.add(what)
        if verb == "claim":
            # Whether the dead one had it is not known; nobody else can get it before it is released.
            self.owners.pop(what, None)

    @rule()
    def time_passes(self) -> None:
        self._pass_time()

    def _pass_time(self) -> None:
        # A writer that lives fills what it has taken in less time than makes a name old.
        if not any(client.filling for client in self.clients.values()):
            self.store.now += OLD_S

    def _ended(self, client: str) -> None:
        verb, what = self.running.pop(client)
        outcome = self.clients[client].outcome
        if verb == "change" and not isinstance(outcome, BaseException):
            self.counted[what] += 1
        if verb == "create":
            self.whole.add(what)
        if verb == "look":
            self.views[client] = outcome
        if verb == "remove":
            self.removed.add(what)
        if verb == "claim" and outcome is True:
            assert self.owners.get(what, client) == client
            self.owners[what] = client

    # -- promises

    @invariant()
    def foreign_things_are_untouched(self) -> None:
        assert {name: self.store.blobs.get(name) for name in FOREIGN} == dict.fromkeys(FOREIGN, (b"foreign", 0.0))

    @invariant()
    def no_change_is_lost_or_made_twice(self) -> None:
        reader = Records(cast(Any, self.store))
        in_flight = Counter(what for verb, what in self.running.values() if verb == "change")
        for record in reader.view().all(NetworkBody):
            count = record.body.mtu or 0
            most = self.counted[record.id] + self.perhaps[record.id] + in_flight[record.id]
            assert self.counted[record.id] <= count <= most

    @invariant()
    def what_is_removed_stays_away(self) -> None:
        # A change that goes on takes itself back at its end; one that was killed since the remove began cannot.
        view = Records(cast(Any, self.store)).view()
        for id in self.removed - self._changing() - self.haunted:
            assert view.find(NetworkBody, id) is None

    def teardown(self) -> None:
        for client in sorted(self.running, key=lambda client: not self.clients[client].filling):
            self._pass_time()
            while not self.clients[client].step():
                self._pass_time()
            self._ended(client)
        self.store.now += OLD_S
        last = Records(cast(Any, self.store))
        # Whoever cleans up sees what there is, and may change it before.
        for record in last.view().all(NetworkBody):
            assert last.change(NetworkBody, record.id, incremented).body.mtu == (record.body.mtu or 0) + 1
        for id in IDS:
            last.remove(NetworkBody, id)
        for what in ("address/1", "address/2"):
            for client in CLIENTS:
                last.release(what, client)
        assert sorted(self.store.names()) == sorted(FOREIGN)


@pytest.fixture(autouse=True)
def no_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_module.time, "sleep", lambda _seconds: None)


class TestTwoClients(TwoClients.TestCase):
    settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
