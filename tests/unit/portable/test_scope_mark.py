from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkit import _scope_mark as scope_mark
from cloudkit._scope_mark import ScopeInfo, current_owner, new_scope, owner_is_dead, parse_scope

EXPIRY = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
TEXT = st.text(min_size=1, max_size=20).filter(lambda text: text < "\ud800" or text.isprintable())


@given(
    st.builds(
        ScopeInfo,
        name=TEXT,
        id=TEXT,
        owner=TEXT,
        expires_at=st.datetimes(datetime(1990, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)).map(
            lambda time: time.replace(microsecond=0)
        ),
    )
)
def test_a_mark_reads_back_as_what_was_written(info: ScopeInfo) -> None:
    assert parse_scope(info.text) == info


@given(st.text(max_size=60))
def test_what_is_no_mark_is_none_and_never_an_error(text: str) -> None:
    found = parse_scope(text)
    assert found is None or isinstance(found, ScopeInfo)


DATE = "20300102T030405Z"


@pytest.mark.parametrize(
    "text", ["", "ci", "ci/1/me", "ci/1/me/soon", f"ci/1/me/{DATE}/more", f"/1/me/{DATE}", f"ci//me/{DATE}"]
)
def test_damaged_marks(text: str) -> None:
    assert parse_scope(text) is None


def test_a_new_scope_is_this_process_and_expires_when_asked() -> None:
    info = new_scope("ci", 3600)
    assert info.name == "ci"
    assert info.owner == current_owner()
    assert timedelta(seconds=3590) < info.expires_at - datetime.now(UTC) <= timedelta(seconds=3600)
    assert info.id != new_scope("ci", 3600).id


def test_a_mark_fits_into_what_nova_takes() -> None:
    assert len(new_scope("n" * 64, 1).text) <= 255


def test_this_process_lives() -> None:
    assert not owner_is_dead(current_owner())


def test_a_process_that_has_ended_is_dead() -> None:
    code = "from cloudkit._scope_mark import current_owner; print(current_owner())"
    owner = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert owner_is_dead(owner)


def test_a_later_process_with_the_same_id_is_another_one() -> None:
    owner, _, start = current_owner().rpartition(":")
    assert owner_is_dead(f"{owner}:{int(start) - 1}")


def test_a_process_that_ended_and_was_not_waited_for_is_dead() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, current_owner().encode())
        os._exit(0)
    owner = os.read(reader, 1000).decode()
    os.close(reader)
    os.close(writer)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        assert owner_is_dead(owner)
    finally:
        os.waitpid(child, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda host, machine, pid, start: f"elsewhere:{machine}:{pid}:1",
        lambda host, machine, pid, start: f"{host}:other-boot:{pid}:1",
        lambda host, machine, pid, start: f"{host}:{machine}:{pid}:-",
        lambda host, machine, pid, start: f"{host}:{machine}:nobody:1",
        lambda host, machine, pid, start: f"{host}:{machine}",
        lambda host, machine, pid, start: "",
    ],
)
def test_what_cannot_be_told_from_here_counts_as_living(change: object) -> None:
    assert callable(change)
    assert not owner_is_dead(change(*current_owner().split(":")))


def test_without_proc_nobody_is_known_to_be_dead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scope_mark._machine.cache_clear()
    monkeypatch.setattr(scope_mark, "PROC", tmp_path)
    try:
        owner = current_owner()
        assert owner.endswith(":-")
        assert not owner_is_dead(owner)
        assert not owner_is_dead(owner[:-1] + "1")
    finally:
        scope_mark._machine.cache_clear()
