"""The two clocks of a fake. Both count seconds since the epoch."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

LONGEST_NAP_S = 0.1
"""How long a fake on the real clock sleeps at most: another process may change the file that they share."""


class Clock(Protocol):
    """What a fake needs of a clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def sleep(self, until: float) -> None:
        """Return when it is ``until``, or earlier."""
        ...

    def wake(self) -> None:
        """Something has changed: sleepers return."""
        ...


class VirtualClock:
    """Starts at the real time, and moves only when somebody waits or :meth:`advance` is called."""

    def __init__(self) -> None:
        self._now = time.time()
        self._lock = threading.Lock()

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass; what is due happens when somebody looks next."""
        if seconds < 0:
            raise ValueError("time does not go back")
        with self._lock:
            self._now += seconds

    def sleep(self, until: float) -> None:
        with self._lock:
            self._now = max(self._now, until)

    def wake(self) -> None:
        pass


class RealClock:
    """The computer's clock."""

    def __init__(self) -> None:
        self._changed = threading.Condition()

    def now(self) -> float:
        return time.time()

    def sleep(self, until: float) -> None:
        seconds = min(until - time.time(), LONGEST_NAP_S)
        if seconds > 0:
            with self._changed:
                self._changed.wait(seconds)

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


@lru_cache(maxsize=1)
def to_datetime(seconds: float) -> datetime:
    """A time as values have it; kept, as virtual time often stands still."""
    return datetime.fromtimestamp(seconds, UTC)
