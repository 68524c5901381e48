"""What the collections of all kinds have in common: get, list, delete, and what another project's things are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar, cast

from cloudkit.driver import Query
from cloudkit.errors import NotFound, PermissionDenied
from cloudkit.types import Kind, Resource
from cloudkit_openstack.context import Context
from cloudkit_openstack.errors import DRIVER
from cloudkit_openstack.service import Service, segment
from cloudkit_openstack.wire import Body

V = TypeVar("V", bound=Resource)

Narrowing = Mapping[str, Callable[[Any], tuple[str, Any] | None]]
"""Attribute of a value → the query that narrows a list to those that may have it; None where none does."""


def exactly(parameter: str) -> Callable[[Any], tuple[str, Any] | None]:
    """A query parameter that takes the attribute as it is."""
    return lambda value: (parameter, value)


class RestCollection(Generic[V]):
    """Things of one kind behind one path."""

    kind: ClassVar[Kind]
    path: ClassVar[str]
    """Where they are listed and made."""
    list_path: ClassVar[str | None] = None
    """Where they are listed with all details, if that is another place."""
    one: ClassVar[str]
    many: ClassVar[str]
    """What a thing, and a list of them, are called in a body."""
    version: ClassVar[str | None] = None
    """The microversion that reading needs."""
    narrowing: ClassVar[Narrowing] = {}

    def __init__(self, context: Context) -> None:
        """See them as the context's project."""
        self._context = context
        self._project = context.project

    @property
    def _service(self) -> Service:
        raise NotImplementedError

    def _values(self, bodies: Sequence[Any]) -> Iterable[V]:
        raise NotImplementedError

    # ---------------------------------------------------------------- reading

    def list(self, query: Query) -> Iterator[V]:
        """All that the project sees, page by page."""
        for bodies in self._pages(self._list_query(query)):
            for value in self._values(bodies):
                if query.all_projects or self._sees(value):
                    yield value

    def get(self, id: str) -> V:
        """One by its id."""
        (value,) = self._values([self._described(id)])
        if not self._sees(value):
            raise not_found(self.kind, id)
        return value

    def _described(self, id: str) -> Any:
        """What ``_values`` makes a value of."""
        return self.body(id)

    def body(self, id: str) -> Body:
        """The service's own description of one, whoever it belongs to."""
        return cast(Body, self._service.get(self._at(id), version=self.version)[self.one])

    def _pages(self, query: Sequence[tuple[str, Any]]) -> Iterator[Sequence[Any]]:
        return self._service.pages(self.list_path or self.path, self.many, query, self.version)

    def _list_query(self, query: Query) -> Sequence[tuple[str, Any]]:
        found = [narrow(query.filters[name]) for name, narrow in self.narrowing.items() if name in query.filters]
        return [pair for pair in found if pair is not None] + self._project_query(query.all_projects)

    def _project_query(self, all_projects: bool) -> list[tuple[str, Any]]:  # type: ignore[valid-type]
        """What asks for every project's things, or for the own ones only."""
        del all_projects
        return []

    # ---------------------------------------------------------------- whose they are

    def _sees(self, value: V) -> bool:
        """Whether the project sees a thing that the services showed; an administrator is shown all."""
        return not self._project.is_admin or value.project_id == self._project.id or self._is_for_all(value)

    def _is_for_all(self, value: V) -> bool:
        """Whether projects see it that it does not belong to."""
        del value
        return False

    def _own(self, id: str) -> V | None:
        """Refuse to change another project's thing where the services would not; None where they do it themselves."""
        if not self._project.is_admin:
            return None
        value = self.get(id)
        if value.project_id != self._project.id:
            raise PermissionDenied(
                f"the {self.kind.noun} {value.name!r} belongs to another project", driver=DRIVER, resource=value
            )
        return value

    # ---------------------------------------------------------------- changing

    def delete(self, id: str) -> None:
        """Delete one; raises NotFound, InUse."""
        self._own(id)
        self._service.delete(self._at(id))

    def _at(self, id: str, *more: str) -> str:
        return "/".join((self.path, segment(id), *more))

    def _one_value(self, body: Body) -> V:
        (value,) = self._values([body])
        return value


def not_found(kind: Kind, id: str) -> NotFound:
    """The error for what is not there, or not to be seen."""
    return NotFound(f"there is no {kind.noun} {id!r}", driver=DRIVER, resource=id)


def with_native(body: Body, native: Mapping[str, Any] | None) -> Body:
    """A request's body with what is not portable, which counts over the rest."""
    return body if native is None else {**body, **native}
