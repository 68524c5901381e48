"""Names are exact, whatever is in them."""

from __future__ import annotations

import uuid

import pytest

from cloudkit import Cloud, InvalidRequest, Kind, NotFound
from cloudkit.conformance.base import NAMED_BY_THE_CLOUD, Conformance, collection, each_kind, needs
from cloudkit.conformance.lab import Lab

ODD_NAMES = {
    "regular expression": "^.*$",
    "SQL wildcard": "%_",
    "glob": "web*?[a]",
    "path": "../../etc/passwd",
    "query": "name=x&limit=1#top",
    "quotes": 'it\'s "quoted" `so`',
    "markup": "<b>&amp;</b>",
    "spaces": "two  words",
    "umlauts": "Größe",
    "other scripts": "сервер 服务器",
    "combined characters": "e\u0301",
    "longest": "x" * 255,
    "longest in three bytes": "服" * 255,
    "digits": "42",
    "dash": "-rf",
    "backslash": "a\\b",
}


@pytest.mark.parametrize("odd", ODD_NAMES)
class TestOddNames(Conformance):
    def test_a_volume_has_it(self, lab: Lab, cloud: Cloud, odd: str) -> None:
        name = ODD_NAMES[odd]
        volume = lab.volume(cloud, name=name)
        assert volume.name == name
        assert cloud.volumes.get(name).id == volume.id
        assert [each.id for each in cloud.volumes.list(name=name)] == [volume.id]
        cloud.volumes.delete(name)
        assert cloud.volumes.find(name) is None

    def test_a_server_has_it(self, lab: Lab, cloud: Cloud, odd: str) -> None:
        name = ODD_NAMES[odd]
        server = lab.server(cloud, name=name)
        assert server.name == name
        assert cloud.servers.get(name).id == server.id

    @needs("networks.create")
    def test_a_network_has_it(self, cloud: Cloud, odd: str) -> None:
        network = cloud.networks.create(ODD_NAMES[odd])
        assert cloud.networks.get(ODD_NAMES[odd]).id == network.id


class TestRareNames(Conformance):
    @each_kind(but=NAMED_BY_THE_CLOUD)
    def test_characters_that_need_four_bytes_are_kept_or_refused(self, lab: Lab, cloud: Cloud, kind: Kind) -> None:
        # Most of OpenStack's databases hold none.
        name = f"{lab.name()} 🚀"
        things = collection(cloud, kind)
        assert things.find(name) is None
        try:
            value = lab.make(cloud, kind, name)
        except InvalidRequest:
            assert things.find(name) is None
        else:
            assert things.get(name) == things.get(value)
            assert value.name == name


class TestReferences(Conformance):
    def test_a_prefix_finds_nothing(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        assert cloud.volumes.find(volume.name[:-1]) is None
        with pytest.raises(NotFound):
            cloud.volumes.get(volume.name[1:])

    def test_of_two_names_one_may_begin_the_other(self, lab: Lab, cloud: Cloud) -> None:
        short, long = (lab.volume(cloud, name=name) for name in ("data", "data-2"))
        assert cloud.volumes.get("data").id == short.id
        assert cloud.volumes.get("data-2").id == long.id

    def test_case_matters(self, lab: Lab, cloud: Cloud) -> None:
        lower, upper = (lab.volume(cloud, name=name) for name in ("web-data", "Web-Data"))
        assert cloud.volumes.get("web-data").id == lower.id
        assert cloud.volumes.get("Web-Data").id == upper.id

    def test_a_name_may_look_like_an_id(self, lab: Lab, cloud: Cloud) -> None:
        name = str(uuid.uuid4())
        volume = lab.volume(cloud, name=name)
        assert cloud.volumes.get(name).id == volume.id
        cloud.volumes.delete(name)
        assert cloud.volumes.find(name) is None

    def test_an_id_goes_before_the_same_name(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        lab.volume(cloud, name=volume.id)
        assert cloud.volumes.get(volume.id).name == volume.name

    def test_find_looks_for_names_only(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        assert cloud.volumes.find(volume.id) is None
        with pytest.raises(InvalidRequest):
            cloud.volumes.find(volume)  # type: ignore[arg-type]

    def test_an_old_value_finds_the_thing_as_it_is_now(self, lab: Lab, cloud: Cloud) -> None:
        old = lab.server(cloud)
        cloud.servers.stop(old, hard=True)
        assert old.status == "ACTIVE"
        assert cloud.servers.get(old).status == "SHUTOFF"

    def test_arguments_are_given_by_value_id_or_name(self, lab: Lab, cloud: Cloud) -> None:
        for image, flavor in (
            (lab.image, lab.flavor),
            (lab.image.id, lab.flavor.id),
            (lab.image.name, lab.flavor.name),
        ):
            server = lab.server(cloud, image=image, flavor=flavor)
            assert (server.image_id, server.flavor_id) == (lab.image.id, lab.flavor.id)

    def test_a_verb_takes_value_id_and_name(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        assert cloud.servers.stop(server, hard=True).status == "SHUTOFF"
        assert cloud.servers.start(server.id).status == "ACTIVE"
        assert cloud.servers.stop(server.name, hard=True).status == "SHUTOFF"
