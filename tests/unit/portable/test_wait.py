from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from cloudkit._context import Context, Lifetime
from cloudkit._wait import LONGEST_PAUSE_S, TimeUp, pause_s, poll
from cloudkit.errors import Busy, Closed, InvalidState, Unavailable
from cloudkit.types import Kind


class Clock:
    """A driver that only has a clock, which moves when it is slept by."""

    name = "clock"
    signals_changes = False

    def __init__(self, start: float = 1000.0) -> None:
        self.time = start
        self.sleeps: list[float] = []
        self.kinds: set[Kind] = set()

    def now(self) -> float:
        return self.time

    def wait_change(self, kind: Kind, timeout_s: float) -> None:
        self.kinds.add(kind)
        self.sleeps.append(timeout_s)
        self.time += timeout_s

    def translate(self, error: Exception) -> Unavailable:
        return Unavailable(str(error))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def context(clock: Clock) -> Context:
    return Context(clock, Lifetime())  # type: ignore[arg-type]


def after(clock: Clock, seconds: float) -> Callable[[], str | None]:
    ready = clock.time + seconds
    return lambda: "ready" if clock.time >= ready - 1e-9 else None


def test_what_is_there_at_once_needs_no_sleep(clock: Clock, context: Context) -> None:
    assert poll(context, Kind.SERVER, 10, lambda: "ready") == "ready"
    assert clock.sleeps == []


def test_a_false_value_is_an_answer(context: Context) -> None:
    assert poll(context, Kind.SERVER, 10, lambda: False) is False


def test_the_pauses_are_short_first_then_steady_then_a_share(clock: Clock, context: Context) -> None:
    poll(context, Kind.VOLUME, 100, after(clock, 20))
    assert clock.sleeps[:5] == pytest.approx([0.1, 0.2, 0.4, 0.4, 0.4])
    assert clock.sleeps[-1] == pytest.approx(0.05 * (clock.time - 1000 - clock.sleeps[-1]))
    assert clock.kinds == {Kind.VOLUME}


def test_ready_after_five_seconds_takes_at_most_fifteen_looks_and_is_four_per_cent_late_on_average() -> None:
    late: list[float] = []
    for ready in range(450, 551):
        clock = Clock()
        looks: list[float] = []
        is_ready = after(clock, ready / 100)

        def look(clock: Clock = clock, looks: list[float] = looks, is_ready: Any = is_ready) -> str | None:
            looks.append(clock.time)
            return is_ready()  # type: ignore[no-any-return]

        poll(Context(clock, Lifetime()), Kind.SERVER, 60, look)  # type: ignore[arg-type]
        late.append((clock.time - 1000) / (ready / 100) - 1)
        assert len(looks) <= 16
    assert sum(late) / len(late) < 0.05


def test_a_driver_that_signals_changes_is_only_asked_now_and_then(clock: Clock, context: Context) -> None:
    clock.signals_changes = True
    with pytest.raises(TimeUp):
        poll(context, Kind.SERVER, 25, lambda: None)
    assert clock.sleeps == pytest.approx([10, 10, 5])


def test_a_pause_has_a_bound() -> None:
    assert pause_s(500, 100_000) == LONGEST_PAUSE_S
    assert pause_s(500, 100) == pytest.approx(5)


def test_time_is_up_at_the_deadline_and_not_before(clock: Clock, context: Context) -> None:
    with pytest.raises(TimeUp) as raised:
        poll(context, Kind.SERVER, 7.25, lambda: None)
    assert clock.time == pytest.approx(1007.25)
    assert raised.value.trouble is None


def test_there_is_a_last_look_at_the_deadline(clock: Clock, context: Context) -> None:
    assert poll(context, Kind.SERVER, 3, after(clock, 3)) == "ready"


def test_no_time_at_all_is_one_look(clock: Clock, context: Context) -> None:
    looks = count()
    with pytest.raises(TimeUp):
        poll(context, Kind.SERVER, 0, lambda: None if next(looks) >= 0 else "never")
    assert next(looks) == 1
    assert clock.sleeps == []


def test_an_error_that_is_worth_a_retry_only_delays(clock: Clock, context: Context) -> None:
    answers = iter([Busy("wait"), Unavailable("gone for a moment"), None])

    def look() -> str | None:
        answer = next(answers)
        if answer is not None:
            raise answer
        return "ready"

    assert poll(context, Kind.SERVER, 10, look) == "ready"
    assert len(clock.sleeps) == 2


def test_the_last_trouble_is_told_when_time_is_up(context: Context) -> None:
    def look() -> None:
        raise Unavailable("the service is down")

    with pytest.raises(TimeUp) as raised:
        poll(context, Kind.SERVER, 1, look)
    assert str(raised.value.trouble).startswith("the service is down")


def test_a_trouble_that_passed_is_not_told(context: Context) -> None:
    looks = count()

    def look() -> None:
        if next(looks) == 0:
            raise Unavailable("for a moment")

    with pytest.raises(TimeUp) as raised:
        poll(context, Kind.SERVER, 1, look)
    assert raised.value.trouble is None


def test_any_other_error_ends_the_wait(clock: Clock, context: Context) -> None:
    def look() -> None:
        raise InvalidState("no")

    with pytest.raises(InvalidState):
        poll(context, Kind.SERVER, 10, look)
    assert clock.sleeps == []


def test_what_the_driver_raises_while_sleeping_is_translated(clock: Clock, context: Context) -> None:
    def broken(_kind: Kind, _timeout_s: float) -> None:
        raise OSError("the event socket broke")

    clock.wait_change = broken  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="the event socket broke"):
        poll(context, Kind.SERVER, 10, lambda: None)


def test_closing_ends_a_wait(clock: Clock) -> None:
    lifetime = Lifetime()
    context = Context(
        SimpleNamespace(name="clock", signals_changes=False, now=clock.now, wait_change=lambda *_: lifetime.end()),
        lifetime,
    )  # type: ignore[arg-type]
    with pytest.raises(Closed):
        poll(context, Kind.SERVER, 10, lambda: None)


def test_the_deadline_is_measured_from_the_start_of_the_wait() -> None:
    clock = Clock(start=0.0)
    context = Context(clock, Lifetime())  # type: ignore[arg-type]
    clock.time = 5000.0
    with pytest.raises(TimeUp):
        poll(context, Kind.SERVER, 2, lambda: None)
    assert clock.time == pytest.approx(5002)


@pytest.mark.parametrize("timeout_s", [0.3, 1, 7.7, 299.9])
def test_a_clock_as_far_as_the_epochs_reaches_the_deadline(timeout_s: float) -> None:
    # There, 0.1 µs is less than the smallest step of the clock.
    clock = Clock(1_764_000_000.123)
    looks = count()

    def look() -> None:
        assert next(looks) < 1000

    with pytest.raises(TimeUp):
        poll(Context(clock, Lifetime()), Kind.SERVER, timeout_s, look)  # type: ignore[arg-type]
    assert clock.time == 1_764_000_000.123 + timeout_s
