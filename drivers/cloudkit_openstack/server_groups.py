"""Server groups: Nova's. They have nothing to write a mark in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cloudkit.errors import InvalidRequest
from cloudkit.types import Kind, ServerGroup, ServerGroupSpec
from cloudkit_openstack.collection import RestCollection, with_native
from cloudkit_openstack.errors import DRIVER
from cloudkit_openstack.service import PAGE, Service
from cloudkit_openstack.wire import NO_TIME, Body

READING = "2.64"
"""The first with one policy in place of a list."""

SMALLEST_PAGE = 100
"""A shorter page is the last one: nobody lets Nova give fewer at a time, and it tells of no next one."""


class ServerGroups(RestCollection[ServerGroup]):
    """Servers to be placed together or apart."""

    kind = Kind.SERVER_GROUP
    path = "/os-server-groups"
    one, many = "server_group", "server_groups"
    version = READING

    @property
    def _service(self) -> Service:
        return self._context.compute

    def _project_query(self, all_projects: bool) -> list[tuple[str, Any]]:
        return [("all_projects", "true")] if all_projects and self._project.is_admin else []

    def create(self, spec: ServerGroupSpec) -> ServerGroup:
        """Make one."""
        if spec.description:
            raise InvalidRequest("description: OpenStack's server groups have none", driver=DRIVER)
        request = with_native({"name": spec.name, "policy": spec.policy}, spec.native)
        return self._one_value(self._service.post(self.path, {"server_group": request}, READING)["server_group"])

    def _pages(self, query: Sequence[tuple[str, Any]]) -> Iterator[Sequence[Body]]:
        # By offset: Nova has no marker here.
        offset = 0
        while True:
            at = [*query, ("limit", PAGE), ("offset", offset)]
            page: Sequence[Body] = self._service.get(self.path, at, READING)[self.many]
            yield page
            if len(page) < SMALLEST_PAGE:
                return
            offset += len(page)

    def _values(self, bodies: Sequence[Body]) -> Iterable[ServerGroup]:
        return map(self._value, bodies)

    def _value(self, body: Body) -> ServerGroup:
        return ServerGroup(
            id=body["id"],
            name=body["name"],
            project_id=body.get("project_id") or self._project.id,
            cloud_id=self._project.cloud_id,
            created_at=NO_TIME,
            policy=body.get("policy") or next(iter(body.get("policies") or ("",))),
            server_ids=tuple(body.get("members") or ()),
        )
