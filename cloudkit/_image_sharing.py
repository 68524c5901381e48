"""Images that are lent to single projects."""

from __future__ import annotations

from cloudkit import _checks as checks
from cloudkit._collection import Collection, Ref
from cloudkit._context import Verb
from cloudkit.driver import ImageSharing
from cloudkit.errors import InvalidRequest, InvalidState
from cloudkit.types import Image, ImageMember, MemberStatus, Visibility

_CAPABILITY = "images.sharing"


class SharedImages(Collection[Image]):
    """The verbs of both sides: the owner shares, the other project accepts."""

    def share(self, ref: Ref, project: str) -> ImageMember:
        """Let another project use an image whose visibility is "shared".

        It can use the image by its id at once; the image shows in its list when it has accepted.

        Raises:
            InvalidState: the image's visibility is another one.
            AlreadyExists: it is shared with the project.
            InvalidRequest: the project is the image's own.
        """
        with Verb(self._context, "images.share", ref):
            part: ImageSharing = self._offered(_CAPABILITY)
            project_id = checks.name(project, "project")
            image = self._get(ref)
            if project_id == image.project_id:
                raise InvalidRequest(f"the image {image.name!r} belongs to the project {project_id!r} already")
            if image.visibility is not Visibility.SHARED:
                raise InvalidState(
                    f"the image {image.name!r} is {image.visibility}, and only shared ones have members",
                    resource=image,
                    hint='Update visibility to "shared" first.',
                )
            return self._context.call(part.add_member, image.id, project_id)

    def unshare(self, ref: Ref, project: str) -> None:
        """Take it back; servers that were made from it stay.

        Raises:
            NotFound: it is not shared with the project.
        """
        with Verb(self._context, "images.unshare", ref):
            part: ImageSharing = self._offered(_CAPABILITY)
            project_id = checks.name(project, "project")
            self._act(ref, lambda id: self._context.call(part.remove_member, id, project_id))

    def members(self, ref: Ref) -> tuple[ImageMember, ...]:
        """Whom it is shared with; a project that is one of them sees only itself."""
        with Verb(self._context, "images.members", ref):
            part: ImageSharing = self._offered(_CAPABILITY)
            image = self._get(ref)
            if image.visibility is not Visibility.SHARED:
                return ()
            return self._context.call(part.members, image.id)

    def accept(self, ref: Ref) -> ImageMember:
        """Have an image in the own list that another project shares; by its id, as its name is not known here yet.

        Raises:
            NotFound: no such image is shared with this project.
        """
        return self._answer("images.accept", ref, MemberStatus.ACCEPTED)

    def reject(self, ref: Ref) -> ImageMember:
        """Not have it in the own list; it can still be used by its id. Raises as :meth:`accept`."""
        return self._answer("images.reject", ref, MemberStatus.REJECTED)

    def _answer(self, verb: str, ref: Ref, status: MemberStatus) -> ImageMember:
        with Verb(self._context, verb, ref):
            part: ImageSharing = self._offered(_CAPABILITY)
            _, member = self._act(ref, lambda id: self._context.call(part.set_member_status, id, status))
            return member
