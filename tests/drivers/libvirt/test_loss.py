"""What becomes of a verb in the middle of which libvirt goes away."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import libvirt
import pytest

from cloudkit.driver import EVERYTHING
from cloudkit.errors import Conflict, HostKeyChanged, InvalidState, NotFound, Unavailable
from cloudkit.types import Attachment, Kind, VolumeStatus
from cloudkit_libvirt import connection as connection_module
from cloudkit_libvirt import opening
from cloudkit_libvirt.bodies import NetworkBody
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.connection import Connection
from cloudkit_libvirt.loss import READS, VERBS
from cloudkit_libvirt.patience import is_patient, patiently
from cloudkit_libvirt.undo import undoing


class Lost(libvirt.libvirtError):
    """libvirt's error for a daemon that ended."""

    def __init__(self) -> None:
        Exception.__init__(self, "client socket is closed")

    def get_error_code(self) -> int:
        return libvirt.VIR_ERR_RPC

    def get_error_domain(self) -> int:
        return libvirt.VIR_FROM_RPC

    def get_error_message(self) -> str:
        return "client socket is closed"


class Refused(Lost):
    """Another error of libvirt's."""

    def get_error_code(self) -> int:
        return libvirt.VIR_ERR_OPERATION_INVALID

    def get_error_domain(self) -> int:
        return libvirt.VIR_FROM_QEMU


class Scripted(RecordCollection[NetworkBody, Any]):
    """A collection whose verbs do what the script says, one entry a call."""

    def __init__(self, *script: Any, alive: bool = True) -> None:
        super().__init__(SimpleNamespace(connection=SimpleNamespace(is_alive=alive)), "p")  # type: ignore[arg-type]
        self.script = list(script)
        self.patient: list[bool] = []
        self.undone = 0
        self.undo: Callable[[], None] = lambda: None

    def _next(self) -> Any:
        self.patient.append(is_patient())
        outcome = self.script.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def list(self, query: Any) -> Iterator[Any]:
        yield self._next()
        yield self._next()

    def get(self, id: str) -> Any:
        return self._next()

    def create(self, spec: Any, data: Any = None) -> Any:
        with undoing(self._undo):
            return self._next()

    def _undo(self) -> None:
        self.undone += 1
        self.undo()

    def delete(self, id: str) -> None:
        self._next()

    def stop(self, id: str, hard: bool) -> None:
        self._next()

    def attach(self, id: str, server_id: str) -> Any:
        return self._next()

    def helper(self) -> Any:
        return self._next()


def volume(status: VolumeStatus, server_id: str = "s") -> Any:
    attachment = Attachment(id="v", volume_id="v", server_id=server_id, device_hint="", serial="", attached_at=None)
    return SimpleNamespace(status=status, attachments=(attachment,))


def test_a_read_is_repeated_once_and_waits_for_nobody() -> None:
    things = Scripted(Lost(), "value")
    assert things.get("x") == "value"
    assert things.patient == [False, False]
    with pytest.raises(Lost):
        Scripted(Lost(), Lost(), "value").get("x")


def test_a_listing_that_breaks_off_is_made_anew_and_shows_nothing_twice() -> None:
    assert list(Scripted("a", Lost(), "a", "b").list(EVERYTHING)) == ["a", "b"]


def test_a_create_that_was_taken_back_is_made_anew() -> None:
    things = Scripted(Lost(), "value")
    assert things.create("spec") == "value"
    assert (things.undone, things.patient) == (1, [True, True])
    assert not is_patient()


def test_a_create_that_could_not_be_taken_back_is_not_made_twice() -> None:
    things = Scripted(Lost(), "value")

    def fail() -> None:
        raise Lost

    things.undo = fail
    with pytest.raises(Unavailable, match="libvirt does not answer") as raised:
        things.create("spec")
    assert (things.undone, things.script) == (2, ["value"])
    assert isinstance(raised.value.__cause__, Lost)


def test_what_was_read_of_a_stream_is_not_read_again() -> None:
    things = Scripted(Lost(), "value")
    with pytest.raises(Unavailable):
        things.create("spec", io.BytesIO(b"image"))
    assert (things.undone, things.script) == (1, ["value"])


def test_a_verb_that_began_without_libvirt_fails_at_once() -> None:
    things = Scripted(Lost(), None, alive=False)
    with pytest.raises(Unavailable):
        things.delete("x")
    assert (things.patient, things.script) == ([False], [None])


def test_a_delete_that_finds_nothing_the_second_time_was_done() -> None:
    Scripted(Lost(), NotFound("gone")).delete("x")
    with pytest.raises(NotFound):
        Scripted(NotFound("gone")).delete("x")


def test_a_verb_that_is_refused_the_second_time_was_done() -> None:
    Scripted(Lost(), InvalidState("it is off")).stop("x", True)
    # The guest went off between the look and the call.
    Scripted(Lost(), Refused()).stop("x", True)
    with pytest.raises(InvalidState):
        Scripted(InvalidState("it is off")).stop("x", True)
    with pytest.raises(Conflict):
        Scripted(Lost(), Conflict("taken")).stop("x", True)


def test_an_attach_that_is_refused_the_second_time_is_looked_at() -> None:
    refusal = InvalidState("it is not available")
    attached = volume(VolumeStatus.IN_USE)
    assert Scripted(Lost(), refusal, attached).attach("v", "s") is attached.attachments[0]
    for found in (volume(VolumeStatus.DETACHING), volume(VolumeStatus.IN_USE, "another")):
        with pytest.raises(Unavailable):
            Scripted(Lost(), refusal, found).attach("v", "s")


def test_another_error_of_a_daemon_that_lives_is_not_repeated() -> None:
    things = Scripted(Refused(), "value")
    with pytest.raises(Refused):
        things.get("x")
    assert things.script == ["value"]


def test_only_verbs_of_the_contract_are_seen_through() -> None:
    assert {"list", "get", "create", "delete", "attach", "stop", "pause"} <= VERBS
    assert READS - {"samples"} <= VERBS | {"download"}
    with pytest.raises(Lost):
        Scripted(Lost(), "value").helper()


def test_an_undo_is_repeated_where_libvirt_went_away_during_it() -> None:
    calls: list[bool] = []

    def undo() -> None:
        calls.append(is_patient())
        if len(calls) == 1:
            raise Lost

    with pytest.raises(KeyError), undoing(undo):
        raise KeyError
    assert calls == [True, True]


# -- the connection


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    connection = Connection("test:///default", "cloudkit-loss", "/tmp/cloudkit-loss")
    yield connection
    connection.close()


def test_a_thread_in_the_middle_of_a_change_waits_for_libvirt_and_no_other(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    open_ = libvirt.open

    def flaky(uri: str) -> Any:
        opened.append(1)
        if len(opened) in (2, 3, 4, 5):
            raise Lost
        return open_(uri)

    monkeypatch.setattr(libvirt, "open", flaky)
    monkeypatch.setattr(connection_module, "_RETRY_S", 0.0)
    first = connection.virt
    assert connection.is_alive
    connection._session.close()  # type: ignore[union-attr]
    assert not connection.is_alive
    with pytest.raises(Lost):
        _ = connection.virt
    with patiently():
        assert connection.virt is not first
    assert len(opened) == 6
    assert connection.is_alive


def test_patience_ends(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    _ = connection.virt

    def never(_uri: str) -> Any:
        raise Lost

    monkeypatch.setattr(libvirt, "open", never)
    monkeypatch.setattr(connection_module, "PATIENCE_S", 0.0)
    connection._session.close()  # type: ignore[union-attr]
    with patiently(), pytest.raises(Lost):
        _ = connection.virt


def test_a_wait_looks_again_soon_while_libvirt_is_away_and_at_once_when_it_is_back(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(connection.changes, "wait", lambda _kind, timeout_s: waited.append(timeout_s))
    _ = connection.virt
    connection.wait_change(Kind.SERVER, 60)
    connection._session.close()  # type: ignore[union-attr]
    connection.wait_change(Kind.SERVER, 60)
    assert waited == [60, connection_module._RETRY_S]
    before = connection.changes._counts[Kind.SERVER]
    _ = connection.virt
    assert connection.changes._counts[Kind.SERVER] > before
    # Of a guest that was lost while libvirt was away no event is sent.
    connection.wait_change(Kind.SERVER, 60)
    assert waited[2:] == [connection_module._TAKING_OVER_LOOK_S]
    monkeypatch.setattr(connection_module, "_TAKING_OVER_S", 0.0)
    connection.wait_change(Kind.SERVER, 60)
    assert waited[3:] == [60]


def test_a_daemon_that_accepts_and_says_nothing_is_told_and_taken_when_it_speaks(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:

    speaks = threading.Event()
    open_ = libvirt.open
    attempts: list[str] = []

    def slow(uri: str) -> Any:
        attempts.append(uri)
        speaks.wait(30)
        return open_(uri)

    monkeypatch.setattr(libvirt, "open", slow)
    monkeypatch.setattr(opening, "OPEN_TIMEOUT_S", 0.05)
    for _ in range(2):
        with pytest.raises(Unavailable, match="does not answer"):
            _ = connection.virt
    speaks.set()
    monkeypatch.setattr(opening, "OPEN_TIMEOUT_S", 30.0)
    assert connection.virt.isAlive()
    # The attempt that hung was not made a second time.
    assert len(attempts) == 1


class Ended(libvirt.libvirtError):
    """libvirt's error where ssh has ended; the text is all that tells why."""

    def __init__(self, text: str) -> None:
        Exception.__init__(self, text)


@pytest.mark.parametrize(
    "text", ["Cannot write data: Broken pipe", "Cannot recv data: Value too large for defined data type"]
)
def test_what_ssh_said_of_its_end_is_told_where_libvirt_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    def ending(_uri: str) -> Any:
        raise Ended(text)

    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\necho 'WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!' >&2\nexit 255\n")
    ssh.chmod(0o700)
    monkeypatch.setattr(libvirt, "open", ending)
    with pytest.raises(HostKeyChanged, match="another host key"):
        opening.opened(f"qemu+ssh://host/system?command={ssh}")
    ssh.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(Ended):
        opening.opened(f"qemu+ssh://host/system?command={ssh}")
    with pytest.raises(Ended):
        opening.opened("qemu:///system")
