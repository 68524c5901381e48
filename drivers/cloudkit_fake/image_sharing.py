"""Who sees which images: their owners, everybody, or those that they are shared with."""

from __future__ import annotations

from typing import Any

from cloudkit.errors import AlreadyExists, InvalidState, NotFound
from cloudkit.types import Image, ImageMember, Kind, MemberStatus, Visibility
from cloudkit_fake.cloud import request
from cloudkit_fake.collections import Updatable

_USABLE_BY_ALL = (Visibility.PUBLIC, Visibility.COMMUNITY)


class SharedImages(Updatable[Image]):
    """Images and their members."""

    kind = Kind.IMAGE

    @request
    def add_member(self, id: str, project_id: str) -> ImageMember:
        """Share it."""
        image = self._own(id)
        if image.visibility is not Visibility.SHARED:
            raise InvalidState(f"the image {image.name!r} is {image.visibility}", driver="fake", resource=id)
        if project_id in self._members(id):
            raise AlreadyExists(
                f"the image {image.name!r} is shared with {project_id!r} already", driver="fake", resource=id
            )
        return self._set_member(id, project_id, MemberStatus.PENDING)

    @request
    def remove_member(self, id: str, project_id: str) -> None:
        """Take it back."""
        self._own(id)
        if project_id not in self._members(id):
            raise NotFound(f"it is not shared with {project_id!r}", driver="fake", resource=id)
        del self._state.secrets[id]["members"][project_id]

    @request
    def set_member_status(self, id: str, status: MemberStatus) -> ImageMember:
        """Accept or reject."""
        self.seen(id)
        if self._project_id not in self._members(id):
            raise NotFound("it is not shared with this project", driver="fake", resource=id)
        return self._set_member(id, self._project_id, status)

    @request
    def members(self, id: str) -> tuple[ImageMember, ...]:
        """All, or for a member itself."""
        owned = self.seen(id).project_id == self._project_id
        return tuple(
            ImageMember(image_id=id, project_id=project_id, status=MemberStatus(status))
            for project_id, status in self._members(id).items()
            if owned or project_id == self._project_id
        )

    def sees(self, value: Any) -> bool:
        if value.project_id == self._project_id or value.visibility in _USABLE_BY_ALL:
            return True
        return value.visibility is Visibility.SHARED and self._project_id in self._members(value.id)

    def lists(self, value: Any) -> bool:
        if value.visibility is Visibility.SHARED and value.project_id != self._project_id:
            return self._members(value.id).get(self._project_id) == MemberStatus.ACCEPTED
        return value.project_id == self._project_id or value.visibility is Visibility.PUBLIC

    def _members(self, id: str) -> dict[str, str]:
        """Project → its answer."""
        members: dict[str, str] = self._state.secrets.get(id, {}).get("members", {})
        return members

    def _set_member(self, id: str, project_id: str, status: MemberStatus) -> ImageMember:
        self._state.secrets.setdefault(id, {}).setdefault("members", {})[project_id] = status.value
        return ImageMember(image_id=id, project_id=project_id, status=status)
