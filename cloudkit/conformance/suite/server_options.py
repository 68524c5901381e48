"""What a server is made with, and what is refused before anything is made."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from cloudkit import Cloud, CloudError, InUse, InvalidRequest, InvalidState, Kind, NotFound, ResourceFailed
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import PUBLIC_KEY, Lab

NOBODY = "00000000-0000-4000-8000-000000000000"


USER_DATA: dict[str, str | bytes] = {
    "script": "#!/bin/sh\necho hello\n",
    "cloud-config": b"#cloud-config\n{}\n",
    "multipart": (
        b'Content-Type: multipart/mixed; boundary="=="\nMIME-Version: 1.0\n\n--==\n'
        b"Content-Type: text/x-shellscript\n\n#!/bin/sh\necho hello\n--==--\n"
    ),
    "gzip": gzip.compress(b"#!/bin/sh\necho hello\n"),
    "binary": bytes(range(256)),
}


class TestServerOptions(Conformance):
    def test_its_key_pair_is_told(self, lab: Lab, cloud: Cloud) -> None:
        key_pair = cloud.key_pairs.create(lab.name("key"), public_key=PUBLIC_KEY)
        assert lab.server(cloud, key_pair=key_pair).key_pair == key_pair.name
        assert lab.server(cloud, key_pair=key_pair.name).key_pair == key_pair.name

    def test_it_outlives_its_key_pair_and_flavor(self, lab: Lab, cloud: Cloud) -> None:
        key_pair = cloud.key_pairs.create(lab.name("key"), public_key=PUBLIC_KEY)
        flavor = lab.flavor_of(cloud)
        server = lab.server(cloud, key_pair=key_pair, flavor=flavor)
        cloud.key_pairs.delete(key_pair)
        cloud.flavors.delete(flavor)
        assert cloud.servers.get(server).flavor_id == flavor.id
        cloud.servers.stop(server, hard=True)
        assert cloud.servers.start(server).status == "ACTIVE"

    @needs("servers.create:description")
    def test_its_description_is_kept(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, description="Für den Kurs")
        assert server.description == "Für den Kurs"
        assert cloud.servers.get(server).description == "Für den Kurs"

    @needs("servers.create:metadata")
    def test_its_metadata_are_kept(self, lab: Lab, cloud: Cloud) -> None:
        metadata = {"role": "web", "a Size:0.1_b-c": '<klein> & "größer"', "empty": ""}
        server = lab.server(cloud, metadata=metadata)
        assert server.metadata == metadata
        assert cloud.servers.get(server).metadata == metadata

    @needs("servers.create:tags")
    def test_its_tags_are_kept(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, tags=["blue", "big", "blue"])
        assert sorted(server.tags) == ["big", "blue"]
        assert sorted(cloud.servers.get(server).tags) == ["big", "blue"]

    @needs("servers.create:user_data")
    @pytest.mark.parametrize("form", USER_DATA)
    def test_user_data_are_taken_and_not_shown(self, lab: Lab, cloud: Cloud, form: str) -> None:
        server = lab.server(cloud, user_data=USER_DATA[form])
        assert server.status == "ACTIVE"
        assert "hello" not in repr(server)

    @needs("servers.create:user_data")
    def test_user_data_are_limited(self, lab: Lab, cloud: Cloud) -> None:
        assert lab.server(cloud, user_data=b"#" * 49149).status == "ACTIVE"
        with pytest.raises(InvalidRequest):
            lab.server(cloud, user_data=b"#" * 49152)

    @needs("servers.create:availability_zone")
    def test_it_is_made_in_a_zone(self, lab: Lab, cloud: Cloud) -> None:
        zone = lab.server(cloud).availability_zone
        assert zone
        assert lab.server(cloud, availability_zone=zone).availability_zone == zone

    @needs("servers.create:availability_zone")
    def test_an_unknown_zone_is_refused(self, lab: Lab, cloud: Cloud) -> None:
        before = lab.inventory(Kind.SERVER, Kind.PORT, Kind.VOLUME)
        with pytest.raises(InvalidRequest):
            lab.server(cloud, availability_zone=lab.name("zone"))
        assert lab.inventory(Kind.SERVER, Kind.PORT, Kind.VOLUME) == before

    @needs("servers.create:security_group_ids", "security_groups", "networks.create", "subnets.create")
    def test_its_ports_are_in_its_security_groups(self, lab: Lab, cloud: Cloud) -> None:
        group = cloud.security_groups.create(lab.name("group"))
        server = lab.server(cloud, networks=[lab.network], security_groups=[group])
        assert server.security_groups == (group.name,)
        (port,) = cloud.ports.list(device_id=server.id)
        assert port.security_group_ids == (group.id,)

    @needs("security_groups", "networks.create", "subnets.create")
    def test_without_a_word_it_is_in_the_group_default(self, lab: Lab, cloud: Cloud) -> None:
        assert lab.server(cloud, networks=[lab.network]).security_groups == ("default",)

    @needs("servers.security_groups", "security_groups", "networks.create", "subnets.create")
    def test_its_security_groups_are_exchanged(self, lab: Lab, cloud: Cloud) -> None:
        one, two = (cloud.security_groups.create(lab.name("group")) for _ in range(2))
        server = lab.server(cloud, networks=[lab.network])
        assert set(cloud.servers.set_security_groups(server, [one, two.name]).security_groups) == {one.name, two.name}
        assert cloud.servers.set_security_groups(server, []).security_groups == ()

    @needs("servers.create:server_group_id", "server_groups")
    def test_it_is_in_its_server_group(self, lab: Lab, cloud: Cloud) -> None:
        group = cloud.server_groups.create(lab.name("group"), policy="soft-anti-affinity")
        server = lab.server(cloud, server_group=group)
        assert cloud.server_groups.get(group).server_ids == (server.id,)
        cloud.servers.delete(server)
        # Nova may answer that the server is gone a moment before its group has lost it.
        assert lab.soon(lambda: not cloud.server_groups.get(group).server_ids)

    @needs("servers.create:server_group_id", "server_groups")
    @pytest.mark.parametrize("policy", ["affinity", "soft-affinity", "soft-anti-affinity"])
    def test_a_second_server_joins_it(self, lab: Lab, cloud: Cloud, policy: str) -> None:
        group = cloud.server_groups.create(lab.name("group"), policy=policy)
        servers = [lab.server(cloud, server_group=group) for _ in range(2)]
        assert sorted(cloud.server_groups.get(group).server_ids) == sorted(server.id for server in servers)

    @needs("servers.create:server_group_id", "server_groups")
    def test_without_another_host_none_is_kept_apart(self, lab: Lab, cloud: Cloud) -> None:
        group = cloud.server_groups.create(lab.name("group"), policy="anti-affinity")
        members = {lab.server(cloud, server_group=group).id}
        refused: list[str | None] = []
        try:
            members.add(lab.server(cloud, server_group=group).id)
        except ResourceFailed as error:
            refused.append(error.fault)
        assert not refused or "No valid host was found" in str(refused)
        assert set(cloud.server_groups.get(group).server_ids) == members
        # What the first one leaves is free for the next.
        for id in members:
            cloud.servers.delete(id)
        assert lab.server(cloud, server_group=group).status == "ACTIVE"

    @needs("servers.create:server_group_id", "server_groups")
    def test_a_server_group_that_is_not_there_is_not_found(self, lab: Lab, cloud: Cloud, other: Cloud) -> None:
        theirs = other.server_groups.create(lab.name("group"), policy="affinity")
        for group in (NOBODY, theirs.id):
            with pytest.raises(NotFound):
                lab.server(cloud, server_group=group)

    @needs("servers.create:boot_volume_id", "volumes.create:image_id")
    def test_it_boots_from_a_volume(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud, image=lab.image)
        server = lab.server(cloud, image=None, boot_volume=volume)
        assert server.status == "ACTIVE"
        assert server.image_id is None
        assert server.volume_ids == (volume.id,)
        assert cloud.volumes.get(volume).status == "in-use"
        cloud.servers.delete(server)
        assert cloud.volumes.wait(volume).status == "available"

    @needs("servers.create:boot_volume_id", "volumes.create:image_id")
    def test_its_boot_volume_is_taken_as_long_as_it_lives(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud, image=lab.image)
        server = cloud.servers.stop(lab.server(cloud, image=None, boot_volume=volume), hard=True)
        with pytest.raises(InvalidState):
            lab.server(cloud, image=None, boot_volume=volume)
        with pytest.raises(InUse):
            cloud.volumes.delete(volume)
        if cloud.supports("volumes.attach"):
            with pytest.raises(InvalidState):
                cloud.volumes.detach(volume, server)
        assert cloud.servers.start(server).volume_ids == (volume.id,)

    @needs("servers.create:boot_volume_id", "volumes.create:image_id", "servers.resize")
    def test_its_boot_volume_outlives_a_resize(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud, image=lab.image)
        server = cloud.servers.stop(lab.server(cloud, image=None, boot_volume=volume), hard=True)
        larger = lab.flavor_of(cloud, ram_mib=lab.target.ram_mib + 64)
        cloud.servers.resize(server, larger, confirm=False)
        assert cloud.servers.revert_resize(server).flavor_id == server.flavor_id
        assert cloud.servers.resize(server, larger).volume_ids == (volume.id,)

    @needs("servers.create:boot_volume_id", "volumes.create:image_id", "servers.rescue")
    def test_a_server_that_boots_from_a_volume_is_not_rescued(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, image=None, boot_volume=lab.volume(cloud, image=lab.image))
        with pytest.raises(InvalidRequest):
            cloud.servers.rescue(server)
        assert cloud.servers.get(server).status == "ACTIVE"

    @needs("servers.create:boot_volume_id", "volumes.create:image_id", "servers.ssh")
    def test_what_its_guest_writes_is_on_the_volume(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud, image=lab.login_image)
        options = {"image": None, "boot_volume": volume, "networks": [lab.network], "key_pair": lab.key_pair}
        server = lab.server(cloud, **options)
        with lab.shell(server) as shell:
            shell.run("echo on the volume >marker; sync", check=True)
        cloud.servers.delete(server)
        cloud.volumes.wait(volume, "available")
        with lab.shell(lab.server(cloud, **options)) as shell:
            assert shell.run("cat marker").stdout == "on the volume\n"

    @needs("servers.create:boot_volume_id")
    def test_an_empty_volume_does_not_boot(self, lab: Lab, cloud: Cloud) -> None:
        volume = lab.volume(cloud)
        with pytest.raises(InvalidRequest):
            lab.server(cloud, image=None, boot_volume=volume)
        assert cloud.volumes.get(volume).status == "available"

    @needs("servers.create:inject_host_key")
    def test_an_injected_host_key_is_told(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, inject_host_key=True)
        assert server.host_key is not None
        kind, _, fingerprint = server.host_key.partition(" ")
        assert kind.startswith("ssh-")
        assert fingerprint.startswith("SHA256:")
        assert lab.server(cloud, inject_host_key=True).host_key != server.host_key

    @needs("servers.create:inject_host_key")
    def test_no_host_key_is_injected_where_none_is_wanted(self, lab: Lab, cloud: Cloud) -> None:
        assert lab.server(cloud, inject_host_key=False).host_key is None

    def test_a_disk_of_no_size_is_as_large_as_the_image(self, lab: Lab, cloud: Cloud) -> None:
        assert lab.server(cloud, flavor=lab.flavor_of(cloud, disk_gib=0)).status == "ACTIVE"


@needs("servers.update")
class TestServerUpdate(Conformance):
    def test_name_and_description_are_changed(self, lab: Lab, cloud: Cloud) -> None:
        server, name = lab.server(cloud), lab.name()
        updated = cloud.servers.update(server, name=name, description="new")
        assert (updated.id, updated.name, updated.description) == (server.id, name, "new")
        assert cloud.servers.find(server.name) is None
        assert cloud.servers.get(name).description == "new"

    @needs("servers.create:metadata", "servers.create:tags")
    def test_metadata_and_tags_are_replaced_as_a_whole(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, metadata={"role": "web", "old": "1"}, tags=["blue"])
        updated = cloud.servers.update(server, metadata={"role": "database"}, tags=["green"])
        assert updated.metadata == {"role": "database"}
        assert updated.tags == ("green",)
        emptied = cloud.servers.update(server, metadata={}, tags=[])
        assert emptied.metadata == {}
        assert emptied.tags == ()

    def test_its_scope_still_knows_it(self, lab: Lab) -> None:
        with lab.cloud.scope("conformance") as cloud:
            server = lab.server(cloud)
            cloud.servers.update(server, name=lab.name(), description="", metadata={})
        with pytest.raises(NotFound):
            lab.cloud.servers.get(server.id)

    @pytest.mark.parametrize("changes", [{}, {"flavor_id": "1"}, {"name": ""}, {"metadata": {"a": 1}}], ids=str)
    def test_what_cannot_be_changed_is_refused(self, lab: Lab, cloud: Cloud, changes: dict[str, Any]) -> None:
        server = lab.server(cloud)
        with pytest.raises(InvalidRequest):
            cloud.servers.update(server, **changes)
        assert cloud.servers.get(server) == server


BAD_ARGUMENTS: dict[str, tuple[dict[str, Any], type[CloudError]]] = {
    "no image": ({"image": None}, InvalidRequest),
    "image and boot volume": ({"boot_volume": NOBODY}, InvalidRequest),
    "unknown image": ({"image": "no-such-image"}, NotFound),
    "unknown image's id": ({"image": NOBODY}, NotFound),
    "unknown flavor": ({"flavor": "no-such-flavor"}, NotFound),
    "unknown flavor's id": ({"flavor": NOBODY}, NotFound),
    "no flavor": ({"flavor": None}, InvalidRequest),
    "unknown key pair": ({"key_pair": "no-such-key"}, NotFound),
    "unknown network": ({"networks": ["no-such-network"]}, NotFound),
    "unknown network's id": ({"networks": [NOBODY]}, NotFound),
    "networks as text": ({"networks": "private"}, InvalidRequest),
    "metadata that are no text": ({"metadata": {"a": 1}}, InvalidRequest),
    "metadata with an odd key": ({"metadata": {"Größe": "1"}}, InvalidRequest),
    "metadata with a long value": ({"metadata": {"a": "x" * 256}}, InvalidRequest),
    "cloudkit's own metadata": ({"metadata": {"cloudkit:scope": "mine"}}, InvalidRequest),
    "tags as text": ({"tags": "blue"}, InvalidRequest),
    "description that is no text": ({"description": 7}, InvalidRequest),
    "native that is no mapping": ({"native": ["x"]}, InvalidRequest),
    "user data that are neither text nor bytes": ({"user_data": 7}, InvalidRequest),
    "user data that are no text": ({"user_data": "\ud800"}, InvalidRequest),
    "negative time": ({"timeout_s": -1}, InvalidRequest),
    "time that is no number": ({"timeout_s": "5"}, InvalidRequest),
    "unknown on_failure": ({"on_failure": "ignore"}, InvalidRequest),
}


class TestBadServers(Conformance):
    @pytest.mark.parametrize("what", BAD_ARGUMENTS)
    def test_a_bad_argument_is_refused_and_nothing_is_made(self, lab: Lab, what: str) -> None:
        assert lab.image
        assert lab.flavor
        if lab.cloud.supports("servers.create:security_group_ids"):
            assert lab.login_group
        arguments, expected = BAD_ARGUMENTS[what]
        before = lab.inventory(Kind.SERVER, Kind.PORT, Kind.VOLUME)
        with pytest.raises(expected) as raised:
            lab.server(lab.cloud, **arguments)
        assert raised.value.driver == lab.cloud.driver_name
        assert raised.value.operation == "servers.create"
        assert lab.inventory(Kind.SERVER, Kind.PORT, Kind.VOLUME) == before

    @needs("images.create")
    def test_a_flavor_with_too_small_a_disk_is_refused(self, lab: Lab, cloud: Cloud) -> None:
        image = cloud.images.upload(lab.name(), data=bytes(4096), min_disk_gib=lab.target.disk_gib + 1)
        before = lab.inventory(Kind.SERVER, Kind.PORT, Kind.VOLUME)
        with pytest.raises(InvalidRequest):
            lab.server(cloud, image=image)
        assert lab.inventory(Kind.SERVER, Kind.PORT, Kind.VOLUME) == before

    @needs("images.create")
    def test_a_flavor_with_too_little_memory_is_refused(self, lab: Lab, cloud: Cloud) -> None:
        image = cloud.images.upload(lab.name(), data=bytes(4096), min_ram_mib=lab.target.ram_mib + 1)
        before = lab.inventory(Kind.SERVER, Kind.PORT, Kind.VOLUME)
        with pytest.raises(InvalidRequest):
            lab.server(cloud, image=image)
        assert lab.inventory(Kind.SERVER, Kind.PORT, Kind.VOLUME) == before


@needs("servers.console_log")
class TestConsole(Conformance):
    def test_it_is_text(self, lab: Lab, cloud: Cloud) -> None:
        assert isinstance(cloud.servers.console_log(lab.server(cloud)), str)

    @needs("servers.ssh")
    def test_a_booted_guest_has_printed(self, lab: Lab) -> None:
        assert lab.cloud.servers.console_log(lab.booted()).strip()

    @needs("servers.ssh")
    def test_lines_are_the_last_ones(self, lab: Lab) -> None:
        server = lab.booted()
        lines = lab.cloud.servers.console_log(server).splitlines()
        for count in (1, 2):
            last = lab.cloud.servers.console_log(server, lines=count).splitlines()
            # It may print on in between.
            assert len(last) == min(count, len(lines))
        assert len(lab.cloud.servers.console_log(server, lines=100000).splitlines()) >= len(lines)

    @pytest.mark.parametrize("lines", [0, -1, 1.5, "2", True])
    def test_what_is_no_number_of_lines_is_refused(self, cloud: Cloud, lines: Any) -> None:
        with pytest.raises(InvalidRequest):
            cloud.servers.console_log(NOBODY, lines=lines)
