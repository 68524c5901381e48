"""How the demo shows its steps: as a live list on a terminal that rich can draw on, else line by line."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import assert_never

from cloudkit.cli.steps import (
    Observer,
    Outcome,
    StepFailed,
    StepNotOffered,
    StepNotReached,
    StepPassed,
    StepStarted,
)

_TITLE_WIDTH = 31


def describe(outcome: Outcome) -> tuple[str, str, str]:
    """An outcome as (word, duration, detail)."""
    match outcome:
        case StepPassed(_, seconds, detail):
            return "passed", f"{seconds:.2f} s", detail
        case StepFailed(_, seconds, KeyboardInterrupt()):
            return "interrupted", f"{seconds:.2f} s", ""
        case StepFailed(_, seconds, error):
            return "failed", f"{seconds:.2f} s", str(error) or type(error).__name__
        case StepNotOffered(_, missing):
            return "-", "", f"not offered: {', '.join(missing)}"
        case StepNotReached():
            return "-", "", "not reached"
    assert_never(outcome)


def summary(outcomes: tuple[Outcome, ...]) -> str:
    """The counts in one line: steps that were not offered are no passed ones."""
    counts = {
        "passed": sum(isinstance(outcome, StepPassed) for outcome in outcomes),
        "failed": sum(isinstance(outcome, StepFailed) for outcome in outcomes),
        "not offered": sum(isinstance(outcome, StepNotOffered) for outcome in outcomes),
        "not reached": sum(isinstance(outcome, StepNotReached) for outcome in outcomes),
    }
    told = [f"{count} {word}" for word, count in counts.items() if count or word in ("passed", "failed")]
    seconds = sum(outcome.seconds for outcome in outcomes if isinstance(outcome, StepPassed | StepFailed))
    return f"{', '.join(told)}, {seconds:.2f} s"


@contextmanager
def step_list() -> Generator[Observer]:
    """An observer that shows the steps on standard output while they run."""
    if sys.stdout.isatty() and importlib.util.find_spec("rich"):
        from cloudkit.cli.live import live_list

        with live_list() as observer:
            yield observer
    else:
        yield print_line


def print_line(event: StepStarted | Outcome) -> None:
    """One line for each step that has ended."""
    if isinstance(event, StepStarted):
        return
    word, duration, detail = describe(event)
    lines = detail.splitlines() or [""]
    print(f"{word:<11}  {event.step.title:<{_TITLE_WIDTH}} {duration:>9}  {lines[0]}".rstrip(), flush=True)
    for line in lines[1:]:
        print(f"{'':<{_TITLE_WIDTH + 25}}{line}", flush=True)
