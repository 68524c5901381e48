"""The one way to wait: look, and if it is not there yet, let the driver sleep until something may have changed.

Time is the driver's (``Driver.now``): a fake's virtual seconds pass at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from cloudkit.errors import CloudError

if TYPE_CHECKING:
    from cloudkit._context import Context
    from cloudkit.types import Kind

R = TypeVar("R")

FIRST_PAUSES_S = (0.1, 0.2)
STEADY_PAUSE_S = 0.4
SHARE = 0.05
LONGEST_PAUSE_S = 10.0


class TimeUp(Exception):
    """The deadline passed.

    Attributes:
        trouble: the error that the last look ended with, if it did.
    """

    def __init__(self, trouble: CloudError | None) -> None:
        super().__init__()
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Goal:
    """What is waited for.

    Attributes:
        reached: whether a value is there.
        failed: whether it never will be.
        text: what is waited for, for messages.
    """

    reached: Callable[[Any], bool]
    failed: Callable[[Any], bool]
    text: str


def pause_s(tick: int, elapsed_s: float) -> float:
    """How long to sleep after the ``tick``-th look, from 0.

    At 5 s that makes 14 looks, half a pause late on average, which is 4 %; later on, never more than 5 %.
    """
    if tick < len(FIRST_PAUSES_S):
        return FIRST_PAUSES_S[tick]
    return min(LONGEST_PAUSE_S, max(STEADY_PAUSE_S, elapsed_s * SHARE))


def poll(context: Context, kind: Kind, timeout_s: float, look: Callable[[], R | None]) -> R:
    """Look until there is something; an error that is worth a retry only delays. Raises TimeUp."""
    driver = context.driver
    start = driver.now()
    # Compared as it is: the difference of two times may be smaller than what moves the clock.
    deadline = start + timeout_s
    tick = 0
    while True:
        trouble: CloudError | None = None
        try:
            found = look()
        except CloudError as error:
            if not error.retryable:
                raise
            found, trouble = None, error
        if found is not None:
            return found
        now = driver.now()
        if now >= deadline:
            raise TimeUp(trouble)
        longest_s = LONGEST_PAUSE_S if driver.signals_changes else pause_s(tick, now - start)
        context.call(driver.wait_change, kind, min(longest_s, deadline - now))
        tick += 1
