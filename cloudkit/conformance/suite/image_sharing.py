"""Images that are lent to another project: usable at once, listed once accepted, gone when taken back."""

from __future__ import annotations

from typing import Any

import pytest

from cloudkit import AlreadyExists, Cloud, CloudError, Image, InvalidRequest, InvalidState, NotFound
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab

CONTENT = bytes(4096)


def listed(cloud: Cloud) -> set[str]:
    return {image.id for image in cloud.images.list()}


@needs("images.create", "images.sharing")
class TestImageSharing(Conformance):
    @pytest.fixture
    def image(self, lab: Lab, cloud: Cloud) -> Image:
        return cloud.images.upload(lab.name("image"), data=CONTENT, visibility="shared")

    def test_nobody_else_sees_it_before(self, cloud: Cloud, other: Cloud, image: Image) -> None:
        assert image.visibility == "shared"
        assert cloud.images.members(image) == ()
        assert image.id not in listed(other)
        with pytest.raises(NotFound):
            other.images.get(image.id)

    def test_it_is_usable_at_once_and_listed_once_accepted(self, cloud: Cloud, other: Cloud, image: Image) -> None:
        member = cloud.images.share(image, other.project_id)
        assert (member.image_id, member.project_id, member.status) == (image.id, other.project_id, "pending")
        assert cloud.images.members(image) == (member,)
        assert other.images.get(image.id).name == image.name
        assert image.id not in listed(other)
        assert other.images.accept(image.id).status == "accepted"
        assert image.id in listed(other)
        assert [each.status for each in cloud.images.members(image.name)] == ["accepted"]
        assert other.images.reject(image.id).status == "rejected"
        assert image.id not in listed(other)
        assert other.images.get(image.id).name == image.name

    def test_a_server_of_the_other_project_boots_it_by_its_id(
        self, lab: Lab, cloud: Cloud, other: Cloud, image: Image
    ) -> None:
        cloud.images.share(image, other.project_id)
        server = lab.server(other, image=image.id)
        assert server.image_id == image.id
        other.servers.delete(server)

    def test_a_member_sees_only_itself(self, cloud: Cloud, other: Cloud, image: Image) -> None:
        mine = cloud.images.share(image, other.project_id)
        cloud.images.share(image, "a-third-project")
        assert other.images.members(image.id) == (mine,)
        assert len(cloud.images.members(image)) == 2

    def test_taken_back_it_is_gone(self, lab: Lab, cloud: Cloud, other: Cloud, image: Image) -> None:
        cloud.images.share(image, other.project_id)
        other.images.accept(image.id)
        cloud.images.unshare(image, other.project_id)
        assert cloud.images.members(image) == ()
        assert image.id not in listed(other)
        with pytest.raises(NotFound):
            other.images.get(image.id)
        with pytest.raises(NotFound):
            lab.server(other, image=image.id)
        with pytest.raises(NotFound):
            other.images.accept(image.id)
        with pytest.raises(NotFound):
            cloud.images.unshare(image, other.project_id)

    @needs("images.update")
    def test_made_private_it_is_shared_no_more(self, cloud: Cloud, other: Cloud, image: Image) -> None:
        cloud.images.share(image, other.project_id)
        assert cloud.images.update(image, visibility="private").visibility == "private"
        with pytest.raises(NotFound):
            other.images.get(image.id)
        assert cloud.images.members(image) == ()

    def test_sharing_twice_is_refused(self, cloud: Cloud, other: Cloud, image: Image) -> None:
        member = cloud.images.share(image, other.project_id)
        with pytest.raises(AlreadyExists):
            cloud.images.share(image, other.project_id)
        assert cloud.images.members(image) == (member,)

    def test_a_private_one_cannot_be_shared(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        image = cloud.images.upload(lab.name("image"), data=CONTENT)
        with pytest.raises(InvalidState) as raised:
            cloud.images.share(image, other.project_id)
        assert "shared" in raised.value.hint
        assert cloud.images.members(image) == ()

    def test_a_member_cannot_share_it_further_or_delete_it(self, cloud: Cloud, other: Cloud, image: Image) -> None:
        member = cloud.images.share(image, other.project_id)
        for attempt in (
            lambda: other.images.share(image.id, "a-third-project"),
            lambda: other.images.unshare(image.id, other.project_id),
            lambda: other.images.delete(image.id),
        ):
            with pytest.raises(CloudError):
                attempt()
        assert cloud.images.members(image) == (member,)

    def test_only_a_member_answers(self, cloud: Cloud, other: Cloud, image: Image) -> None:
        for project in (cloud, other):
            with pytest.raises(CloudError):
                project.images.accept(image.id)
        assert cloud.images.members(image) == ()

    @pytest.mark.parametrize("project", ["", 7, None], ids=repr)
    def test_what_is_no_project_is_refused(self, cloud: Cloud, image: Image, project: Any) -> None:
        with pytest.raises(InvalidRequest):
            cloud.images.share(image, project)
        assert cloud.images.members(image) == ()

    def test_ones_own_project_is_refused(self, cloud: Cloud, image: Image) -> None:
        with pytest.raises(InvalidRequest):
            cloud.images.share(image, cloud.project_id)
        assert cloud.images.members(image) == ()
