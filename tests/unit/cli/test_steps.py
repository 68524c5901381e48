from __future__ import annotations

from collections.abc import Callable

import pytest

from cloudkit.cli.steps import (
    Outcome,
    Player,
    Step,
    StepFailed,
    StepNotOffered,
    StepNotReached,
    StepPassed,
    StepStarted,
    step,
    steps_of,
)
from cloudkit.errors import CloudError


def failing(error: BaseException) -> Callable[[], str]:
    def run() -> str:
        raise error

    return run


def play(*steps: Step, offered: frozenset[str] = frozenset()) -> list[StepStarted | Outcome]:
    events: list[StepStarted | Outcome] = []
    Player(offered, events.append).play(steps)
    return events


def test_a_step_is_started_then_passed_with_its_detail() -> None:
    only = Step("bake", lambda: "brown")
    started, passed = play(only)
    assert started == StepStarted(only, 1)
    assert isinstance(passed, StepPassed)
    assert (passed.step, passed.detail) == (only, "brown")
    assert passed.seconds >= 0


def test_a_step_whose_capability_is_missing_is_not_run() -> None:
    only = Step("bake", failing(AssertionError("it was run")), needs=("oven", "flour"))
    assert play(only, offered=frozenset({"flour"})) == [StepNotOffered(only, ("oven",))]


def test_after_a_failure_the_others_are_not_reached() -> None:
    error = CloudError("burnt")
    first, second, third = Step("bake", failing(error)), Step("eat", lambda: ""), Step("sell", lambda: "", ("shop",))
    _, failed, *rest = play(first, second, third)
    assert isinstance(failed, StepFailed)
    assert failed.error is error
    assert rest == [StepNotReached(second), StepNotReached(third)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), TypeError("a defect")])
def test_what_is_no_cloud_error_is_told_and_raised(error: BaseException) -> None:
    events: list[StepStarted | Outcome] = []
    player = Player(frozenset(), events.append)
    with pytest.raises(type(error)):
        player.play([Step("bake", failing(error)), Step("eat", lambda: "")])
    assert [type(event) for event in events] == [StepStarted, StepFailed]
    assert [type(outcome) for outcome in player.outcomes] == [StepFailed]


def test_numbers_count_on_over_several_plays() -> None:
    events: list[StepStarted | Outcome] = []
    player = Player(frozenset(), events.append)
    player.play([Step("one", lambda: ""), Step("two", lambda: "", ("never",))])
    player.play([Step("three", lambda: "")])
    assert [event.number for event in events if isinstance(event, StepStarted)] == [1, 3]


def test_the_marked_methods_are_the_steps_in_their_order() -> None:
    class Bakery:
        @step("mix", needs=("flour",))
        def zeroth(self) -> str:
            return "mixed"

        def helper(self) -> str:
            return "no step"

        @step("bake")
        def first(self) -> str:
            return "baked"

    mix, bake = steps_of(Bakery())
    assert (mix.title, mix.needs, mix.run()) == ("mix", ("flour",), "mixed")
    assert (bake.title, bake.needs, bake.run()) == ("bake", (), "baked")
