"""The Cloud itself: what it says of itself, its end, its limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloudkit import Closed, Cloud, InvalidRequest, Kind, NotFound
from cloudkit.conformance.base import Conformance, collection, each_kind, needs
from cloudkit.conformance.lab import PUBLIC_KEY, Lab
from cloudkit.driver import CAPABILITIES

VERBS: dict[str, Callable[[Cloud], object]] = {
    "list": lambda cloud: list(cloud.servers.list()),
    "get": lambda cloud: cloud.servers.get("web"),
    "find": lambda cloud: cloud.volumes.find("data"),
    "wait": lambda cloud: cloud.volumes.wait("data"),
    "create": lambda cloud: cloud.key_pairs.create("key", public_key=PUBLIC_KEY),
    "create_many": lambda cloud: cloud.key_pairs.create_many([{"name": "key", "public_key": PUBLIC_KEY}]),
    "delete": lambda cloud: cloud.images.delete("image", missing_ok=True),
    "stop": lambda cloud: cloud.servers.stop("web"),
    "for_project": lambda cloud: cloud.for_project("other"),
    "scope": lambda cloud: cloud.scope("scope"),
    "sweep": lambda cloud: cloud.sweep(),
    "native": lambda cloud: cloud.native,
}


class TestCloud(Conformance):
    def test_it_tells_what_it_is(self, lab: Lab) -> None:
        assert lab.cloud.driver_name
        assert lab.cloud.cloud_id
        assert lab.cloud.project_id
        assert lab.cloud.name

    def test_what_it_declares_are_capabilities(self, lab: Lab) -> None:
        assert lab.cloud.capabilities <= CAPABILITIES

    def test_supports_tells_what_is_declared(self, lab: Lab) -> None:
        assert {name for name in CAPABILITIES if lab.cloud.supports(name)} == lab.cloud.capabilities

    def test_supports_refuses_what_is_no_capability(self, lab: Lab) -> None:
        with pytest.raises(InvalidRequest):
            lab.cloud.supports("servers.fly")

    def test_another_project_is_the_same_cloud(self, lab: Lab) -> None:
        assert lab.other.cloud_id == lab.cloud.cloud_id
        assert lab.other.project_id == lab.target.other_project != lab.cloud.project_id
        assert lab.other.capabilities == lab.cloud.capabilities

    def test_the_drivers_own_client_is_at_hand(self, lab: Lab) -> None:
        assert lab.cloud.native is not None

    @each_kind()
    def test_raw_describes_a_thing(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        value = lab.make(cloud, kind)
        assert value.id in str(cloud.raw(value))

    def test_raw_of_what_is_gone_is_not_found(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        cloud.volumes.delete(volume)
        with pytest.raises(NotFound):
            cloud.raw(volume)

    def test_raw_takes_values_only(self, lab: Lab) -> None:
        with pytest.raises(InvalidRequest):
            lab.cloud.raw("web")  # type: ignore[arg-type]


class TestClosing(Conformance):
    @pytest.mark.parametrize("verb", VERBS)
    def test_a_closed_cloud_refuses(self, lab: Lab, verb: str) -> None:
        cloud = lab.target.connect()
        cloud.close()
        with pytest.raises(Closed):
            VERBS[verb](cloud)

    def test_closing_twice_is_right(self, lab: Lab) -> None:
        cloud = lab.target.connect()
        cloud.close()
        cloud.close()

    def test_a_with_block_closes(self, lab: Lab) -> None:
        with lab.target.connect() as cloud:
            assert list(cloud.flavors.list()) is not None
        with pytest.raises(Closed):
            list(cloud.flavors.list())

    def test_it_closes_the_views_of_other_projects(self, lab: Lab) -> None:
        cloud = lab.target.connect()
        other = cloud.for_project(lab.target.other_project)
        cloud.close()
        with pytest.raises(Closed):
            list(other.servers.list())

    def test_closing_a_view_leaves_the_cloud_open(self, lab: Lab) -> None:
        with lab.target.connect() as cloud:
            cloud.for_project(lab.target.other_project).close()
            assert list(cloud.servers.list()) is not None

    def test_the_cloud_of_a_scope_that_has_ended_refuses(self, lab: Lab) -> None:
        with lab.cloud.scope("conformance") as cloud:
            pass
        with pytest.raises(Closed):
            list(cloud.servers.list())


@needs("limits")
class TestLimits(Conformance):
    def test_volumes_are_counted(self, lab: Lab, cloud: Cloud) -> None:
        before = cloud.limits()
        volume = lab.volume(cloud, size_gib=2)
        after = cloud.limits()
        assert after["volumes"].in_use == before["volumes"].in_use + 1
        assert after["volume_gib"].in_use == before["volume_gib"].in_use + 2
        cloud.volumes.delete(volume)
        assert cloud.limits()["volumes"].in_use == before["volumes"].in_use

    def test_servers_are_counted_with_their_size(self, lab: Lab, cloud: Cloud) -> None:
        before = cloud.limits()
        lab.server(cloud)
        after = cloud.limits()
        assert after["servers"].in_use == before["servers"].in_use + 1
        assert after["vcpus"].in_use == before["vcpus"].in_use + lab.flavor.vcpus
        assert after["ram_mib"].in_use == before["ram_mib"].in_use + lab.flavor.ram_mib

    @needs("servers.resize")
    def test_a_resized_server_is_counted_with_its_new_size(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.stop(lab.server(cloud), hard=True)
        before = cloud.limits()
        larger = lab.flavor_of(cloud, vcpus=lab.flavor.vcpus + 1, ram_mib=lab.flavor.ram_mib + 64)
        cloud.servers.resize(server, larger)
        after = cloud.limits()
        assert after["vcpus"].in_use == before["vcpus"].in_use + 1
        assert after["ram_mib"].in_use == before["ram_mib"].in_use + 64

    def test_what_can_be_made_is_counted(self, lab: Lab) -> None:
        names = set(lab.cloud.limits())
        assert {"servers", "vcpus", "ram_mib", "key_pairs", "volumes", "volume_gib"} <= names
        # Glance counts no images, and flavors belong to the cloud.
        made = set(Kind) - {Kind.IMAGE, Kind.FLAVOR}
        offered = {kind.value for kind in made if {kind.value, f"{kind.value}.create"} & lab.capabilities}
        assert offered <= names

    def test_another_projects_things_are_not_counted(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        before = cloud.limits()["volumes"]
        lab.volume(other)
        assert cloud.limits()["volumes"] == before

    def test_no_limit_is_below_what_is_in_use(self, lab: Lab) -> None:
        for quota in lab.cloud.limits().values():
            assert quota.limit is None or quota.limit >= quota.in_use


@needs("all_projects")
class TestAllProjects(Conformance):
    @each_kind(Kind.SERVER, Kind.VOLUME, Kind.NETWORK, Kind.IMAGE)
    def test_things_of_all_projects_are_listed(self, lab: Lab, cloud: Cloud, other: Cloud, kind: Kind) -> None:
        mine, theirs = lab.make(cloud, kind), lab.make(other, kind)
        shown = {(value.project_id, value.id) for value in collection(cloud, kind).list(all_projects=True)}
        assert {(mine.project_id, mine.id), (theirs.project_id, theirs.id)} <= shown

    def test_filters_hold_over_all_projects(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        mine, theirs = lab.volume(cloud), lab.volume(other)
        assert list(cloud.volumes.list(all_projects=True, name=theirs.name)) == [theirs]
        assert mine not in cloud.volumes.list(all_projects=True, project_id=other.project_id)
