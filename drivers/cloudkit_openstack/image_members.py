"""Images that are lent to single projects: Glance's members."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cloudkit.driver import Query
from cloudkit.errors import InvalidState, NotFound
from cloudkit.types import Image, ImageMember, MemberStatus, Visibility
from cloudkit_openstack.collection import not_found
from cloudkit_openstack.errors import DRIVER
from cloudkit_openstack.images import Images
from cloudkit_openstack.service import segment
from cloudkit_openstack.wire import Body

_MEMBERS = "members"


class SharedImages(Images):
    """Images, and whom they are shared with."""

    def list(self, query: Query) -> Iterator[Image]:
        """All that the project sees; what is shared with it, once it has accepted."""
        for image in super().list(query):
            if query.all_projects or not self._is_lent(image) or self._status(image.id) is MemberStatus.ACCEPTED:
                yield image

    def get(self, id: str) -> Image:
        """One by its id; what is shared with the project it sees before it has accepted."""
        image = super().get(id)
        if self._is_lent(image) and self._status(id) is None:
            raise not_found(self.kind, id)
        return image

    def members(self, id: str) -> tuple[ImageMember, ...]:
        """Whom it is shared with; a member sees itself only."""
        image = self.get(id)
        if image.visibility is not Visibility.SHARED:
            return ()
        bodies: Sequence[Body] = self._service.get(self._at(id, _MEMBERS))[_MEMBERS]
        found = tuple(map(_member, bodies))
        if image.project_id == self._project.id:
            return found
        return tuple(member for member in found if member.project_id == self._project.id)

    def add_member(self, id: str, project_id: str) -> ImageMember:
        """Share it, still to be accepted."""
        image = self._own(id) or self.get(id)
        if image.visibility is not Visibility.SHARED:
            raise InvalidState(
                f"the image {image.name!r} is {image.visibility}",
                driver=DRIVER,
                resource=image,
                hint='Update its visibility to "shared" first.',
            )
        return _member(self._service.post(self._at(id, _MEMBERS), {"member": project_id}))

    def remove_member(self, id: str, project_id: str) -> None:
        """Take it back."""
        self._own(id)
        self._service.delete(self._at(id, _MEMBERS, segment(project_id)))

    def set_member_status(self, id: str, status: MemberStatus) -> ImageMember:
        """Answer for the own project."""
        path = self._at(id, _MEMBERS, segment(self._project.id))
        return _member(self._service.put(path, {"status": status.value}))

    def _is_for_all(self, value: Image) -> bool:
        # Of those that are shared, whether with the own project is asked for.
        return super()._is_for_all(value) or value.visibility is Visibility.SHARED

    def _is_lent(self, image: Image) -> bool:
        """Whether it is one that an administrator is shown, and that may be shared with another project only."""
        return self._project.is_admin and image.project_id != self._project.id and not super()._is_for_all(image)

    def _status(self, id: str) -> MemberStatus | None:
        try:
            return _member(self._service.get(self._at(id, _MEMBERS, segment(self._project.id)))).status
        except NotFound:
            return None


def _member(body: Body) -> ImageMember:
    return ImageMember(image_id=body["image_id"], project_id=body["member_id"], status=MemberStatus(body["status"]))
