"""Flavors: Nova's, made by administrators."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cloudkit.errors import InvalidRequest, NotFound, PermissionDenied
from cloudkit.types import Flavor, FlavorSpec, FrozenMap, Kind, Visibility
from cloudkit_openstack import marks
from cloudkit_openstack.collection import RestCollection, not_found, with_native
from cloudkit_openstack.errors import DRIVER
from cloudkit_openstack.service import Service
from cloudkit_openstack.wire import NO_TIME, Body

READING = "2.61"
"""The first to show extra specs; 2.55 brought the description."""
MAX_FLAVOR_DESCRIPTION = 65535


class Flavors(RestCollection[Flavor]):
    """Sizes of servers."""

    kind = Kind.FLAVOR
    path, list_path = "/flavors", "/flavors/detail"
    one, many = "flavor", "flavors"
    version = READING

    @property
    def _service(self) -> Service:
        return self._context.compute

    def _project_query(self, all_projects: bool) -> list[tuple[str, Any]]:
        # Without it Nova lists public flavors, and the private ones that the project was given.
        return [("is_public", "none")] if all_projects and self._project.is_admin else []

    def get(self, id: str) -> Flavor:
        """One by its id; an administrator is shown other projects' private ones too."""
        flavor = super().get(id)
        private = flavor.visibility is Visibility.PRIVATE and self._project.is_admin
        if private and self._project.id not in self._projects(id):
            raise not_found(self.kind, id)
        return flavor

    def create(self, spec: FlavorSpec) -> Flavor:
        """Make one; extra specs, and the project that may use a private one, take a request each."""
        if spec.visibility not in (Visibility.PUBLIC, Visibility.PRIVATE):
            raise InvalidRequest(f"visibility: a flavor is public or private, not {spec.visibility}", driver=DRIVER)
        request: Body = {
            # Chosen here, so that a second request of the same cannot make another one.
            "id": spec.mark.request,
            "name": spec.name,
            "vcpus": spec.vcpus,
            "ram": spec.ram_mib,
            "disk": spec.disk_gib,
            "os-flavor-access:is_public": spec.visibility is Visibility.PUBLIC,
            "description": marks.to_text(spec.description, spec.mark, MAX_FLAVOR_DESCRIPTION),
        }
        body: Body = self._service.post(self.path, {"flavor": with_native(request, spec.native)}, READING)["flavor"]
        try:
            return self._completed(body, spec)
        except BaseException:
            self._service.delete(self._at(body["id"]))
            raise

    def _completed(self, body: Body, spec: FlavorSpec) -> Flavor:
        if spec.extra_specs:
            extra = self._service.post(
                self._at(body["id"], "os-extra_specs"), {"extra_specs": dict(spec.extra_specs)}
            )
            body = {**body, "extra_specs": extra["extra_specs"]}
        if spec.visibility is Visibility.PRIVATE:
            access = {"addTenantAccess": {"tenant": self._project.id}}
            self._service.post(self._at(body["id"], "action"), access)
        return self._one_value(body)

    def _projects(self, id: str) -> set[str]:
        try:
            access: Sequence[Body] = self._service.get(self._at(id, "os-flavor-access"))["flavor_access"]
        except (NotFound, PermissionDenied):
            return set()
        return {each["tenant_id"] for each in access}

    def _values(self, bodies: Sequence[Body]) -> Iterable[Flavor]:
        return map(self._value, bodies)

    def _value(self, body: Body) -> Flavor:
        description, mark = marks.of_text(body.get("description"))
        return Flavor(
            id=body["id"],
            name=body["name"],
            project_id=self._project.id,
            cloud_id=self._project.cloud_id,
            created_at=NO_TIME,
            description=description,
            mark=mark,
            vcpus=body["vcpus"],
            ram_mib=body["ram"],
            disk_gib=body["disk"],
            visibility=Visibility.PUBLIC if body.get("os-flavor-access:is_public", True) else Visibility.PRIVATE,
            extra_specs=FrozenMap(body.get("extra_specs")),
        )
