"""The verbs that every kind of thing has: list, get, find, wait, delete, create_many.

``create`` and the verbs beyond stand in the classes of the kinds: ``_compute.py``, ``_servers.py`` and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from enum import StrEnum
from functools import partial
from typing import Any, Protocol, cast

from cloudkit import _checks as checks
from cloudkit._checks import is_sequence
from cloudkit._context import Verb
from cloudkit._creation import Creating, Creation, OnFailure
from cloudkit._references import Ref, V
from cloudkit._suggest import suggest
from cloudkit._waiting import OnProgress
from cloudkit.driver import Query
from cloudkit.errors import CloudError, InvalidRequest, NotFound
from cloudkit.types import VALUE_TYPES, FrozenMap, Kind

__all__ = ["Collection", "Creation", "OnFailure", "OnProgress", "Ref"]

_NO_FILTERS = frozenset({"cloud_id", "mark"})


class Collection(Creating[V]):
    """The things of one kind in a cloud."""

    def list(self, *, all_projects: bool = False, **filters: Any) -> Iterator[V]:
        """All that the project sees, page by page as the loop goes on.

        Args:
            all_projects: those of all projects too (capability ``all_projects``).
            filters: attributes of the values and what they must be; ``tags`` and ``metadata`` are met by things
                that have at least the given ones.

        Raises:
            InvalidRequest: there is no such attribute to filter by, or no such status.
            Unsupported: the back-end has no such things, or shows no other projects.
        """
        with Verb(self._context, f"{self.kind.value}.list"):
            self._require_kind()
            if all_projects:
                self._context.require("all_projects")
            query = Query(self._checked_filters(filters), all_projects)
        return self._stream(query)

    def get(self, ref: Ref) -> V:
        """The thing as it is now.

        Args:
            ref: a value, an id, or an exact name.

        Raises:
            NotFound: there is none.
            AmbiguousName: several have this name; ``candidates`` are their ids.
            InvalidRequest: it is a value of another kind or another cloud.
        """
        with Verb(self._context, f"{self.kind.value}.get", ref):
            self._require_kind()
            return self._get(ref)

    def find(self, name: str) -> V | None:
        """The thing with this exact name, or None; raises AmbiguousName."""
        with Verb(self._context, f"{self.kind.value}.find", name):
            self._require_kind()
            return self._by_name(checks.text(name, "name"))

    def wait(
        self,
        ref: Ref,
        status: str | Iterable[str] | None = None,
        *,
        timeout_s: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> V:
        """Wait until the thing has a status, and return it.

        Args:
            status: the one, or any of several; None for what makes it usable.
            timeout_s: in seconds of the cloud's clock; None for what is usual for the kind.
            on_progress: called with the value at each look.

        Raises:
            WaitTimeout: it is not there in time; nothing is deleted.
            ResourceFailed: it went to an error status instead.
            NotFound: it is gone.
            InvalidRequest: the kind has no such status.
        """
        with Verb(self._context, f"{self.kind.value}.wait", ref):
            self._require_kind()
            goal = self._goal(self._checked_statuses(status) if status is not None else self._ready)
            return self._await_one(self._get(ref), goal, timeout_s, on_progress)

    # ---------------------------------------------------------------- deleting

    def delete(
        self, ref: Ref, *, missing_ok: bool = False, wait: bool = True, timeout_s: float | None = None
    ) -> None:
        """Delete the thing, and return when it is gone.

        Args:
            missing_ok: it is right if there is none.
            wait: False to return as soon as the back-end has taken the request.

        Raises:
            NotFound: there is none.
            InUse: something else needs it.
            WaitTimeout: it is still there; the deletion may go on.
        """
        with Verb(self._context, f"{self.kind.value}.delete", ref):
            self._require_kind()
            if self._delete_capability is not None:
                self._context.require(self._delete_capability)
            limit_s = self._checked_timeout(timeout_s)
            try:
                id, _ = self._act(ref, self._delete)
            except NotFound:
                if missing_ok:
                    return
                raise
            if wait:
                self._await_gone([id], limit_s)

    def create_many(
        self,
        specs: Iterable[Mapping[str, Any]],
        *,
        on_failure: OnFailure = "delete",
        timeout_s: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> tuple[V, ...]:
        """Create several at once; they are returned in the order of ``specs``, all usable.

        Args:
            specs: the arguments of one ``create`` each, ``name`` included. Names in them are looked up once.
            on_failure: what becomes of those that were made when one fails; "keep" leaves them, and the failed one.
            timeout_s: for all together.
            on_progress: called with each value at each look.

        Raises:
            BatchFailed: at least one failed. Nothing was started after it, and what was in flight has been waited
                for: ``created`` are those that exist, ``failed`` are (position, error).
            InvalidRequest: a spec does not have ``create``'s arguments; nothing was started.
        """
        from cloudkit._batch import Batch, checked_specs

        with Verb(self._context, f"{self.kind.value}.create_many"):
            self._require_create()
            limit_s = self._checked_timeout(timeout_s)
            # Its own context remembers which names it has looked up.
            create = cast("_Creates", type(self)(self._context.with_memory())).create
            batch = Batch(
                noun=self.kind.value.replace("_", " "),
                create=partial(create, wait=False),
                settle=lambda made: self._settle(made, limit_s, on_progress),
                roll_back=lambda values, error: self._roll_back([value.id for value in values], error),
                keep=self._checked_on_failure(on_failure) == "keep",
            )
            return batch.run(checked_specs(create, specs))

    def _stream(self, query: Query) -> Iterator[V]:
        values: Iterator[V] = self._context.call(self._part.list, query)
        while (value := self._next(values)) is not None:
            if all(_meets(getattr(value, name), wanted) for name, wanted in query.filters.items()):
                yield value

    def _next(self, values: Iterator[V]) -> V | None:
        try:
            return self._context.call(next, values, None)
        except CloudError as error:
            error.add_context(driver=self._context.driver.name, operation=f"{self.kind.value}.list")
            raise

    def _checked_filters(self, filters: Mapping[str, Any]) -> dict[str, Any]:
        known = {field.name for field in fields(VALUE_TYPES[self.kind])} - _NO_FILTERS
        checked: dict[str, Any] = {}
        for name, wanted in filters.items():
            if name not in known:
                raise InvalidRequest(f"{self.kind.value} cannot be filtered by {name!r}", hint=suggest(name, known))
            if name == "status":
                (wanted,) = self._checked_statuses(wanted)
            elif name == "tags":
                wanted = checks.tags(wanted)
            elif name == "metadata":
                wanted = checks.metadata(wanted)
            checked[name] = wanted
        return checked

    def _offered(self, capability: str) -> Any:
        """The driver's collection, if it declares the capability."""
        self._context.require(capability)
        return self._part

    def _update(self, ref: Ref, changes: Mapping[str, Any], allowed: Mapping[str, Callable[[Any], Any]]) -> V:
        """Change fields in place; ``allowed`` tells which, and checks each."""
        with Verb(self._context, f"{self.kind.value}.update", ref):
            part = self._offered(f"{self.kind.value}.update")
            if not changes:
                raise InvalidRequest("nothing is to be changed", hint=suggest("", allowed))
            checked: dict[str, Any] = {}
            for name, value in changes.items():
                if name not in allowed:
                    raise InvalidRequest(
                        f"{name!r} of a {self.kind.noun} cannot be changed", hint=suggest(name, allowed)
                    )
                checked[name] = allowed[name](value)
            _, updated = self._act(ref, lambda id: self._context.call(part.update, id, checked))
            return cast(V, updated)

    def _checked_statuses(self, status: str | Iterable[str]) -> frozenset[str]:
        enum = _status_enum(self.kind)
        if enum is None:
            raise InvalidRequest(f"{self.kind.value.replace('_', ' ')} have no status")
        wanted = (status,) if isinstance(status, str) else checks.items(status, "status")
        if not wanted:
            raise InvalidRequest("status: at least one is expected")
        return frozenset(checks.choice(one, enum, "status") for one in wanted)


class _Creates(Protocol):
    create: Callable[..., Any]


def _meets(actual: Any, wanted: Any) -> bool:
    if isinstance(wanted, FrozenMap):
        return all(actual.get(key) == value for key, value in wanted.items())
    if is_sequence(actual) and is_sequence(wanted):
        return set(wanted) <= set(actual)
    return bool(actual == wanted)


def _status_enum(kind: Kind) -> type[StrEnum] | None:
    from cloudkit import types

    for field in fields(VALUE_TYPES[kind]):
        if field.name == "status":
            return cast("type[StrEnum]", getattr(types, str(field.type)))
    return None
