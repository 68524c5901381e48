"""Seeing a create through: sent once, found again where its answer was lost, waited for, rolled back."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, ClassVar, Literal, TypedDict

from cloudkit import _checks as checks
from cloudkit._context import Verb
from cloudkit._references import V
from cloudkit._wait import TimeUp, poll
from cloudkit._waiting import OnProgress, Waiting
from cloudkit.driver import OPTIONS
from cloudkit.errors import CloudError, InvalidState, NotFound, Unavailable, WaitTimeout
from cloudkit.types import Mark, Spec

OnFailure = Literal["delete", "keep"]

RECOVERY_PAUSES_S = (0.0, 0.3, 1.0)
"""Between the looks for a thing whose create was not answered."""

SETTLE_S = 30.0
"""How long a task on a thing that is to be deleted may take to end."""


class Creation(TypedDict, total=False):
    """How a create is seen through: the last arguments of every ``create``.

    Attributes:
        wait: return when the thing is usable; False: as soon as the back-end has taken the request.
        timeout_s: how long that may take, in seconds of the cloud's clock.
        on_failure: "delete" what this call has made, or "keep" it.
        on_progress: called with the value at each look.
    """

    wait: bool
    timeout_s: float | None
    on_failure: OnFailure
    on_progress: OnProgress | None


class Creating(Waiting[V]):
    """Makes things."""

    _capability: ClassVar[str | None] = None
    """What must be declared for the kind as a whole."""
    _create_capability: ClassVar[str | None] = None
    """What must be declared to create one, where that is a group of its own."""
    _delete_capability: ClassVar[str | None] = None
    """What must be declared to delete one, where that is a group of its own."""

    def _create(
        self,
        spec: Spec,
        *,
        wait: bool = True,
        timeout_s: float | None = None,
        on_failure: OnFailure = "delete",
        on_progress: OnProgress | None = None,
        send: Callable[[Any], V] | None = None,
        finish: Callable[[V], V] | None = None,
    ) -> V:
        """Send a checked request, and see it through.

        Args:
            send: makes it, if that is not the driver's ``create``.
            finish: completes what was made, before it is waited for.
        """
        timeout_s = self._checked_timeout(timeout_s)
        keep = self._checked_on_failure(on_failure) == "keep"
        self._require_options(spec)
        self._context.touched.add(self.kind)
        value = self._send(send or self._part.create, spec)
        if value.mark is None:
            self._context.unmarked.add((self.kind, value.id))
        try:
            if finish is not None:
                value = finish(value)
            if wait:
                value = self._await_one(value, self._goal(self._ready), timeout_s, on_progress, seen=True)
        except WaitTimeout as error:
            error.resource = error.resource or value
            raise
        except BaseException as error:
            if not keep:
                self._roll_back([value.id], error)
            raise
        return value

    def _send(self, send: Callable[[Any], V], spec: Spec) -> V:
        try:
            return self._context.call(send, spec)
        except Unavailable as error:
            made = self._recover(spec)
            if made is None:
                error.hint = (
                    "Whether it was made is not known, so it was not sent twice: look for it before you try again."
                )
                raise
            return made
        except Exception:
            raise
        except BaseException as error:
            # Interrupted: the driver may have made it.
            made = self._recover(spec)
            if made is not None:
                self._roll_back([made.id], error)
            raise

    def _recover(self, spec: Spec) -> V | None:
        """What a request without an answer has made, found by its mark."""
        for pause_s in RECOVERY_PAUSES_S:
            if pause_s:
                self._context.call(self._context.driver.wait_change, self.kind, pause_s)
            try:
                for value in self._all({}):
                    if self._is_made_by(value, spec):
                        return value
            except CloudError as error:
                if not error.retryable:
                    return None
            else:
                return None
        return None

    def _is_made_by(self, value: V, spec: Spec) -> bool:
        return value.mark is not None and value.mark.request == spec.mark.request

    def _roll_back(self, ids: Iterable[str], error: BaseException) -> None:
        """Delete what this call has made; what cannot be deleted is told with the error that goes on."""
        deleted: list[str] = []
        for id in ids:
            try:
                self._delete_settled(id)
                deleted.append(id)
            except NotFound:
                continue
            except CloudError as failure:
                error.add_note(f"deleting the {self.kind.noun} {id} again failed as well: {failure}")
        try:
            self._await_gone(deleted, self._timeout_s)
        except CloudError as failure:
            error.add_note(f"whether all was deleted again is not known: {failure}")

    @property
    def deletable(self) -> bool:
        """Whether the back-end has such things, and deletes them when asked to."""
        needed = filter(None, (self._capability, self._delete_capability))
        return all(capability in self._context.driver.capabilities for capability in needed)

    def clear_away(self, id: str) -> None:
        """Delete a thing in whatever state it was left, and wait until it is gone: for the sweep."""
        self._delete_settled(id)
        self._await_gone([id], self._timeout_s)

    def _delete_settled(self, id: str) -> None:
        """Ask for a deletion; where a task is in the way (Cinder deletes no volume that is creating), after it."""
        refusal: CloudError | None = None

        def look() -> bool | None:
            nonlocal refusal
            try:
                self._delete(id)
            except InvalidState as error:
                refusal = error
                return None
            return True

        try:
            poll(self._context, self.kind, SETTLE_S, look)
        except TimeUp as up:
            raise up.trouble or refusal or WaitTimeout(f"{id} cannot be deleted") from None

    def _mark(self) -> Mark:
        scope = self._context.scope
        return Mark(request=str(uuid.uuid4()), scope=scope.text if scope is not None else None)

    def _common(self, name: object, description: object, native: object) -> dict[str, Any]:
        """The fields that every spec has."""
        return {
            "name": checks.name(name),
            "mark": self._mark(),
            "description": checks.text(description, "description"),
            "native": checks.native(native),
        }

    def _require_options(self, spec: Spec, prefix: str = "") -> None:
        for field, capability, default in _options_of(type(spec), prefix or f"{self.kind.value}.create"):
            if getattr(spec, field) != default:
                self._context.require(capability)

    def _require_kind(self) -> None:
        if self._capability is not None:
            self._context.require(self._capability)

    def _require_create(self) -> None:
        self._require_kind()
        if self._create_capability is not None:
            self._context.require(self._create_capability)

    @contextmanager
    def _creating(self, name: object) -> Generator[None]:
        with Verb(self._context, f"{self.kind.value}.create", name):
            self._require_create()
            yield

    def _settle(
        self, made: Mapping[int, V], timeout_s: float, on_progress: OnProgress | None
    ) -> tuple[dict[int, V], dict[int, CloudError]]:
        """Wait for many; returns them as they are then, and the errors of those that are not usable."""
        goal = self._goal(self._ready)
        settled: dict[str, V | None] = {}
        late: WaitTimeout | None = None
        try:
            self._await(made.values(), goal, timeout_s, on_progress, seen=True, settled=settled)
        except WaitTimeout as error:
            late = error
        values: dict[int, V] = {}
        failed: dict[int, CloudError] = {}
        for position, value in made.items():
            if late is not None and value.id not in settled:
                failed[position] = late
                continue
            try:
                values[position] = self._succeeded(value, settled[value.id], goal)
            except CloudError as error:
                failed[position] = error
        return values, failed

    def _delete(self, id: str) -> None:
        self._context.call(self._part.delete, id)

    def _checked_on_failure(self, on_failure: object) -> str:
        return checks.one_of(on_failure, ("delete", "keep"), "on_failure")


_option_cache: dict[tuple[type[Spec], str], tuple[tuple[str, str, Any], ...]] = {}


def _options_of(spec_type: type[Spec], prefix: str) -> tuple[tuple[str, str, Any], ...]:
    """(field, capability, default) of each field that only some back-ends take."""
    key = (spec_type, prefix)
    if key not in _option_cache:
        _option_cache[key] = tuple(
            (field.name, f"{prefix}:{field.name}", field.default)
            for field in fields(spec_type)
            if f"{prefix}:{field.name}" in OPTIONS
        )
    return _option_cache[key]
