"""A script of what goes wrong: criteria, and what happens when a request meets them.

For example::

    faults.add("servers.create", Raise(QuotaExceeded("no more")))            # the next one
    faults.add("servers.create", Fail("No valid host was found."), where={"name": "web-*"}, times=None)
    faults.add("*", Delay(0.5), times=None)                                  # each request is slow
    faults.add("volumes.create", LoseAnswer(), skip=2)                       # the third one is done, and not answered
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from cloudkit.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Raise:
    """The request is refused with a copy of this error, and does nothing."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The connection is refused: nothing is done."""


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """The request is done, and its answer is lost."""


@dataclass(frozen=True, slots=True)
class Delay:
    """The request takes this long, on the cloud's clock."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Fail:
    """What the request made goes to its error status later, with this fault (server, volume, snapshot, image)."""

    message: str = "No valid host was found."
    code: int = 500


@dataclass(frozen=True, slots=True)
class Hang:
    """What the request started never ends: a server stays in BUILD."""


Behaviour = Raise | Disconnect | LoseAnswer | Delay | Fail | Hang


@dataclass(slots=True)
class Fault:
    """One line of the script.

    Attributes:
        operation: ``collection.method`` of the driver's interface, ``*`` and ``?`` as in file names.
        where: attribute of the request (or of the thing it is about) → the pattern that it must match.
        skip: how many matching requests pass first.
        times: how many are met then; None for all.
        every: of those, only each n-th.
        met: how many requests it was applied to.
    """

    operation: str
    behaviour: Behaviour
    where: Mapping[str, str] = field(default_factory=dict[str, str])
    skip: int = 0
    times: int | None = 1
    every: int = 1
    met: int = 0
    _seen: int = 0

    def matches(self, operation: str, facts: Mapping[str, Any]) -> bool:
        """Whether it applies to this request; counts it."""
        if self.times is not None and self.met >= self.times:
            return False
        if not fnmatchcase(operation, self.operation):
            return False
        if not all(fnmatchcase(str(facts.get(name, "")), pattern) for name, pattern in self.where.items()):
            return False
        self._seen += 1
        if self._seen <= self.skip or (self._seen - self.skip) % self.every:
            return False
        self.met += 1
        return True


class Faults:
    """The script of one fake, and how often each operation was requested."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.script: list[Fault] = []
        self.calls: Counter[str] = Counter()
        """operation → number of requests."""

    def add(
        self,
        operation: str,
        behaviour: Behaviour,
        *,
        where: Mapping[str, str] | None = None,
        skip: int = 0,
        times: int | None = 1,
        every: int = 1,
    ) -> Fault:
        """Append a line to the script; see :class:`Fault`. Its ``met`` tells later whether it came to pass."""
        if every < 1 or skip < 0:
            raise ValueError("skip counts from 0, every from 1")
        fault = Fault(operation, behaviour, dict(where or {}), skip, times, every)
        with self._lock:
            self.script.append(fault)
        return fault

    def clear(self) -> None:
        """Nothing goes wrong any more; the counts start anew."""
        with self._lock:
            self.script.clear()
            self.calls.clear()

    def met_by(self, operation: str, facts: Mapping[str, Any]) -> list[Behaviour]:
        """What happens to a request; counts it."""
        with self._lock:
            self.calls[operation] += 1
            return [fault.behaviour for fault in self.script if fault.matches(operation, facts)]


def disconnected() -> Unavailable:
    """The error of a request that reached nobody."""
    return Unavailable("the connection was refused", driver="fake")


def unanswered() -> Unavailable:
    """The error of a request whose answer was lost."""
    return Unavailable("the connection broke before the answer came", driver="fake")
