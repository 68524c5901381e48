"""How a thing is named in a call: by a value, an id or a name; and looking it up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from cloudkit import _checks as checks
from cloudkit.driver import Query
from cloudkit.errors import AmbiguousName, InvalidRequest, NotFound
from cloudkit.types import Kind, Resource

if TYPE_CHECKING:
    from cloudkit._collection import Collection
    from cloudkit._context import Context

V = TypeVar("V", bound=Resource)
R = TypeVar("R")

Ref = Any
"""A value, an id or a name."""

_ID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)


class References(Generic[V]):
    """Finds the things of one kind. Nothing here is a verb: no log line, no check whether the kind is offered."""

    kind: ClassVar[Kind]
    _service: ClassVar[str]
    """The driver's attribute that has the collection."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def _get(self, ref: Ref) -> V:
        known = self._checked_ref(ref)
        if isinstance(ref, Resource):
            return self._fetch(known)
        if _ID.fullmatch(known):
            try:
                return self._fetch(known)
            except NotFound:
                found = self._by_name(known)
        else:
            found = self._by_name(known)
            if found is None:
                # Not every id looks like one: Nova's flavors may be "1".
                return self._fetch(known)
        if found is None:
            raise NotFound(f"there is no {self.kind.noun} {known!r}", resource=known)
        return found

    def ref_id(self, ref: Ref) -> str:
        """The id of a reference, as a request needs it; what is a value or looks like an id is not looked up."""
        known = self._checked_ref(ref)
        return known if isinstance(ref, Resource) or _ID.fullmatch(known) else self._get(known).id

    def _act(self, ref: Ref, act: Callable[[str], R]) -> tuple[str, R]:
        """Do something to a thing by its id, found by name where the id does not fit; returns id and outcome."""
        id = self.ref_id(ref)
        try:
            return id, act(id)
        except NotFound:
            named = None if isinstance(ref, Resource) or id != ref else self._by_name(id)
            if named is None or named.id == id:
                raise
            return named.id, act(named.id)

    def _checked_ref(self, ref: Ref) -> str:
        """The id of a value of this kind and cloud, or the text that is an id or a name."""
        if isinstance(ref, str):
            if not ref:
                raise InvalidRequest(f"the reference to a {self.kind.noun} is empty")
            return ref
        if not isinstance(ref, Resource):
            checks.wrong(self.kind.noun, "a value, an id or a name", ref)
        if ref.kind is not self.kind:
            raise InvalidRequest(f"{ref.name!r} is a {ref.kind.noun}, and a {self.kind.noun} is expected")
        if ref.cloud_id != self._context.driver.cloud_id:
            raise InvalidRequest(
                f"the {self.kind.noun} {ref.name!r} belongs to another cloud",
                hint="Values are used with the Cloud that gave them, or another one on the same cloud.",
            )
        return ref.id

    def _fetch(self, id: str) -> V:
        return self._context.call(cast("Callable[[str], V]", self._part.get), id)

    def _by_name(self, name: str) -> V | None:
        memory = self._context.memory
        if memory is None:
            return self._look_up(name)
        return memory.recall((self.kind, name), lambda: self._look_up(name))

    def _look_up(self, name: str) -> V | None:
        found = [value for value in self._all({"name": name}) if value.name == name]
        return self._only(found, name)

    def _only(self, found: Sequence[V], name: str) -> V | None:
        if len(found) > 1:
            ids = tuple(value.id for value in found)
            raise AmbiguousName(
                f"{len(found)} {self.kind.value.replace('_', ' ')} have the name {name!r}: {', '.join(ids)}",
                candidates=ids,
                resource=name,
            )
        return found[0] if found else None

    def _all(self, filters: Mapping[str, Any]) -> Iterable[V]:
        """All that match, at once."""
        return self._context.call(lambda: tuple(self._part.list(Query(filters))))

    @property
    def _part(self) -> Any:
        """The driver's collection."""
        return getattr(getattr(self._context.driver, self._service), self.kind.value)

    def _others(self, kind: Kind) -> Collection[Any]:
        """The collection of another kind."""
        from cloudkit._kinds import COLLECTIONS

        return COLLECTIONS[kind](self._context)
