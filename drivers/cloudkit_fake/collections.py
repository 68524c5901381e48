"""What all collections of the fake have in common: who sees what, quotas, common fields, updates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

from cloudkit.driver import Query
from cloudkit.errors import NotFound, QuotaExceeded
from cloudkit.types import Kind, Resource, Spec
from cloudkit_fake.clock import to_datetime
from cloudkit_fake.cloud import FakeCloud, request
from cloudkit_fake.state import State, new_id

V = TypeVar("V", bound=Resource)


class FakeCollection(Generic[V]):
    """The things of one kind, as one project sees them."""

    kind: ClassVar[Kind]
    operations: ClassVar[str]
    """What the names of its operations start with, as fault scripts have them."""

    def __init_subclass__(cls) -> None:
        if "kind" in vars(cls):
            cls.operations = f"{cls.kind.value}."

    def __init__(self, cloud: FakeCloud, project_id: str) -> None:
        self._cloud = cloud
        self._project_id = project_id

    @property
    def _state(self) -> State:
        return self._cloud.state

    def list(self, query: Query) -> Iterator[V]:
        """All that the project sees, as they are at the call."""
        return iter(self._list(query))

    @request
    def _list(self, query: Query) -> tuple[V, ...]:
        table = self._state.tables[self.kind]
        if query.all_projects:
            return tuple(table.values())  # type: ignore[arg-type]
        return tuple(value for value in table.values() if self.lists(value))  # type: ignore[misc]

    @request
    def get(self, id: str) -> V:
        """One by its id."""
        return self.seen(id)

    def sees(self, value: Any) -> bool:
        """Whether the project sees a thing of this kind."""
        return bool(value.project_id == self._project_id)

    def lists(self, value: Any) -> bool:
        """Whether the project's list shows a thing of this kind; some are only seen by who knows their id."""
        return self.sees(value)

    def seen(self, id: str) -> V:
        """A thing that the project sees; raises NotFound."""
        value: Any = self._cloud.state.tables[self.kind].get(id)
        if value is None or not self.sees(value):
            raise not_found(self.kind, id)
        return value  # type: ignore[no-any-return]

    def _own(self, id: str) -> V:
        """A thing of the project itself: what is only shown to it, it cannot change."""
        value: Any = self._cloud.state.tables[self.kind].get(id)
        if value is None or value.project_id != self._project_id:
            raise not_found(self.kind, id)
        return value  # type: ignore[no-any-return]

    def _now(self) -> datetime:
        return to_datetime(self._cloud.clock.now())

    def _common(self, spec: Spec) -> dict[str, Any]:
        """The fields that every new value has."""
        id = new_id()
        if spec.native is not None:
            self._cloud.native_requests[id] = spec.native
        return {
            "id": id,
            "name": spec.name,
            "project_id": self._project_id,
            "cloud_id": self._state.cloud_id,
            "created_at": self._now(),
            "description": spec.description,
            "mark": spec.mark,
        }

    def _change(self, id: str, **fields: Any) -> V:
        """Change attributes; the time of the change is noted."""
        return self._state.update(self.kind, id, updated_at=self._now(), **fields)  # type: ignore[no-any-return]

    def _check_quota(self, name: str, more: int = 1, attribute: str | None = None) -> None:
        limit = self._cloud.quotas.get(name)
        if limit is None or limit < 0:
            return
        # Counting is only worth it when the limit can be reached.
        table = self._state.tables[self.kind]
        if attribute is None and len(table) + more <= limit:
            return
        self._require(name, used_of(self._state, self.kind, self._project_id, attribute), more, limit)

    def _require(self, name: str, used: int, more: int, limit: int) -> None:
        if used + more > limit:
            raise QuotaExceeded(
                f"the quota of {name} is {limit}, {used} are in use, and {more} more {_are(more)} asked for",
                driver="fake",
            )


class Updatable(FakeCollection[V]):
    """Things whose fields can be changed in place."""

    @request
    def update(self, id: str, changes: Mapping[str, Any]) -> V:
        """Set attributes."""
        self._own(id)
        return self._change(id, **changes)


def used_of(state: State, kind: Kind, project_id: str, attribute: str | None = None) -> int:
    """How many things of a kind a project has, or the sum of an attribute of theirs."""
    mine = (value for value in state.tables[kind].values() if value.project_id == project_id)
    return sum(1 if attribute is None else getattr(value, attribute) for value in mine)


def status_fields(status: StrEnum) -> dict[str, Any]:
    """The attributes of a thing that has a status."""
    return {"status": status, "native_status": status.value}


def not_found(kind: Kind, id: str) -> NotFound:
    """The error for what is not there."""
    return NotFound(f"there is no {kind.noun} {id!r}", driver="fake", resource=id)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
