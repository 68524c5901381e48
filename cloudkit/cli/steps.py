"""Named steps over a Cloud: which are offered, how each one ended, and who is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import FunctionType
from typing import TypeVar

from cloudkit.errors import CloudError

S = TypeVar("S")

_marked: dict[Callable[..., str], tuple[str, tuple[str, ...]]] = {}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: ``run`` returns a line about what it made; ``needs`` are capabilities."""

    title: str
    run: Callable[[], str]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step begins, the ``number``-th from 1."""

    step: Step
    number: int


@dataclass(frozen=True, slots=True)
class StepPassed:
    """A step did what it says."""

    step: Step
    seconds: float
    detail: str


@dataclass(frozen=True, slots=True)
class StepNotOffered:
    """A step was left out, as the back-end does not declare ``missing``."""

    step: Step
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step ended with an error, or was interrupted (``error`` is a KeyboardInterrupt then)."""

    step: Step
    seconds: float
    error: BaseException


@dataclass(frozen=True, slots=True)
class StepNotReached:
    """A step was left out, as an earlier one failed."""

    step: Step


Outcome = StepPassed | StepNotOffered | StepFailed | StepNotReached
Observer = Callable[[StepStarted | Outcome], object]


def step(title: str, needs: tuple[str, ...] = ()) -> Callable[[Callable[[S], str]], Callable[[S], str]]:
    """Mark a method as a step: it returns the line to show when it has passed."""

    def mark(method: Callable[[S], str]) -> Callable[[S], str]:
        _marked[method] = (title, needs)
        return method

    return mark


def steps_of(story: object) -> list[Step]:
    """The marked methods of an object, in the order they stand in."""
    return [
        Step(_marked[method][0], getattr(story, name), _marked[method][1])
        for name, method in vars(type(story)).items()
        if isinstance(method, FunctionType) and method in _marked
    ]


@dataclass
class Player:
    """Runs steps one after the other and keeps how they ended."""

    offered: frozenset[str]
    observer: Observer
    outcomes: list[Outcome] = field(default_factory=list[Outcome])

    def play(self, steps: Iterable[Step]) -> None:
        """Run the steps; after one that failed, those behind it are not reached.

        An interrupt, or an error that is no CloudError, is told as the step's failure and raised.
        """
        failed = False
        for each in steps:
            missing = tuple(name for name in each.needs if name not in self.offered)
            if failed:
                self._tell(StepNotReached(each))
            elif missing:
                self._tell(StepNotOffered(each, missing))
            else:
                failed = not self._run(each)

    def _run(self, step: Step) -> bool:
        self.observer(StepStarted(step, len(self.outcomes) + 1))
        start = time.monotonic()
        try:
            detail = step.run()
        except BaseException as error:
            self._tell(StepFailed(step, time.monotonic() - start, error))
            if isinstance(error, CloudError):
                return False
            raise
        self._tell(StepPassed(step, time.monotonic() - start, detail))
        return True

    def _tell(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.observer(outcome)
