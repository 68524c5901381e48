"""Images that are lent to single projects: their members are in the image's record."""

from __future__ import annotations

from dataclasses import replace

from cloudkit.errors import AlreadyExists, InvalidState, NotFound
from cloudkit.types import FrozenMap, Image, ImageMember, MemberStatus, Visibility
from cloudkit_libvirt.bodies import ImageBody
from cloudkit_libvirt.collections_base import RecordCollection


class SharedImages(RecordCollection[ImageBody, Image]):
    """Images and their members."""

    def add_member(self, id: str, project_id: str) -> ImageMember:
        """Share it."""
        self._own(id)

        def add(body: ImageBody) -> ImageBody:
            if body.visibility is not Visibility.SHARED:
                raise InvalidState(f"the image {body.name!r} is {body.visibility}", driver="libvirt", resource=id)
            if project_id in body.members:
                raise AlreadyExists(
                    f"the image {body.name!r} is shared with {project_id!r} already", driver="libvirt", resource=id
                )
            return _with_member(body, project_id, MemberStatus.PENDING)

        self._context.records.change(ImageBody, id, add)
        return ImageMember(image_id=id, project_id=project_id, status=MemberStatus.PENDING)

    def remove_member(self, id: str, project_id: str) -> None:
        """Take it back."""
        self._own(id)

        def remove(body: ImageBody) -> ImageBody:
            if project_id not in body.members:
                raise NotFound(f"it is not shared with {project_id!r}", driver="libvirt", resource=id)
            return replace(
                body, members=FrozenMap({key: body.members[key] for key in body.members if key != project_id})
            )

        self._context.records.change(ImageBody, id, remove)

    def set_member_status(self, id: str, status: MemberStatus) -> ImageMember:
        """Accept or reject."""
        self._visible(self._context.records.view(), id)

        def answer(body: ImageBody) -> ImageBody:
            if self._project_id not in body.members:
                raise NotFound("it is not shared with this project", driver="libvirt", resource=id)
            return _with_member(body, self._project_id, status)

        self._context.records.change(ImageBody, id, answer)
        return ImageMember(image_id=id, project_id=self._project_id, status=status)

    def members(self, id: str) -> tuple[ImageMember, ...]:
        """All, or for a member itself."""
        body = self._visible(self._context.records.view(), id).body
        owned = body.project_id == self._project_id
        return tuple(
            ImageMember(image_id=id, project_id=project_id, status=MemberStatus(status))
            for project_id, status in body.members.items()
            if owned or project_id == self._project_id
        )


def _with_member(body: ImageBody, project_id: str, status: MemberStatus) -> ImageBody:
    return replace(body, members=FrozenMap({**body.members, project_id: status.value}))
