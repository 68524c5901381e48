"""What all of Neutron's kinds have in common: the mark at the end of the description, names, time stamps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudkit.types import Spec
from cloudkit_openstack import marks
from cloudkit_openstack.collection import RestCollection, V, with_native
from cloudkit_openstack.service import Service
from cloudkit_openstack.wire import Body, created_at, time_of

NOTHING: Any = object()
"""A field that is sent as null, where None leaves it out."""

_BEYOND_BMP = "\uffff"


def name_query(name: str) -> tuple[str, Any] | None:
    """Neutron compares names in the database, whose older character sets have no characters beyond the BMP."""
    return ("name", name) if name and max(name) <= _BEYOND_BMP else None


class NeutronCollection(RestCollection[V]):
    """Things of the network service."""

    only_owners = True
    """Whether the things are seen by their project only, so that an administrator's list can be asked for those."""

    @property
    def _service(self) -> Service:
        return self._context.network

    def _project_query(self, all_projects: bool) -> list[tuple[str, Any]]:
        narrowed = self.only_owners and self._project.is_admin and not all_projects
        return [("project_id", self._project.id)] if narrowed else []

    def _make(self, spec: Spec, **fields: Any) -> Body:
        """Create one; fields that are None are left out."""
        request = {
            "name": spec.name,
            "description": marks.to_text(spec.description, spec.mark),
            **{name: None if value is NOTHING else value for name, value in fields.items() if value is not None},
        }
        answer = self._service.post(self.path, {self.one: with_native(request, spec.native)})
        body: Body = answer[self.one]
        return body

    def _change(self, id: str, fields: Mapping[str, Any]) -> Body:
        """Change fields of one; a description keeps the mark."""
        wanted = dict(fields)
        if "description" in wanted:
            _, mark = marks.of_text(self.body(id).get("description"))
            if mark is not None:
                wanted["description"] = marks.to_text(wanted["description"], mark)
        body: Body = self._service.put(self._at(id), {self.one: wanted})[self.one]
        return body

    def _common(self, body: Body) -> dict[str, Any]:
        description, mark = marks.of_text(body.get("description"))
        return {
            "id": body["id"],
            "name": body.get("name") or "",
            "project_id": body.get("project_id") or body.get("tenant_id") or "",
            "cloud_id": self._project.cloud_id,
            "created_at": created_at(body),
            "updated_at": time_of(body.get("updated_at")),
            "description": description,
            "mark": mark,
        }
