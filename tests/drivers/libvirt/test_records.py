from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest

from cloudkit._schema import to_data
from cloudkit.errors import Busy, InvalidRequest, NotFound
from cloudkit.types import FrozenMap
from cloudkit_libvirt import records as records_module
from cloudkit_libvirt.blobs import BlobGone, MemoryBlobs
from cloudkit_libvirt.bodies import NetworkBody, Phase
from cloudkit_libvirt.record_bytes import encode
from cloudkit_libvirt.records import Records

ID = "11111111-2222-4333-8444-555555555555"


def body(name: str = "n", mtu: int | None = None) -> NetworkBody:
    return NetworkBody(
        phase=Phase.READY, project_id="p", name=name, created_at="2026-01-01T00:00:00+00:00", mtu=mtu, tags=("a", "ü")
    )


class AgedBlobs(MemoryBlobs):
    """Blobs of the age that the test says."""

    age = 0.0
    reads = looks = 0

    def age_s(self, name: str) -> float:
        return self.age

    def names(self) -> list[str]:
        self.looks += 1
        return super().names()

    def read(self, name: str) -> bytes:
        self.reads += 1
        return super().read(name)


@pytest.fixture
def store() -> AgedBlobs:
    return AgedBlobs()


@pytest.fixture
def records(store: AgedBlobs) -> Records:
    return Records(store)


def network_name(generation: int, id: str = ID) -> str:
    return f"ck1.network.{id}.{generation}"


def test_a_record_comes_back_as_it_was_written(records: Records, store: AgedBlobs) -> None:
    records.create(ID, body())
    assert store.names() == [network_name(1)]
    assert Records(store).view().get(NetworkBody, ID).body == body()


def test_what_is_changed_after_the_look_is_found(store: AgedBlobs) -> None:
    Records(store).create(ID, body())
    view = Records(store).view()
    Records(store).change(NetworkBody, ID, lambda old: replace(old, mtu=1400))
    assert view.get(NetworkBody, ID).body.mtu == 1400
    Records(store).change(NetworkBody, ID, lambda old: replace(old, mtu=1300))
    assert [record.body.mtu for record in view.all(NetworkBody)] in ([1300], [1400])


def test_what_is_removed_after_the_look_is_gone(store: AgedBlobs) -> None:
    ids = [str(uuid.uuid4()) for _ in range(5)]
    for id in ids:
        Records(store).create(id, body())
    view = Records(store).view()
    for id in ids[1:]:
        Records(store).remove(NetworkBody, id)
    store.looks = 0
    assert [record.id for record in view.all(NetworkBody)] == ids[:1]
    assert view.find(NetworkBody, ids[1]) is None
    # Once for all that is gone.
    assert store.looks == 1


def test_a_change_leaves_one_generation(records: Records, store: AgedBlobs) -> None:
    records.create(ID, body())
    changed = records.change(NetworkBody, ID, lambda old: replace(old, mtu=1400))
    assert (changed.generation, changed.body.mtu) == (2, 1400)
    assert store.names() == [network_name(2)]


def test_an_unchanged_body_is_not_written(records: Records, store: AgedBlobs) -> None:
    records.create(ID, body())
    records.change(NetworkBody, ID, lambda old: old)
    assert store.names() == [network_name(1)]


def test_only_one_of_two_writers_gets_the_generation(records: Records) -> None:
    record = records.create(ID, body())
    records.replace(record, body(mtu=1))
    with pytest.raises(Busy):
        records.replace(record, body(mtu=2))
    assert records.view().get(NetworkBody, ID).body.mtu == 1


def test_no_change_is_lost_between_many_threads(store: AgedBlobs) -> None:
    Records(store).create(ID, body(mtu=0))

    def count() -> None:
        own = Records(store)
        for _ in range(10):
            own.change(NetworkBody, ID, lambda old: replace(old, mtu=(old.mtu or 0) + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Records(store).view().get(NetworkBody, ID).body.mtu == 40
    assert len(store.names()) == 1


def test_a_writer_that_was_overtaken_twice_tries_again(records: Records, store: AgedBlobs) -> None:
    stale = records.create(ID, body(mtu=0))
    # The name of the next generation was used, and is free again.
    records.replace(records.replace(stale, body(mtu=1)), body(mtu=2))
    with pytest.raises(Busy):
        records.replace(stale, body(mtu=9))
    assert store.names() == [network_name(3)]


def test_what_another_removed_does_not_come_back(records: Records, store: AgedBlobs) -> None:
    stale = records.create(ID, body())
    current = records.replace(stale, body(mtu=1))
    records.remove(NetworkBody, ID)
    for record in (stale, current):
        with pytest.raises(NotFound):
            records.replace(record, body(mtu=2))
    assert store.names() == []


def test_remove_takes_the_highest_generation_last(records: Records, store: AgedBlobs) -> None:
    for generation in (2, 10, 9):
        store.create(network_name(generation), encode(to_data(body(mtu=generation))))
    seen: list[int] = []
    delete = store.delete

    def watched(name: str) -> bool:
        found = records.view().find(NetworkBody, ID)
        seen.append(found.body.mtu or 0 if found else 0)
        return delete(name)

    store.delete = watched  # type: ignore[method-assign]
    records.remove(NetworkBody, ID)
    # At last, whether somebody has written the next one meanwhile.
    assert seen == [10, 10, 10, 0]
    assert store.names() == []


@pytest.mark.parametrize("changes", [0, 1, 2])
def test_remove_by_an_old_look_takes_what_was_written_since(records: Records, store: AgedBlobs, changes: int) -> None:
    records.create(ID, body())
    old = records.view()
    for number in range(changes):
        records.change(NetworkBody, ID, lambda before: replace(before, mtu=number))  # noqa: B023
    records.remove(NetworkBody, ID, old)
    assert store.names() == []


def test_remove_by_an_old_look_takes_what_a_dead_client_wrote_since(records: Records, store: AgedBlobs) -> None:
    records.create(ID, body())
    old = records.view()
    store.create(network_name(2), encode(to_data(body(mtu=2))))
    records.remove(NetworkBody, ID, old)
    assert store.names() == []


def test_a_change_of_what_is_removed_while_it_is_written_says_that_it_is_gone(
    records: Records, store: AgedBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = records.create(ID, body())
    create = store.create

    def overtaken(name: str, data: bytes, quiet: bool = False) -> None:
        create(name, data, quiet)
        Records(store).remove(NetworkBody, ID)
        raise BlobGone(name)

    monkeypatch.setattr(store, "create", overtaken)
    with pytest.raises(NotFound):
        records.replace(record, body(mtu=2))
    assert store.names() == []


def test_what_was_written_here_is_not_read_again(records: Records, store: AgedBlobs) -> None:
    records.replace(records.create(ID, body()), body(mtu=2))
    assert records.view().get(NetworkBody, ID).body.mtu == 2
    assert store.reads == 0


def test_a_crash_after_the_new_generation_leaves_the_new_one_valid(records: Records, store: AgedBlobs) -> None:
    store.create(network_name(1), encode(to_data(body(mtu=1))))
    store.create(network_name(2), encode(to_data(body(mtu=2))))
    assert records.view().get(NetworkBody, ID).body.mtu == 2
    records.remove(NetworkBody, ID)
    assert store.names() == []


def test_a_generation_that_was_written_in_part_is_replaced_once_its_writer_is_dead(
    records: Records, store: AgedBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.create(ID, body(mtu=1))
    store.create(network_name(2), _broken("torn"))
    monkeypatch.setattr(records_module, "CONTENTION_S", 0.0)
    with pytest.raises(Busy):
        records.change(NetworkBody, ID, lambda old: replace(old, mtu=2))
    assert network_name(2) in store.names()
    store.age = records_module.UNFINISHED_S
    monkeypatch.setattr(records_module, "CONTENTION_S", 60.0)
    assert records.change(NetworkBody, ID, lambda old: replace(old, mtu=2)).body.mtu == 2
    assert store.names() == [network_name(2)]


def test_a_claim_that_was_written_in_part_is_free_once_its_writer_is_dead(records: Records, store: AgedBlobs) -> None:
    records.claim("address/1", "a")
    (name,) = store.names()
    store._blobs[name] = (_broken("torn"), 0.0)
    assert not records.claim("address/1", "b")
    store.age = records_module.UNFINISHED_S
    assert records.claim("address/1", "b")
    assert records.holds("address/1", "b")


def test_bodies_are_read_once(records: Records, store: AgedBlobs) -> None:
    other = Records(store)
    records.create(ID, body())
    for _ in range(3):
        assert len(other.view().all(NetworkBody)) == 1
    assert store.reads == 1


def _broken(kind: str) -> bytes:
    good = encode(to_data(body()))
    payload = dict(to_data(body()))
    return {
        "torn": good[: len(good) // 2] + bytes(len(good) - len(good) // 2),
        "flipped": good[:-3] + b"X" + good[-2:],
        "text": b"hello",
        "no json": encode("x")[:-1] + b"\xff",
        "not an object": encode([1]),
        "unknown field": encode({**payload, "surprise": 1}),
        "missing field": encode({key: value for key, value in payload.items() if key != "name"}),
        "wrong type": encode({**payload, "mtu": "1400"}),
        "bool for int": encode({**payload, "mtu": True}),
        "unknown phase": encode({**payload, "phase": "dancing"}),
        "bad time": encode({**payload, "created_at": "yesterday"}),
        "naive time": encode({**payload, "created_at": "2026-01-01T00:00:00"}),
        "nested deep": b"cloudkit" + b"[" * 100_000,
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["torn", "flipped", "text", "no json", "not an object", "unknown field", "missing field", "wrong type",
     "bool for int", "unknown phase", "bad time", "naive time", "nested deep"],
)  # fmt: skip
def test_a_damaged_record_is_passed_over_with_one_warning(
    kind: str, records: Records, store: AgedBlobs, caplog: pytest.LogCaptureFixture
) -> None:
    other = str(uuid.uuid4())
    records.create(other, body("good"))
    store.create(network_name(1), _broken(kind))
    with caplog.at_level(logging.WARNING, "cloudkit.libvirt"):
        for _ in range(2):
            assert [record.id for record in records.view().all(NetworkBody)] == [other]
    assert [record.getMessage() for record in caplog.records if ID in record.getMessage()] != []
    assert len(caplog.records) == 1
    assert network_name(1) in store.names()


def test_a_damaged_generation_uncovers_the_one_below(records: Records, store: AgedBlobs) -> None:
    records.create(ID, body(mtu=1))
    store.create(network_name(2), b"junk")
    assert records.view().get(NetworkBody, ID).body.mtu == 1


@pytest.mark.parametrize("name", ["ck1.network.nope.1", f"ck1.network.{ID}", "ck1.unheard.x.1", "foreign", f"x{ID}"])
def test_foreign_names_are_no_records(name: str, records: Records, store: AgedBlobs) -> None:
    store.create(name, encode(to_data(body())))
    assert records.view().all(NetworkBody) == []


class TestAbandoned:
    """Another client died between taking a name and filling it."""

    def test_a_young_empty_record_is_left_alone(self, records: Records, store: AgedBlobs) -> None:
        store.create(network_name(1), bytes(100))
        assert records.view().all(NetworkBody) == []
        assert store.names() == [network_name(1)]

    def test_an_old_empty_record_is_removed(self, records: Records, store: AgedBlobs) -> None:
        store.create(network_name(1), bytes(100))
        store.age = records_module.UNFINISHED_S + 1
        assert records.view().all(NetworkBody) == []
        assert store.names() == []

    def test_an_old_empty_generation_does_not_block_changes(self, records: Records, store: AgedBlobs) -> None:
        records.create(ID, body())
        store.create(network_name(2), bytes(100))
        store.age = records_module.UNFINISHED_S + 1
        assert records.change(NetworkBody, ID, lambda old: replace(old, mtu=7)).body.mtu == 7

    def test_a_young_one_does(self, records: Records, store: AgedBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(records_module, "CONTENTION_S", 0.0)
        records.create(ID, body())
        store.create(network_name(2), bytes(100))
        with pytest.raises(Busy):
            records.change(NetworkBody, ID, lambda old: replace(old, mtu=7))

    def test_an_old_empty_claim_is_free(self, records: Records, store: AgedBlobs) -> None:
        assert records.claim("x", "a")
        (name,) = store.names()
        store.delete(name)
        store.create(name, bytes(10))
        assert not records.claim("x", "b")
        store.age = records_module.UNFINISHED_S + 1
        assert records.claim("x", "b")

    def test_an_old_empty_claim_goes_with_its_release(self, records: Records, store: AgedBlobs) -> None:
        records.claim("x", "a")
        (name,) = store.names()
        store.delete(name)
        store.create(name, bytes(10))
        store.age = records_module.UNFINISHED_S + 1
        records.release("x", "a")
        assert store.names() == []

    def test_a_young_empty_claim_is_waited_for(
        self, records: Records, store: AgedBlobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        records.claim("x", "b")
        (name,) = store.names()
        filled = store.read(name)
        store.delete(name)
        store.create(name, bytes(10))

        def fill(_seconds: float) -> None:
            store.delete(name)
            store.create(name, filled)

        monkeypatch.setattr(records_module.time, "sleep", fill)
        records.release("x", "a")
        assert records.holds("x", "b")

    def test_an_empty_claim_of_a_host_whose_clock_is_ahead_is_not_waited_for_without_end(
        self, records: Records, store: AgedBlobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(records_module, "UNFINISHED_S", 0.1)
        records.claim("x", "a")
        (name,) = store.names()
        store.delete(name)
        store.create(name, bytes(10))
        store.age = -3600
        records.release("x", "a")
        assert store.names() == []


class TestClaims:
    def test_only_one_owner(self, records: Records) -> None:
        assert records.claim("address/1", "a")
        assert not records.claim("address/1", "b")
        assert records.claim("address/2", "b")

    def test_claiming_twice_is_harmless(self, records: Records) -> None:
        assert records.claim("x", "a")
        assert records.claim("x", "a")

    def test_release_is_the_owners(self, records: Records, store: AgedBlobs) -> None:
        records.claim("x", "a")
        records.release("x", "b")
        assert not records.claim("x", "b")
        records.release("x", "a")
        records.release("x", "a")
        assert records.claim("x", "b")
        records.release("x", "b")
        assert store.names() == []

    def test_many_threads_one_winner(self, store: AgedBlobs) -> None:
        won: list[str] = []
        barrier = threading.Barrier(8)

        def take(owner: str) -> None:
            own = Records(store)
            barrier.wait()
            if own.claim("x", owner):
                won.append(owner)

        threads = [threading.Thread(target=take, args=(str(number),)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1


def test_what_could_not_be_read_back_is_not_written(records: Records, store: AgedBlobs) -> None:
    from cloudkit_libvirt.bodies import VolumeBody

    bad = VolumeBody(
        phase=Phase.READY, project_id="p", name="v", created_at="2026-01-01T00:00:00+00:00", size_gib=1,
        metadata=FrozenMap({"a": 1}),
    )  # fmt: skip
    with pytest.raises(InvalidRequest, match="metadata"):
        records.create(ID, bad)
    assert store.names() == []


def test_encode_states_length_and_checksum() -> None:
    header, payload = encode({"a": 1}).split(b"\n")
    assert header.startswith(b"cloudkit %d " % len(payload))
    assert json.loads(payload) == {"a": 1}


def test_remove_of_nothing_is_harmless(records: Records) -> None:
    removed: Callable[[], None] = lambda: records.remove(NetworkBody, ID)  # noqa: E731
    removed()
    assert records.view().find(NetworkBody, ID) is None
