"""The life of a server: statuses as Nova's, and what each verb needs and leads to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloudkit import Cloud, Flavor, InvalidRequest, InvalidState, NotFound, Server
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab

NOBODY = "00000000-0000-4000-8000-000000000000"


class TestServerLife(Conformance):
    def test_create_returns_it_running(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        assert server.status == "ACTIVE"
        assert server.task is None
        assert server.fault is None
        assert server.native_status
        assert (server.image_id, server.flavor_id) == (lab.image.id, lab.flavor.id)
        assert cloud.servers.get(server) == server

    def test_it_builds_before_it_runs(self, lab: Lab, cloud: Cloud) -> None:
        seen: list[Server] = []
        server = lab.server(cloud, on_progress=seen.append)
        # A back-end that is done when it answers is not asked again.
        assert seen[-1:] in ([], [server])
        assert {each.status for each in seen[:-1]} <= {"BUILD"}

    def test_create_without_waiting_is_waited_for_later(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, wait=False)
        assert server.status in ("BUILD", "ACTIVE")
        assert cloud.servers.wait(server).status == "ACTIVE"

    def test_it_is_deleted_while_it_builds(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, wait=False)
        cloud.servers.delete(server)
        assert cloud.servers.find(server.name) is None

    def test_a_hard_stop_turns_it_off(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        assert cloud.servers.stop(server, hard=True).status == "SHUTOFF"
        assert cloud.servers.get(server).status == "SHUTOFF"

    def test_start_turns_it_on(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.stop(lab.server(cloud), hard=True)
        assert cloud.servers.start(server).status == "ACTIVE"
        assert cloud.servers.get(server).status == "ACTIVE"

    def test_a_soft_stop_turns_it_off(self, lab: Lab) -> None:
        server = lab.booted()
        assert lab.cloud.servers.stop(server).status == "SHUTOFF"

    def test_a_soft_stop_is_a_hard_one_where_the_guest_does_not_listen(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        assert cloud.servers.stop(server, timeout_s=0).status == "SHUTOFF"

    def test_a_stopped_server_cannot_bestopped(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.stop(lab.server(cloud), hard=True)
        with pytest.raises(InvalidState):
            cloud.servers.stop(server)
        with pytest.raises(InvalidState):
            cloud.servers.stop(server, hard=True)
        assert cloud.servers.get(server).status == "SHUTOFF"

    def test_a_running_server_cannot_be_started(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        with pytest.raises(InvalidState):
            cloud.servers.start(server)
        assert cloud.servers.get(server).status == "ACTIVE"

    def test_a_hard_reboot_leads_back_to_running(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        assert cloud.servers.reboot(server, hard=True).status == "ACTIVE"

    def test_a_hard_reboot_starts_a_stopped_server(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.stop(lab.server(cloud), hard=True)
        assert cloud.servers.reboot(server, hard=True).status == "ACTIVE"
        assert cloud.servers.get(server).status == "ACTIVE"

    def test_a_soft_reboot_leads_back_to_running(self, lab: Lab) -> None:
        server = lab.booted()
        assert lab.cloud.servers.reboot(server).status == "ACTIVE"
        assert lab.cloud.servers.get(server).status == "ACTIVE"

    def test_a_stopped_server_cannot_be_rebooted_softly(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.stop(lab.server(cloud), hard=True)
        with pytest.raises(InvalidState):
            cloud.servers.reboot(server)
        assert cloud.servers.get(server).status == "SHUTOFF"

    def test_it_stays_the_same_server(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        assert lasting(cloud.servers.stop(server, hard=True)) == lasting(server)
        assert lasting(cloud.servers.start(server)) == lasting(server)
        assert lasting(cloud.servers.reboot(server, hard=True)) == lasting(server)

    def test_a_stopped_server_is_deleted(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.stop(lab.server(cloud), hard=True)
        cloud.servers.delete(server)
        with pytest.raises(NotFound):
            cloud.servers.get(server)

    def test_delete_without_waiting_ends_in_its_end(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        cloud.servers.delete(server, wait=False)
        cloud.servers.delete(server, missing_ok=True)
        with pytest.raises(NotFound):
            cloud.servers.get(server)

    @pytest.mark.parametrize(
        "verb",
        [
            "start",
            "stop",
            "reboot",
            pytest.param("pause", marks=needs("servers.pause")),
            pytest.param("unpause", marks=needs("servers.pause")),
            pytest.param("suspend", marks=needs("servers.suspend")),
            pytest.param("resume", marks=needs("servers.suspend")),
            pytest.param("shelve", marks=needs("servers.shelve")),
            pytest.param("unshelve", marks=needs("servers.shelve")),
            pytest.param("confirm_resize", marks=needs("servers.resize")),
            pytest.param("revert_resize", marks=needs("servers.resize")),
            pytest.param("rescue", marks=needs("servers.rescue")),
            pytest.param("unrescue", marks=needs("servers.rescue")),
            pytest.param("lock", marks=needs("servers.lock")),
            pytest.param("unlock", marks=needs("servers.lock")),
            pytest.param("console_log", marks=needs("servers.console_log")),
        ],
    )
    def test_a_verb_on_what_is_not_there_is_not_found(self, lab: Lab, cloud: Cloud, verb: str) -> None:
        server = lab.server(cloud)
        cloud.servers.delete(server)
        for ref in (server, server.name, NOBODY):
            with pytest.raises(NotFound):
                getattr(cloud.servers, verb)(ref)


@needs("servers.pause")
class TestPause(Conformance):
    def test_pause_and_unpause(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        assert cloud.servers.pause(server).status == "PAUSED"
        assert cloud.servers.get(server).status == "PAUSED"
        assert cloud.servers.unpause(server).status == "ACTIVE"

    def test_a_paused_server_cannot_be_paused_started_orstopped(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.pause(lab.server(cloud))
        for verb in (cloud.servers.pause, cloud.servers.start, cloud.servers.stop, cloud.servers.reboot):
            with pytest.raises(InvalidState):
                verb(server)
        with pytest.raises(InvalidState):
            cloud.servers.stop(server, hard=True)
        assert cloud.servers.get(server).status == "PAUSED"

    def test_a_hard_reboot_ends_a_pause(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.pause(lab.server(cloud))
        assert cloud.servers.reboot(server, hard=True).status == "ACTIVE"
        assert cloud.servers.get(server).status == "ACTIVE"

    def test_only_a_paused_server_is_unpaused(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        with pytest.raises(InvalidState):
            cloud.servers.unpause(server)
        cloud.servers.stop(server, hard=True)
        for verb in (cloud.servers.unpause, cloud.servers.pause):
            with pytest.raises(InvalidState):
                verb(server)
        assert cloud.servers.get(server).status == "SHUTOFF"

    def test_a_paused_server_is_deleted(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.pause(lab.server(cloud))
        cloud.servers.delete(server)
        assert cloud.servers.find(server.name) is None

    @needs("servers.ssh")
    def test_the_guest_goes_on_where_it_was(self, lab: Lab) -> None:
        server = lab.booted()
        with lab.shell(server) as shell:
            shell.run("echo before the pause >/tmp/pause", check=True)
        lab.cloud.servers.pause(server)
        lab.cloud.servers.unpause(server)
        with lab.shell(server) as shell:
            assert shell.run("cat /tmp/pause").stdout == "before the pause\n"


@needs("servers.suspend")
class TestSuspend(Conformance):
    def test_suspend_and_resume(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        assert cloud.servers.suspend(server).status == "SUSPENDED"
        assert cloud.servers.get(server).status == "SUSPENDED"
        assert cloud.servers.resume(server).status == "ACTIVE"

    def test_a_suspended_server_cannot_be_suspended_started_orstopped(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.suspend(lab.server(cloud))
        for verb in (cloud.servers.suspend, cloud.servers.start, cloud.servers.stop, cloud.servers.reboot):
            with pytest.raises(InvalidState):
                verb(server)
        assert cloud.servers.get(server).status == "SUSPENDED"

    def test_only_a_suspended_server_is_resumed(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        with pytest.raises(InvalidState):
            cloud.servers.resume(server)
        cloud.servers.stop(server, hard=True)
        for verb in (cloud.servers.resume, cloud.servers.suspend):
            with pytest.raises(InvalidState):
                verb(server)
        assert cloud.servers.get(server).status == "SHUTOFF"

    def test_a_suspended_server_is_deleted(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.suspend(lab.server(cloud))
        cloud.servers.delete(server)
        assert cloud.servers.find(server.name) is None


@needs("servers.resize")
class TestResize(Conformance):
    def test_it_has_the_new_flavor(self, lab: Lab, cloud: Cloud) -> None:
        server, larger = lab.server(cloud), _larger(lab, cloud)
        resized = cloud.servers.resize(server, larger)
        assert resized.status == "ACTIVE"
        assert (resized.id, resized.name, resized.flavor_id) == (server.id, server.name, larger.id)

    @needs("networks.create", "subnets.create")
    def test_addresses_stay(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.stop(lab.server(cloud, networks=[lab.network]), hard=True)
        assert server.addresses
        assert cloud.servers.resize(server, _larger(lab, cloud)).addresses == server.addresses

    def test_it_waits_to_be_confirmed(self, lab: Lab, cloud: Cloud) -> None:
        server, larger = stopped(lab, cloud), _larger(lab, cloud)
        assert cloud.servers.resize(server, larger, confirm=False).status == "VERIFY_RESIZE"
        confirmed = cloud.servers.confirm_resize(server)
        assert (confirmed.status, confirmed.flavor_id) == ("SHUTOFF", larger.id)

    def test_it_is_reverted(self, lab: Lab, cloud: Cloud) -> None:
        server, larger = lab.server(cloud), _larger(lab, cloud)
        cloud.servers.resize(server, larger, confirm=False)
        reverted = cloud.servers.revert_resize(server)
        assert (reverted.status, reverted.flavor_id) == ("ACTIVE", lab.flavor.id)

    def test_a_stopped_server_staysstopped(self, lab: Lab, cloud: Cloud) -> None:
        server, larger = stopped(lab, cloud), _larger(lab, cloud)
        assert cloud.servers.resize(server, larger).status == "SHUTOFF"

    def test_a_smaller_disk_is_refused(self, lab: Lab, cloud: Cloud) -> None:
        larger = _larger(lab, cloud)
        server = lab.server(cloud, flavor=larger)
        with pytest.raises(InvalidRequest):
            cloud.servers.resize(server, lab.flavor)
        assert cloud.servers.get(server).flavor_id == larger.id

    def test_while_it_waits_to_be_confirmed_other_verbs_are_refused(self, lab: Lab, cloud: Cloud) -> None:
        server, larger = stopped(lab, cloud), _larger(lab, cloud)
        cloud.servers.resize(server, larger, confirm=False)
        for verb in (cloud.servers.start, cloud.servers.stop, cloud.servers.reboot):
            with pytest.raises(InvalidState):
                verb(server)
        with pytest.raises(InvalidState):
            cloud.servers.resize(server, lab.flavor_of(cloud, disk_gib=lab.target.disk_gib + 2))
        assert cloud.servers.get(server).status == "VERIFY_RESIZE"
        cloud.servers.delete(server)
        assert cloud.servers.find(server.name) is None

    def test_a_stopped_server_is_reverted_and_staysstopped(self, lab: Lab, cloud: Cloud) -> None:
        server, larger = stopped(lab, cloud), _larger(lab, cloud)
        assert cloud.servers.resize(server, larger, confirm=False).status == "VERIFY_RESIZE"
        reverted = cloud.servers.revert_resize(server)
        assert (reverted.status, reverted.flavor_id) == ("SHUTOFF", lab.flavor.id)
        assert cloud.servers.start(server).status == "ACTIVE"

    def test_it_is_resized_again(self, lab: Lab, cloud: Cloud) -> None:
        server, larger = stopped(lab, cloud), _larger(lab, cloud)
        cloud.servers.resize(server, larger)
        cloud.servers.resize(server, lab.flavor_of(cloud, disk_gib=lab.target.disk_gib + 2), confirm=False)
        assert cloud.servers.revert_resize(server).flavor_id == larger.id
        assert cloud.servers.start(server).status == "ACTIVE"

    def test_the_flavor_that_it_has_is_refused(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        with pytest.raises(InvalidRequest):
            cloud.servers.resize(server, lab.flavor)
        assert cloud.servers.get(server).status == "ACTIVE"

    @needs("servers.ssh")
    def test_the_guest_keeps_its_files_and_its_disk_is_larger(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, networks=[lab.network], key_pair=lab.key_pair)
        with lab.shell(server) as shell:
            shell.run("echo kept >marker; sync", check=True)
        larger = lab.flavor_of(cloud, disk_gib=lab.target.disk_gib + 1)
        with lab.shell(cloud.servers.resize(server, larger)) as shell:
            assert shell.run("cat marker").stdout == "kept\n"

    def test_without_a_resize_there_is_nothing_to_confirm_or_revert(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        for verb in (cloud.servers.confirm_resize, cloud.servers.revert_resize):
            with pytest.raises(InvalidState):
                verb(server)

    def test_an_unknown_flavor_is_not_found(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        for flavor in (lab.name(), NOBODY):
            with pytest.raises(NotFound) as raised:
                cloud.servers.resize(server, flavor)
            assert raised.value.operation == "servers.resize"
        assert cloud.servers.get(server).flavor_id == lab.flavor.id


@needs("servers.rebuild")
class TestRebuild(Conformance):
    def test_id_name_and_flavor_stay(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        rebuilt = cloud.servers.rebuild(server, lab.image)
        assert rebuilt.status == "ACTIVE"
        assert (rebuilt.id, rebuilt.name, rebuilt.flavor_id) == (server.id, server.name, server.flavor_id)

    @needs("networks.create", "subnets.create")
    def test_addresses_stay(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, networks=[lab.network])
        assert cloud.servers.rebuild(server, lab.image).addresses == server.addresses

    def test_a_stopped_server_staysstopped(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.stop(lab.server(cloud), hard=True)
        assert cloud.servers.rebuild(server, lab.image).status == "SHUTOFF"

    @needs("servers.pause")
    def test_a_paused_server_is_not_rebuilt(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.pause(lab.server(cloud))
        with pytest.raises(InvalidState):
            cloud.servers.rebuild(server, lab.image)
        assert cloud.servers.get(server).status == "PAUSED"

    @needs("servers.ssh")
    def test_the_guest_is_new_and_its_host_key_is_known(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.booted()
        with lab.shell(server) as shell:
            shell.run("echo old >marker; sync", check=True)
        with lab.shell(cloud.servers.rebuild(server, lab.login_image)) as shell:
            assert shell.run("cat marker").exit_status != 0

    @needs("volumes.attach")
    def test_volumes_stay(self, lab: Lab, cloud: Cloud) -> None:
        server, volume = lab.server(cloud), lab.volume(cloud)
        cloud.volumes.attach(volume, server)
        assert cloud.servers.rebuild(server, lab.image).volume_ids == (volume.id,)

    @needs("images.create")
    def test_it_has_the_new_image(self, lab: Lab, cloud: Cloud) -> None:
        server, image = lab.server(cloud), cloud.images.upload(lab.name(), data=bytes(4096))
        assert cloud.servers.rebuild(server, image).image_id == image.id

    @needs("images.create")
    def test_an_image_that_does_not_fit_is_refused(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        image = cloud.images.upload(lab.name(), data=bytes(4096), min_ram_mib=lab.flavor.ram_mib + 1)
        with pytest.raises(InvalidRequest):
            cloud.servers.rebuild(server, image)
        assert cloud.servers.get(server).image_id == lab.image.id


@needs("servers.rescue")
class TestRescue(Conformance):
    def test_rescue_and_unrescue(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        assert cloud.servers.rescue(server).status == "RESCUE"
        assert cloud.servers.unrescue(server).status == "ACTIVE"

    def test_a_rescued_server_is_only_unrescued_or_deleted(self, lab: Lab, cloud: Cloud) -> None:
        server = cloud.servers.rescue(stopped(lab, cloud))
        for verb in (cloud.servers.start, cloud.servers.reboot, cloud.servers.rescue):
            with pytest.raises(InvalidState):
                verb(server)
        assert cloud.servers.get(server).status == "RESCUE"
        cloud.servers.delete(server)
        assert cloud.servers.find(server.name) is None

    def test_a_stopped_server_is_rescued(self, lab: Lab, cloud: Cloud) -> None:
        assert cloud.servers.rescue(stopped(lab, cloud)).status == "RESCUE"

    @needs("servers.ssh")
    def test_it_is_logged_in_to_and_its_own_files_come_back(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.booted()
        with lab.shell(server) as shell:
            shell.run("echo its own >marker; sync", check=True)
        with lab.shell(cloud.servers.rescue(server)) as shell:
            assert shell.run("true").exit_status == 0
        with lab.shell(cloud.servers.unrescue(server)) as shell:
            assert shell.run("cat marker").stdout == "its own\n"

    def test_from_another_image(self, lab: Lab, cloud: Cloud) -> None:
        server = stopped(lab, cloud)
        rescued = cloud.servers.rescue(server, lab.image)
        assert (rescued.status, rescued.image_id) == ("RESCUE", server.image_id)

    def test_only_a_rescued_server_is_unrescued(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        with pytest.raises(InvalidState):
            cloud.servers.unrescue(server)


@needs("servers.lock")
class TestLock(Conformance):
    def test_a_locked_server_refuses_verbs(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud)
        assert cloud.servers.lock(server).locked
        refused: tuple[Callable[[Server], object], ...] = (
            cloud.servers.stop,
            cloud.servers.reboot,
            cloud.servers.delete,
        )
        for verb in refused:
            with pytest.raises(InvalidState):
                verb(server)
        for name in ("pause", "suspend", "shelve", "rescue"):
            if cloud.supports(f"servers.{name}"):
                with pytest.raises(InvalidState):
                    getattr(cloud.servers, name)(server)
        assert cloud.servers.get(server).status == "ACTIVE"
        assert not cloud.servers.unlock(server).locked
        assert cloud.servers.stop(server, hard=True).status == "SHUTOFF"


def lasting(server: Server) -> tuple[object, ...]:
    """What stays of a server whatever its power does."""
    return server.id, server.name, server.created_at, server.addresses, server.image_id, server.flavor_id


def stopped(lab: Lab, cloud: Cloud) -> Server:
    """Where nothing depends on it: a guest that has just begun to boot is slow to shut down."""
    return cloud.servers.stop(lab.server(cloud), hard=True)


def _larger(lab: Lab, cloud: Cloud) -> Flavor:
    return lab.flavor_of(cloud, disk_gib=lab.target.disk_gib + 1)
