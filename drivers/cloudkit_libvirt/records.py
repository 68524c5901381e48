"""The records: typed bodies in generations, changed by compare-and-swap, and claims of what must be unique.

A record of generation n is the blob ``ck1.<kind>.<uuid>.<n>``: one line with length and SHA-256, then JSON. To
change it is to create generation n+1, which fails where another client was faster, to fill it, and to delete n.
Readers take the highest generation whose checksum holds; a name's bytes never change, so bodies are cached by
name. A claim is the blob ``ck1.claim.<uuid>.1``, its uuid derived from what is claimed.

Two crashes leave something odd. Between taking a name and filling it: an empty blob, which readers pass over and
which anybody removes once it is older than a live writer can be; so are a claim and a generation beyond a valid one
that were written in part. Between filling n+1 and deleting n: both, until the record is removed.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from cloudkit._schema import SchemaError, from_data, to_data
from cloudkit.errors import AlreadyExists, Busy, InvalidRequest, NotFound
from cloudkit_libvirt.blobs import BlobExists, BlobGone, BlobStore
from cloudkit_libvirt.bodies import Body
from cloudkit_libvirt.errors import is_unreachable
from cloudkit_libvirt.patience import patiently
from cloudkit_libvirt.record_bytes import Damaged, Unfinished, decode, encode
from cloudkit_libvirt.undo import undoing

_log = logging.getLogger("cloudkit.libvirt")

B = TypeVar("B", bound=Body)

UNFINISHED_S = 10.0
"""Taking and filling a name takes milliseconds; after this time an empty blob's writer is taken for dead."""
CONTENTION_S = UNFINISHED_S + 5.0
"""How long ``change`` tries again when others change the same record, or one of them died in the middle of it."""

_NAME = re.compile(
    r"ck1\.(?P<kind>[a-z_]+)\.(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(?P<generation>[0-9]{1,9})"
)
_CLAIMS = uuid.UUID("6ad1ae1b-4c14-5f5b-9a8c-0d5e6a3f7f10")
_POLL_S = 0.05
_LOOKS = 100
"""No record is changed so often while it is read; a store that lists what it does not have must end it."""
_SETTLE_S = 0.2
"""To find a name abandoned and to remove it are two calls, milliseconds apart; a store has no call for both."""


@dataclass(frozen=True, slots=True)
class Record(Generic[B]):
    """One generation of a record."""

    id: str
    generation: int
    body: B


def _kind_of(body_type: type[Body]) -> str:
    return body_type.kind.name.lower()


def _blob_name(kind: str, id: str, generation: int) -> str:
    return f"ck1.{kind}.{id}.{generation}"


def first_blob_name(body_type: type[Body], id: str) -> str:
    """The blob of a record's first generation."""
    return _blob_name(_kind_of(body_type), id, 1)


class View:
    """The records as one listing of the store found them, or a later one where something had gone since."""

    def __init__(self, records: Records, names: list[str]) -> None:
        self._records = records
        self._generations = _generations(names)

    def all(self, body_type: type[B]) -> list[Record[B]]:
        """All records of a kind, oldest first."""
        found = [self.find(body_type, id) for id in self._generations.get(_kind_of(body_type), {})]
        return sorted(
            (record for record in found if record is not None), key=lambda record: (record.body.created_at, record.id)
        )

    def find(self, body_type: type[B], id: str) -> Record[B] | None:
        """One record, or None."""
        for _ in range(_LOOKS):
            try:
                for generation in sorted(self.generations(body_type, id), reverse=True):
                    record = self._records.load(body_type, id, generation)
                    if record is not None:
                        return record
            except BlobGone:
                # Changed since the look, so that there is another generation, or removed.
                self._generations = _generations(self._records.names())
            else:
                return None
        return None

    def get(self, body_type: type[B], id: str) -> Record[B]:
        """One record; raises NotFound."""
        record = self.find(body_type, id)
        if record is None:
            raise not_found(body_type, id)
        return record

    def generations(self, body_type: type[Body], id: str) -> list[int]:
        """The generations that there are of a record, in no order."""
        return self._generations.get(_kind_of(body_type), {}).get(id, [])


def not_found(body_type: type[Body], id: str) -> NotFound:
    """The error for a record that is not there."""
    return NotFound(f"there is no {body_type.kind.noun} {id!r}", driver="libvirt", resource=id)


def _generations(names: list[str]) -> dict[str, dict[str, list[int]]]:
    """Kind → id → generations."""
    found: dict[str, dict[str, list[int]]] = {}
    for name in names:
        if match := _NAME.fullmatch(name):
            found.setdefault(match["kind"], {}).setdefault(match["id"], []).append(int(match["generation"]))
    return found


class Records:
    """All records of a pool. Thread-safe, and safe against other processes and hosts on the same pool."""

    def __init__(self, store: BlobStore) -> None:
        """Keep records in ``store``."""
        self._store = store
        self._lock = threading.Lock()
        self._cache: dict[str, Record[Any]] = {}
        self._warned: set[str] = set()

    # -- reading

    def view(self) -> View:
        """What there is now, by one call."""
        return View(self, self.names())

    def names(self) -> list[str]:
        """All names in the store now; what is not among them is forgotten."""
        names = self._store.names()
        present = set(names)
        with self._lock:
            self._cache = {name: record for name, record in self._cache.items() if name in present}
            self._warned &= present
        return names

    def load(self, body_type: type[B], id: str, generation: int) -> Record[B] | None:
        """One generation, or None where it is empty or damaged; raises BlobGone."""
        kind = _kind_of(body_type)
        name = _blob_name(kind, id, generation)
        with self._lock:
            cached = self._cache.get(name)
        if cached is not None:
            return cast("Record[B]", cached)
        try:
            record = Record(id, generation, from_data(body_type, decode(self._store.read(name))))
        except Unfinished:
            self._remove_abandoned(name)
            return None
        except (Damaged, SchemaError) as error:
            with self._lock:
                known = name in self._warned
                self._warned.add(name)
            if not known:
                _log.warning("the record %s is passed over: %s", name, error)
            return None
        return self._known(name, record)

    def _known(self, name: str, record: Record[B]) -> Record[B]:
        """Remember what a blob holds, and need not read it again."""
        with self._lock:
            self._cache[name] = record
        return record

    # -- writing

    def create(self, id: str, body: B) -> Record[B]:
        """The first generation of a new record; where that fails, nothing of it stays."""
        name = _blob_name(_kind_of(type(body)), id, 1)
        try:
            # What nobody knows yet, nobody waits for.
            written = self._fill(name, body, quiet=True)
        except (AlreadyExists, InvalidRequest):
            raise
        except BaseException:
            # The name may have been taken, and the answer lost.
            with undoing(lambda: self._is_unwritten(name) and self._store.delete(name)):
                raise
        return self._known(name, Record(id, 1, written))

    def replace(self, record: Record[B], body: B, *, quiet: bool = False) -> Record[B]:
        """The next generation; raises Busy when another client wrote it, NotFound when the record is gone.

        Args:
            quiet: nobody waits for this change, see BlobStore.
        """
        kind, generation = _kind_of(type(body)), record.generation + 1
        name = _blob_name(kind, record.id, generation)
        try:
            written = self._fill(name, body, quiet)
        except AlreadyExists:
            if self._is_unwritten(name):
                self._remove_abandoned(name)
            raise self._busy(record.id, body) from None
        except BlobGone:
            # Who removes the record takes the next generation with it.
            written = None
        if written is None or not self._supersede(type(body), record, generation):
            # What this replaced is gone. If the whole record is, nothing of it may come back; else it was changed
            # more than once meanwhile, so that the name of the next generation was free again.
            self._store.delete(name)
            self.view().get(type(body), record.id)
            raise self._busy(record.id, body)
        return self._known(name, Record(record.id, generation, written))

    def _supersede(self, body_type: type[Body], record: Record[Any], generation: int) -> bool:
        """Delete what a written generation replaces; False where somebody else has done it."""
        name = _blob_name(_kind_of(body_type), record.id, record.generation)
        try:
            return self._store.delete(name)
        except Exception as error:
            if not is_unreachable(error):
                raise
        # Whether it was deleted is not known; the new generation is valid in either case.
        with patiently():
            self._store.delete(name)
            current = self.view().find(body_type, record.id)
        return current is not None and current.generation == generation

    def change(
        self,
        body_type: type[B],
        id: str,
        alter: Callable[[B], B],
        view: View | None = None,
        *,
        quiet: bool = False,
    ) -> Record[B]:
        """Replace the body by ``alter(body)``, again from the start where another client was faster.

        ``alter`` raises to refuse; a body that it returns unchanged is not written.

        Args:
            view: a look that was just taken, to begin with.
            quiet: nobody waits for this change, see BlobStore.
        """
        deadline = time.monotonic() + CONTENTION_S
        while True:
            record = (view or self.view()).get(body_type, id)
            body = alter(record.body)
            if body == record.body:
                return record
            try:
                return self.replace(record, body, quiet=quiet)
            except Busy:
                if time.monotonic() >= deadline:
                    raise
                view = None
                time.sleep(random.uniform(0.002, 0.02))  # noqa: S311

    def remove(self, body_type: type[Body], id: str, view: View | None = None) -> None:
        """All generations, the highest last, so that no older one comes to light; gone ones are passed over.

        Args:
            view: a look that was taken before, to begin with. Who changes the record since then is found out: the
                generation that they replaced is gone, or the next one is there.
        """
        generations = sorted((view or self.view()).generations(body_type, id))
        while generations:
            found = [self._delete(body_type, id, generation) for generation in (*generations, generations[-1] + 1)]
            if found[-2:] == [True, False]:
                return
            generations = sorted(self.view().generations(body_type, id))

    def _delete(self, body_type: type[Body], id: str, generation: int) -> bool:
        return self._store.delete(_blob_name(_kind_of(body_type), id, generation))

    # -- claims

    def claim(self, what: str, owner: str) -> bool:
        """Take something that only one may have; False when it is another's. Claiming twice is harmless."""
        name = self._claim_name(what)
        was_abandoned = False
        for _ in range(2):
            try:
                self._store.create(name, encode({"what": what, "owner": owner}), quiet=True)
            except BlobExists:
                held_by = self._claim_owner(name)
                if held_by is not None:
                    return held_by == owner
                if self._is_unwritten(name):
                    if not self._remove_abandoned(name):
                        return False
                    was_abandoned = True
            else:
                if not was_abandoned:
                    return True
                # Who found it abandoned too, and is slower, removes what is there now.
                time.sleep(_SETTLE_S)
                return self._claim_owner(name) == owner
        return False

    def release(self, what: str, owner: str) -> None:
        """Give back what ``owner`` may have claimed; another's claim stays.

        A claim that is not written yet is ``owner``'s, who died, or another's, who writes it now: that is waited for.
        """
        name = self._claim_name(what)
        deadline = time.monotonic() + UNFINISHED_S
        while True:
            try:
                if self._read_owner(name) == owner:
                    self._store.delete(name)
                return
            except BlobGone:
                return
            except (Unfinished, Damaged):
                if self._remove_abandoned(name):
                    return
            if time.monotonic() > deadline:
                self._store.delete(name)
                return
            time.sleep(_POLL_S)

    def holds(self, what: str, owner: str) -> bool:
        """Whether something is claimed by ``owner``."""
        return self._claim_owner(self._claim_name(what)) == owner

    def _claim_name(self, what: str) -> str:
        return _blob_name("claim", str(uuid.uuid5(_CLAIMS, what)), 1)

    def _claim_owner(self, name: str) -> str | None:
        try:
            return self._read_owner(name)
        except (BlobGone, Unfinished, Damaged):
            return None

    def _read_owner(self, name: str) -> str | None:
        data = decode(self._store.read(name))
        return str(cast("dict[str, Any]", data).get("owner")) if isinstance(data, dict) else None

    # -- blobs

    @staticmethod
    def _busy(id: str, body: Body) -> Busy:
        return Busy(f"another client is changing the {body.kind.noun} {body.name!r}", driver="libvirt", resource=id)

    def _fill(self, name: str, body: B, quiet: bool) -> B:
        """Write a blob; returns what will be read of it."""
        data = to_data(body)
        try:
            read = from_data(type(body), data)
        except SchemaError as error:
            raise InvalidRequest(f"this cannot be recorded: {error}", driver="libvirt") from None
        try:
            self._store.create(name, encode(data), quiet)
        except BlobExists:
            raise AlreadyExists(f"the record {name} exists", driver="libvirt") from None
        return read

    def _is_unwritten(self, name: str) -> bool:
        """Whether the writer has not ended, or was stopped in the middle: then there is nothing, or a part."""
        try:
            decode(self._store.read(name))
        except (Unfinished, Damaged):
            return True
        except BlobGone:
            pass
        return False

    def _remove_abandoned(self, name: str) -> bool:
        try:
            if self._store.age_s(name) < UNFINISHED_S:
                return False
        except BlobGone:
            return True
        _log.info("removing %s, which its writer never completed", name)
        self._store.delete(name)
        return True
