"""Waiting for things of one kind: until they have a status, or are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from cloudkit import _checks as checks
from cloudkit._references import References, V
from cloudkit._wait import Goal, TimeUp, poll
from cloudkit.errors import CloudError, NotFound, ResourceFailed, WaitTimeout

OnProgress = Callable[[Any], object]


class Waiting(References[V]):
    """Sees things through to a status."""

    _ready: ClassVar[frozenset[str] | None] = None
    """The statuses in which a thing is usable; None: it is, once it exists."""
    _broken: ClassVar[frozenset[str]] = frozenset()
    """The statuses that a thing never leaves by itself."""
    _timeout_s: ClassVar[float] = 300.0
    """How long a create or a verb may take, unless told otherwise."""

    def _goal(self, statuses: frozenset[str] | None) -> Goal:
        if statuses is None:
            return Goal(lambda _value: True, lambda _value: False, "there")
        return Goal(
            lambda value: value.status in statuses and _is_idle(value),
            lambda value: value.status in self._broken and _is_idle(value),
            " or ".join(sorted(str(status) for status in statuses)),
        )

    def _await_one(
        self, value: V, goal: Goal, timeout_s: float | None, on_progress: OnProgress | None = None, seen: bool = False
    ) -> V:
        """Wait for one; ``seen`` tells that the value is fresh, so that no look is needed first."""
        if seen and goal.reached(value):
            return value
        settled = self._await([value], goal, self._checked_timeout(timeout_s), on_progress, seen)[value.id]
        return self._succeeded(value, settled, goal)

    def until_usable(self, id: str, timeout_s: float) -> V:
        """Wait until a thing is usable: for verbs of another kind that change it."""
        return self._await_one(self._fetch(id), self._goal(self._ready), timeout_s, seen=True)

    def _succeeded(self, value: V, settled: V | None, goal: Goal) -> V:
        if settled is None:
            raise NotFound(f"the {self.kind.noun} {value.name!r} was deleted while it was waited for", resource=value)
        if goal.reached(settled):
            return settled
        raise self._failure(settled)

    def _failure(self, value: V) -> ResourceFailed:
        fault = getattr(value, "fault", None)
        return ResourceFailed(
            f"the {self.kind.noun} {value.name!r} went to the status {value.status}",  # type: ignore[attr-defined]
            resource=value,
            fault=fault.message if fault is not None else None,
            hint="Look at its fault and what it was made from, then create it anew.",
            console_tail=self._console_tail(value.id),
        )

    def _await(
        self,
        values: Iterable[V],
        goal: Goal,
        timeout_s: float,
        on_progress: OnProgress | None = None,
        seen: bool = False,
        settled: dict[str, V | None] | None = None,
    ) -> dict[str, V | None]:
        """Wait until each has reached the goal, has failed, or is gone (None); one list a look for several.

        ``settled`` is filled with what is returned, also where time is up.
        """
        pending = {value.id: value for value in values}
        settled = {} if settled is None else settled
        fresh: Mapping[str, V] | None = dict(pending) if seen else None

        def look() -> bool | None:
            nonlocal fresh
            found, fresh = fresh if fresh is not None else self._current(pending), None
            for id in tuple(pending):
                value = found.get(id)
                if value is not None:
                    if on_progress is not None:
                        on_progress(value)
                    pending[id] = value
                if value is None or goal.reached(value) or goal.failed(value):
                    settled[id] = value
                    del pending[id]
            return None if pending else True

        # The first of many was made some requests ago, and may be there by now: the next look comes without a pause.
        if seen and len(pending) > 1 and look():
            return settled
        try:
            poll(self._context, self.kind, timeout_s, look)
        except TimeUp as up:
            raise self._timed_out(pending, goal, timeout_s, up.trouble) from up.trouble
        return settled

    def _current(self, ids: Iterable[str]) -> Mapping[str, V]:
        wanted = frozenset(ids)
        if len(wanted) > 1:
            return {value.id: value for value in self._all({}) if value.id in wanted}
        try:
            return {id: self._fetch(id) for id in wanted}
        except NotFound:
            return {}

    def _timed_out(
        self, pending: Mapping[str, V], goal: Goal, timeout_s: float, trouble: CloudError | None
    ) -> WaitTimeout:
        first = next(iter(pending.values()))
        status = getattr(first, "status", None)
        others = f", and {len(pending) - 1} more" if len(pending) > 1 else ""
        return WaitTimeout(
            f"the {self.kind.noun} {first.name!r} is {status} and not {goal.text} after {timeout_s:g} s{others}",
            resource=first,
            fault=str(trouble) if trouble is not None else None,
            console_tail=self._console_tail(first.id),
        )

    def _await_gone(self, ids: Iterable[str], timeout_s: float) -> None:
        ids = tuple(ids)
        if not ids:
            return

        def look() -> bool | None:
            left = self._current(ids)
            for value in left.values():
                if getattr(value, "status", None) == "error_deleting":
                    raise self._failure(value)
            return None if any(getattr(value, "status", None) != "DELETED" for value in left.values()) else True

        try:
            poll(self._context, self.kind, timeout_s, look)
        except TimeUp as up:
            raise WaitTimeout(
                f"the {self.kind.noun} {ids[0]} is still there after {timeout_s:g} s",
                resource=ids[0],
                fault=str(up.trouble) if up.trouble is not None else None,
                hint="Its deletion may go on: look again later.",
            ) from up.trouble

    def _console_tail(self, id: str) -> str | None:
        """The last lines of a server's console, where they explain something."""
        del id
        return None

    def _checked_timeout(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else checks.seconds(timeout_s)


def _is_idle(value: Any) -> bool:
    # Nova answers a verb with the old status and a task_state.
    return getattr(value, "task", None) is None
