"""Servers beyond the state machine: what a verb leads to, and what a server shows."""

from __future__ import annotations

from typing import Any

import pytest

import cloudkit
from cloudkit import Cloud, Image, InvalidRequest, InvalidState, Network, NotFound, Server
from cloudkit.testing import Fail
from cloudkit_fake.images import empty_qcow2


def test_it_boots_for_as_long_as_it_was_told(driver: Any, cloud: Cloud, image: Image) -> None:
    began = driver.now()
    server = cloud.servers.create("web", image=image, flavor="m1.tiny", networks="none", wait=False)
    assert (server.status, server.task) == ("BUILD", "spawning")
    assert cloud.servers.console_log(server) == ""
    server = cloud.servers.wait(server)
    assert (server.status, server.task) == ("ACTIVE", None)
    assert driver.now() - began == pytest.approx(5)


def test_power_verbs_lead_where_they_say(cloud: Cloud, server: Server) -> None:
    servers = cloud.servers
    assert servers.stop(server).status == "SHUTOFF"
    assert servers.start(server).status == "ACTIVE"
    assert servers.pause(server).status == "PAUSED"
    assert servers.unpause(server).status == "ACTIVE"
    assert servers.suspend(server).status == "SUSPENDED"
    assert servers.resume(server).status == "ACTIVE"
    assert servers.reboot(server, hard=True).status == "ACTIVE"
    assert servers.shelve(server).status == "SHELVED_OFFLOADED"
    assert servers.unshelve(server).status == "ACTIVE"
    assert servers.rescue(server).status == "RESCUE"
    assert servers.unrescue(server).status == "ACTIVE"
    assert servers.stop(server, hard=True).status == "SHUTOFF"


def test_a_locked_server_refuses_verbs_until_it_is_unlocked(cloud: Cloud, server: Server) -> None:
    assert cloud.servers.lock(server).locked
    volume = cloud.volumes.create("data", size_gib=1)
    for verb in (
        lambda: cloud.servers.stop(server),
        lambda: cloud.servers.delete(server),
        lambda: cloud.volumes.attach(volume, server),
    ):
        with pytest.raises(InvalidState, match="locked"):
            verb()
    assert not cloud.servers.unlock(server).locked
    cloud.servers.delete(server)


def test_a_verb_during_a_task_is_refused_and_says_what_goes_on(driver: Any, server: Server) -> None:
    driver.compute.servers.pause(server.id)
    with pytest.raises(InvalidState, match=r"is ACTIVE \(pausing\), and must be ACTIVE"):
        driver.compute.servers.pause(server.id)


def test_a_resize_is_confirmed_or_reverted(cloud: Cloud, server: Server) -> None:
    small = cloud.flavors.get("m1.small")
    assert cloud.servers.resize(server, small, confirm=False).status == "VERIFY_RESIZE"
    assert cloud.limits()["ram_mib"].in_use == 2048
    reverted = cloud.servers.revert_resize(server)
    assert (reverted.status, reverted.flavor_id) == ("ACTIVE", server.flavor_id)
    assert cloud.limits()["ram_mib"].in_use == 512
    cloud.servers.stop(server)
    assert cloud.servers.resize(server, small).status == "SHUTOFF"
    with pytest.raises(InvalidRequest, match="smaller"):
        cloud.servers.resize(server, "m1.tiny")
    with pytest.raises(InvalidRequest, match="already"):
        cloud.servers.resize(server, small)
    with pytest.raises(NotFound):
        cloud.servers.resize(server, "m9.none")


def test_a_rebuild_changes_the_image_and_the_host_key(cloud: Cloud, server: Server) -> None:
    other = cloud.images.upload("other", data=empty_qcow2(1 << 21))
    before = cloud.servers.console_log(server)
    rebuilt = cloud.servers.rebuild(server, other)
    assert (rebuilt.status, rebuilt.image_id, rebuilt.id) == ("ACTIVE", other.id, server.id)
    assert cloud.servers.console_log(server) != before
    assert cloud.servers.console_log(server) == cloud.servers.console_log(server)
    cloud.servers.stop(server)
    assert cloud.servers.rebuild(server, other).status == "SHUTOFF"
    huge = cloud.images.upload("huge", data=empty_qcow2(2 << 30))
    with pytest.raises(InvalidRequest, match="disk of 1 GiB"):
        cloud.servers.rebuild(server, huge)
    with pytest.raises(NotFound):
        cloud.servers.rescue(server, "no-such-image")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"flavor": "m9.none"}, NotFound, "m9.none"),
        ({"key_pair": "nobody"}, NotFound, "nobody"),
        ({"image": "huge"}, InvalidRequest, "needs 2.0 GiB"),
        ({"image": "hungry"}, InvalidRequest, "needs 1024 MiB"),
        ({"image": "00000000-0000-4000-8000-000000000000"}, NotFound, "image"),
        ({"networks": ["bare"]}, InvalidRequest, "no subnet"),
    ],
)
def test_what_cannot_boot_leaves_nothing(
    cloud: Cloud, image: Image, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    cloud.images.upload("huge", data=empty_qcow2(2 << 30))
    cloud.images.upload("hungry", data=empty_qcow2(512), min_ram_mib=1024)
    cloud.networks.create("bare")
    with pytest.raises(error, match=words):
        cloud.servers.create("web", **{"image": image, "flavor": "m1.tiny", "networks": "none", **changes})
    assert list(cloud.servers.list()) == []
    assert list(cloud.ports.list()) == []


def test_an_image_that_is_not_ready_boots_nothing(driver: Any, cloud: Cloud) -> None:
    image = cloud.images.upload("slow", data=empty_qcow2(512), wait=False)
    with pytest.raises(InvalidState, match="saving"):
        cloud.servers.create("web", image=image, flavor="m1.tiny", networks="none")
    with pytest.raises(InvalidState, match="saving"):
        b"".join(driver.image.images.download(image.id))


def test_it_shows_addresses_groups_and_volumes(cloud: Cloud, image: Image, network: Network) -> None:
    group = cloud.security_groups.create("web")
    volume = cloud.volumes.create("data", size_gib=1)
    server = cloud.servers.create("web", image=image, flavor="m1.tiny", networks=[network], security_groups=[group])
    cloud.volumes.attach(volume, server)
    shown = cloud.servers.get(server)
    assert [address.ip for address in shown.addresses] == ["172.16.1.2"]
    assert shown.addresses[0].mac.startswith("fa:16:3e:")
    assert shown.security_groups == ("web",)
    assert shown.volume_ids == (volume.id,)
    assert cloud.servers.set_security_groups(server, ["default"]).security_groups == ("default",)
    with pytest.raises(cloudkit.InUse):
        cloud.images.delete(image)
    cloud.servers.delete(server)
    assert cloud.volumes.get(volume).status == "available"
    assert list(cloud.ports.list()) == []


def test_a_port_of_ones_own_outlives_its_server(cloud: Cloud, image: Image, network: Network) -> None:
    port = cloud.ports.create("mine", network=network)
    server = cloud.servers.create("web", image=image, flavor="m1.tiny", networks=[port])
    assert cloud.ports.get(port).device_id == server.id
    with pytest.raises(cloudkit.InUse, match="in use"):
        cloud.servers.create("two", image=image, flavor="m1.tiny", networks=[port])
    with pytest.raises(cloudkit.InUse, match="server"):
        cloud.ports.delete(port)
    cloud.servers.delete(server)
    assert (cloud.ports.get(port).device_id, cloud.ports.get(port).status) == ("", "DOWN")
    cloud.ports.delete(port)


def test_it_boots_from_a_volume(cloud: Cloud, image: Image) -> None:
    empty = cloud.volumes.create("empty", size_gib=1)
    with pytest.raises(InvalidRequest, match="not bootable"):
        cloud.servers.create("web", boot_volume=empty, flavor="m1.tiny", networks="none")
    volume = cloud.volumes.create("root", size_gib=3, image=image)
    server = cloud.servers.create("web", boot_volume=volume, flavor="m1.tiny", networks="none")
    attached = cloud.volumes.get(volume)
    assert (attached.status, attached.attachments[0].device_hint) == ("in-use", "/dev/vda")
    assert cloud.servers.create_image(server, "copy").virtual_size_bytes == 3 << 30
    with pytest.raises(NotFound):
        cloud.servers.rebuild(server, "no-image")


def test_update_changes_names_and_tags(cloud: Cloud, server: Server) -> None:
    updated = cloud.servers.update(server, name="db", tags=["x"])
    assert (updated.name, updated.tags) == ("db", ("x",))
    assert updated.updated_at is not None


def test_a_server_image_has_the_bytes_of_its_source(cloud: Cloud, server: Server, image: Image) -> None:
    copy = cloud.servers.create_image(server, "copy")
    assert (copy.status, copy.server_id, copy.checksum) == ("active", server.id, image.checksum)


def test_the_console_names_the_host_and_gives_the_last_lines(cloud: Cloud, image: Image) -> None:
    server = cloud.servers.create("Web Server_1!", image=image, flavor="m1.tiny", networks="none")
    assert "Hostname set to <web-server-1>" in cloud.servers.console_log(server)
    assert cloud.servers.console_log(server, lines=1) == "web-server-1 login: "


def test_a_host_key_is_known_before_the_first_login_if_asked_for(cloud: Cloud, image: Image) -> None:
    server = cloud.servers.create("web", image=image, flavor="m1.tiny", networks="none", inject_host_key=True)
    assert server.host_key is not None
    assert server.host_key.startswith("ssh-ed25519 SHA256:")


def test_a_server_without_image_or_volume_is_refused(driver: Any, cloud: Cloud) -> None:
    spec = cloudkit.types.ServerSpec(name="web", mark=cloudkit.types.Mark(request="r"), image_id=None, flavor_id="1")
    with pytest.raises(InvalidRequest, match="an image or a boot volume"):
        driver.compute.servers.create(spec)


@pytest.mark.parametrize("hard", [True, False])
def test_a_server_in_error_is_stopped_and_starts_anew(cloud: Cloud, server: Server, hard: bool) -> None:
    cloud.native.faults.add("servers.reboot", Fail("no power"))
    with pytest.raises(cloudkit.ResourceFailed):
        cloud.servers.reboot(server)
    assert cloud.servers.get(server).status == "ERROR"
    stopped = cloud.servers.stop(server, hard=hard)
    assert (stopped.status, stopped.fault) == ("SHUTOFF", None)
    assert cloud.servers.start(server).status == "ACTIVE"


def test_a_zone_that_is_not_there_is_refused(cloud: Cloud, image: Image) -> None:
    with pytest.raises(cloudkit.InvalidRequest) as raised:
        cloud.servers.create("web", image=image, flavor="m1.tiny", networks="none", availability_zone="mars")
    assert "'nova'" in raised.value.hint


def test_a_rebuilt_guest_has_a_host_key_of_its_own_again(cloud: Cloud, image: Image) -> None:
    options = {"image": image, "flavor": "m1.tiny", "networks": "none"}
    injected = cloud.servers.create("a", **options, inject_host_key=True)
    rebuilt = cloud.servers.rebuild(injected, image)
    assert rebuilt.host_key not in (None, injected.host_key)
    assert cloud.servers.rebuild(cloud.servers.create("b", **options), image).host_key is None
