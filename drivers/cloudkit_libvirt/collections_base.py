"""What the collections of all kinds have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from cloudkit.driver import Query
from cloudkit.errors import Conflict, InvalidState
from cloudkit.types import Resource
from cloudkit_libvirt import loss
from cloudkit_libvirt.bodies import Body, Phase, now_text, resource_fields
from cloudkit_libvirt.context import Context
from cloudkit_libvirt.errors import is_pool_full
from cloudkit_libvirt.records import Record, View, not_found

B = TypeVar("B", bound=Body)
V_co = TypeVar("V_co", bound=Resource, covariant=True)


class RecordCollection(Generic[B, V_co]):
    """Values read from records of one kind, as one project sees them."""

    body_type: type[B]

    def __init_subclass__(cls, **options: Any) -> None:
        """Have each verb of a kind survive it when libvirt goes away in the middle."""
        super().__init_subclass__(**options)
        for name in loss.VERBS & vars(cls).keys():
            setattr(cls, name, loss.surviving(vars(cls)[name]))

    def __init__(self, context: Context, project_id: str) -> None:
        """See ``context``'s records as ``project_id``."""
        self._context = context
        self._project_id = project_id

    @loss.surviving
    def list(self, query: Query) -> Iterator[V_co]:
        """All that the project sees."""
        view = self._context.records.view()
        records = [
            record
            for record in view.all(self.body_type)
            if query.all_projects or record.body.listed_for(self._project_id)
        ]
        yield from self._values(view, records)

    @loss.surviving
    def get(self, id: str) -> V_co:
        """One by its id."""
        view = self._context.records.view()
        (value,) = self._values(view, [self._visible(view, id)])
        return value

    def value(self, record: Record[B]) -> V_co:
        """The value of a record; kinds that need other records too override ``_values``."""
        raise NotImplementedError

    def _values(self, view: View, records: Sequence[Record[B]]) -> Iterator[V_co]:  # noqa: ARG002
        return map(self.value, records)

    def _sees(self, body: Body) -> bool:
        return body.visible_to(self._project_id)

    def _visible(self, view: View, id: str) -> Record[B]:
        return self._look_up(view, self.body_type, id)

    def _own(self, id: str, view: View | None = None) -> Record[B]:
        """A record of the project itself: what is only shown to it, it cannot change."""
        record = (view or self._context.records.view()).find(self.body_type, id)
        if record is None or record.body.project_id != self._project_id:
            raise not_found(self.body_type, id)
        return record

    def _look_up(self, view: View, body_type: type[Any], id: str) -> Record[Any]:
        """A record of any kind that the project sees; raises NotFound."""
        record = view.find(body_type, id)
        if record is None or not self._sees(record.body):
            raise not_found(body_type, id)
        return record

    def _ready(self, view: View, body_type: type[Any], id: str) -> Record[Any]:
        """The same, if it is neither half-made nor half-deleted; raises InvalidState."""
        record = self._look_up(view, body_type, id)
        if record.body.phase is not Phase.READY:
            raise InvalidState(
                f"the {body_type.kind.noun} {record.body.name!r} is {record.body.phase.value}",
                driver="libvirt",
                resource=id,
            )
        return record

    def _begin_delete(
        self,
        id: str,
        refuse_used: Callable[[View], None] | None = None,
        refuse: Callable[[B], None] | None = None,
    ) -> Record[B]:
        """Mark one as being deleted; ``refuse_used`` and ``refuse`` raise a Conflict.

        The first is asked again after the mark is written: who begins to use the thing at the same time sees the
        mark, or is seen.
        """

        def mark(body: B) -> B:
            if refuse is not None:
                refuse(body)
            return replace(body, phase=Phase.DELETING, updated_at=now_text())

        view = self._context.records.view()
        record = self._own(id, view)
        if refuse_used is not None:
            refuse_used(view)
        try:
            # Nobody waits for the mark, but for what comes of it.
            record = self._context.records.change(self.body_type, id, mark, view, quiet=True)
        except Exception as error:
            # A full pool has no room for the mark. It is not needed then: nothing can be made there either.
            if not is_pool_full(error):
                raise
            return record
        if refuse_used is not None:
            try:
                refuse_used(self._context.records.view())
            except Conflict:
                self._context.records.change(self.body_type, id, lambda body: replace(body, phase=Phase.READY))
                raise
        return record

    def finish(self, record: Record[B], body: B, *, quiet: bool = False) -> Record[B]:
        """A create's last step; ``quiet`` where nobody waits for it."""
        return self._context.records.replace(record, replace(body, phase=Phase.READY), quiet=quiet)

    def _fields(self, record: Record[B]) -> dict[str, Any]:
        return resource_fields(record.id, record.body, self._context.cloud_id)
