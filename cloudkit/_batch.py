"""Many creates at once: requests by several threads, then one wait for all."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, cast

from cloudkit._suggest import suggest
from cloudkit.errors import BatchFailed, CloudError, InvalidRequest, WaitTimeout

IN_FLIGHT = 32
OWN_OPTIONS = ("wait", "timeout_s", "on_failure", "on_progress")
"""The arguments of a create that a batch has once for all."""


@dataclass
class Batch:
    """One call of ``create_many``.

    Attributes:
        noun: the kind in the plural, for messages.
        create: makes one, without waiting for it.
        settle: waits for all that were made, by position; returns the values as they are then, and the errors of
            those that are not usable.
        roll_back: deletes the given values because of an error.
    """

    noun: str
    create: Callable[..., Any]
    settle: Callable[[Mapping[int, Any]], tuple[dict[int, Any], dict[int, CloudError]]]
    roll_back: Callable[[Iterable[Any], BaseException], None]
    keep: bool
    made: dict[int, Any] = field(default_factory=dict[int, Any])
    failed: dict[int, CloudError] = field(default_factory=dict[int, CloudError])
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, specs: list[dict[str, Any]]) -> tuple[Any, ...]:
        """Make all, and return them in order; raises BatchFailed."""
        try:
            self._send(specs)
            values, failed = self.settle(self.made)
        except BaseException as error:
            self._clean_up(error)
            raise
        self.made.update(values)
        self.failed.update(failed)
        if self.failed:
            raise self._failure(len(specs))
        return tuple(self.made[position] for position in range(len(specs)))

    def _send(self, specs: list[dict[str, Any]]) -> None:
        """Send all requests; after one that fails, or Ctrl-C, no other is started."""
        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="cloudkit-batch") as pool:
            futures: list[Future[None]] = [pool.submit(self._send_one, *item) for item in enumerate(specs)]
            try:
                wait(futures)
            finally:
                self.stop.set()
        for future in futures:
            # What is no CloudError is a defect, and goes on as it is.
            future.result()

    def _send_one(self, position: int, spec: dict[str, Any]) -> None:
        if self.stop.is_set():
            return
        try:
            self.made[position] = self.create(**spec)
        except CloudError as error:
            self.failed[position] = error
            self.stop.set()
        except BaseException:
            self.stop.set()
            raise

    def _failure(self, total: int) -> BatchFailed:
        failed = sorted(self.failed.items())
        error = BatchFailed(
            f"{len(failed)} of {total} {self.noun} failed; the first: {failed[0][1].message}",
            failed=failed,
            created=[self.made[position] for position in sorted(self.made) if position not in self.failed],
            hint="Each one's own error is in failed, by its position.",
        )
        # What only takes longer may still get there.
        if not any(isinstance(each, WaitTimeout) for each in self.failed.values()) and self._clean_up(error):
            error.created = ()
        return error

    def _clean_up(self, error: BaseException) -> bool:
        if self.keep:
            return False
        self.roll_back(self.made.values(), error)
        return True


def checked_specs(create: Callable[..., Any], specs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The specs, if each has arguments that ``create`` takes; raises InvalidRequest."""
    signature = inspect.signature(create)
    known = [name for name, each in signature.parameters.items() if each.kind is not each.VAR_KEYWORD]
    checked: list[dict[str, Any]] = []
    for position, spec in enumerate(cast("Iterable[Any]", specs)):
        if not isinstance(spec, Mapping):
            raise InvalidRequest(f"spec {position}: a mapping of create's arguments is expected, not {spec!r:.80}")
        arguments = dict(cast("Mapping[str, Any]", spec))
        for name in arguments:
            if name in OWN_OPTIONS:
                raise InvalidRequest(f"spec {position}: {name} is an argument of the batch, not of one in it")
            if name not in known:
                raise InvalidRequest(f"spec {position}: create takes no {name!r}", hint=suggest(name, known))
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise InvalidRequest(f"spec {position}: {error}") from None
        checked.append(arguments)
    return checked
