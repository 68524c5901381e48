"""The suite fails where a driver is wrong: faults are put into the fake, and a test of the suite must notice each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import cloudkit
from cloudkit.conformance import Target, suite
from cloudkit.conformance.lab import Lab
from cloudkit.errors import CloudError
from cloudkit.types import Kind, Quota, ServerStatus, VolumeStatus
from cloudkit_fake import backups, cloud, derived, volumes
from cloudkit_fake.collections import FakeCollection
from cloudkit_fake.driver import FakeDriver
from cloudkit_fake.images import Images
from cloudkit_fake.networks import Networks
from cloudkit_fake.ports import Ports
from cloudkit_fake.routing import FloatingIps, Routers
from cloudkit_fake.security_groups import SecurityGroups
from cloudkit_fake.servers import Servers
from cloudkit_fake.small_kinds import Flavors, KeyPairs
from cloudkit_fake.volumes import Snapshots, Volumes


@dataclass(frozen=True)
class Fault:
    """What is wrong: ``owner``'s attribute is replaced by what ``alter`` makes of it. ``test`` must fail then."""

    owner: Any
    attribute: str
    alter: Callable[[Any], Any]
    test: Callable[..., None]
    arguments: dict[str, Any]


def result(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A method whose result is changed."""
    return lambda method: lambda *args, **kwargs: change(method(*args, **kwargs))


def instead(function: Any) -> Callable[[Any], Any]:
    """Something else instead."""
    return lambda _: function


def raising_plain_errors(method: Any) -> Any:
    def raising(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except CloudError as error:
            raise CloudError(error.message) from None

    return raising


def fault(
    owner: Any, attribute: str, alter: Callable[[Any], Any], test: Callable[..., None], **arguments: Any
) -> Fault:
    return Fault(owner, attribute, alter, test, arguments)


def vanish_with_backups(fake: Any, kind: Kind, id: str) -> None:
    for backup in fake.state.all(Kind.BACKUP):
        if backup.volume_id == id:
            fake.state.remove(Kind.BACKUP, backup.id)
    VANISH(fake, kind, id)


VANISH = cloud.vanish
VALUES, LIFE, ADDRESSES = suite.TestEveryKind, suite.TestServerLife, suite.TestAddresses

FAULTS = {
    "the mark shows in descriptions": fault(
        FakeCollection,
        "_common",
        result(
            lambda fields: fields | {"description": f"{fields['description']}[cloudkit:{fields['mark'].request}]"}
        ),
        VALUES.test_its_mark_shows_nowhere_else,
        kind=Kind.VOLUME,
    ),
    "the mark is lost": fault(
        FakeCollection,
        "_common",
        result(lambda fields: fields | {"mark": None}),
        VALUES.test_its_mark_shows_nowhere_else,
        kind=Kind.VOLUME,
    ),
    "descriptions are lost": fault(
        FakeCollection,
        "_common",
        result(lambda fields: fields | {"description": ""}),
        VALUES.test_its_description_is_kept,
        kind=Kind.NETWORK,
    ),
    "times have no zone": fault(
        FakeCollection,
        "_common",
        result(lambda fields: fields | {"created_at": datetime.now(UTC).replace(tzinfo=None)}),
        VALUES.test_its_time_of_creation_is_aware_and_utc,
        kind=Kind.SERVER,
    ),
    "projects see each other's volumes": fault(
        FakeCollection,
        "sees",
        instead(lambda *_: True),
        VALUES.test_another_project_does_not_see_it,
        kind=Kind.VOLUME,
    ),
    "projects delete each other's volumes": fault(
        FakeCollection,
        "_own",
        instead(lambda self, id: self._state.get(self.kind, id)),
        VALUES.test_another_project_does_not_see_it,
        kind=Kind.VOLUME,
    ),
    "private flavors are seen": fault(
        Flavors,
        "sees",
        instead(lambda *_: True),
        suite.TestFlavors.test_other_projects_do_not_see_a_private_one,
    ),
    "a delete does nothing and says so to nobody": fault(
        KeyPairs, "delete", instead(lambda *_: None), VALUES.test_what_is_deleted_is_gone, kind=Kind.KEY_PAIR
    ),
    "a unique name is taken twice": fault(
        KeyPairs, "_find", instead(lambda *_: None), VALUES.test_a_unique_name_is_taken_once, kind=Kind.KEY_PAIR
    ),
    "a paused server is shown as off": fault(
        Servers,
        "pause",
        instead(lambda self, id: self.stop(id, True)),
        suite.TestPause.test_pause_and_unpause,
    ),
    "verbs fit every status": fault(
        Servers,
        "_allowed",
        instead(lambda self, id, *_: self._own(id)),
        LIFE.test_a_running_server_cannot_be_started,
    ),
    "a create returns before the server runs, and nobody waits": fault(
        Servers,
        "create",
        result(lambda server: replace(server, status=ServerStatus.ACTIVE, task=None)),
        LIFE.test_create_returns_it_running,
    ),
    "errors are of no kind": fault(
        Servers, "_go", raising_plain_errors, LIFE.test_a_running_server_cannot_be_started
    ),
    "ports of deleted servers stay": fault(
        derived, "release_port", instead(lambda *_: None), ADDRESSES.test_delete_leaves_no_port
    ),
    "an address that is asked for is not given": fault(
        Ports,
        "_choose",
        lambda method: lambda self, network, _: method(self, network, ()),
        ADDRESSES.test_an_address_that_is_asked_for_is_given,
    ),
    "a network in use is deleted": fault(
        Networks,
        "delete",
        instead(lambda self, id: self._state.remove(Kind.NETWORK, id)),
        ADDRESSES.test_a_network_in_use_is_not_deleted,
    ),
    "a volume is attached twice": fault(
        Volumes, "free", instead(lambda self, id: self._own(id)), suite.TestAttach.test_it_is_attached_once
    ),
    "deleted servers keep their volumes": fault(
        derived, "release_volume", instead(lambda *_: None), suite.TestAttach.test_the_end_of_its_server_frees_it
    ),
    "an attached volume gives a snapshot": fault(
        Snapshots,
        "create",
        lambda method: lambda self, spec: method(self, replace(spec, force=True)),
        suite.TestSnapshots.test_an_attached_volume_needs_force,
    ),
    "metadata are lost": fault(
        Volumes,
        "create",
        lambda method: lambda self, spec: method(self, replace(spec, metadata=cloudkit.FrozenMap())),
        suite.TestVolumes.test_its_metadata_are_kept,
    ),
    "a suspended server gives its disk back": fault(
        volumes,
        "_require_calm",
        instead(lambda _: None),
        suite.TestAttach.test_a_suspended_server_neither_takes_it_nor_gives_it_back,
    ),
    "a shelved server loses its disks": fault(
        Volumes, "plug_back", instead(lambda self, server: None), suite.TestShelve.test_its_volume_is_kept_for_it
    ),
    "a shelved server's disk is free": fault(
        Volumes, "reserve", instead(lambda self, server: None), suite.TestShelve.test_its_volume_is_kept_for_it
    ),
    "a clone is not bootable": fault(
        Volumes,
        "_origin",
        result(lambda origin: replace(origin, bootable=False)),
        suite.TestClones.test_what_is_bootable_has_clones_that_are,
    ),
    "a clone may be smaller": fault(
        volumes, "_check_larger", instead(lambda *_: None), suite.TestClones.test_one_that_is_smaller_is_refused
    ),
    "two volume types are the default": fault(
        Volumes,
        "types",
        result(lambda types: tuple(replace(each, default=True) for each in types)),
        suite.TestVolumeTypes.test_one_of_them_is_the_default,
    ),
    "a backup is written over a disk that is attached": fault(
        backups,
        "require_status",
        instead(lambda *_: None),
        suite.TestBackups.test_an_attached_volume_is_not_written_over,
    ),
    "a backup goes with its volume": fault(
        cloud,
        "vanish",
        instead(vanish_with_backups),
        suite.TestBackups.test_it_outlives_its_volume,
    ),
    "a restored volume has no mark": fault(
        FakeCollection,
        "_common",
        result(lambda fields: fields | {"mark": replace(fields["mark"], scope=None)}),
        suite.TestBackups.test_a_new_volume_belongs_to_the_scope_and_has_the_name_that_is_asked_for,
    ),
    "a volume shrinks": fault(
        Volumes,
        "extend",
        instead(lambda self, id, size_gib: self._change(id, size_gib=size_gib, status=VolumeStatus.AVAILABLE)),
        suite.TestVolumes.test_it_does_not_shrink,
        size_gib=1,
    ),
    "other bytes come back": fault(
        Images, "download", instead(lambda *_: iter([b"other"])), suite.TestDownload.test_the_same_bytes_come_back
    ),
    "a floating IP conflicts by another name": fault(
        FloatingIps,
        "_way",
        raising_plain_errors,
        suite.TestFloatingIps.test_without_a_way_out_it_conflicts_and_none_is_taken,
    ),
    "a router that failed stays": fault(
        Routers,
        "delete",
        instead(lambda *_: None),
        suite.TestRouters.test_a_subnet_has_one_router_at_its_gateway,
    ),
    "a rule is there twice": fault(
        SecurityGroups,
        "add_rule",
        raising_plain_errors,
        suite.TestSecurityGroups.test_a_rule_is_there_once,
    ),
    "limits do not count": fault(
        FakeDriver,
        "limits",
        instead(lambda _: {"volumes": Quota(limit=None, in_use=0), "volume_gib": Quota(limit=None, in_use=0)}),
        suite.TestLimits.test_volumes_are_counted,
    ),
    "of all projects only the own is listed": fault(
        FakeCollection,
        "_list",
        lambda method: lambda self, query: method(self, replace(query, all_projects=False)),
        suite.TestAllProjects.test_filters_hold_over_all_projects,
    ),
}


def run(test: Callable[..., None], arguments: dict[str, Any], folder: Path) -> None:
    """Run one test of the suite on a new fake."""
    target = Target(name="fake", connect=lambda: cloudkit.connect("fake://"))
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(target, folder))
        known = {
            "lab": lab,
            "cloud": stack.enter_context(lab.cloud.scope("conformance")),
            "other": stack.enter_context(lab.other.scope("conformance")),
            "tmp_path": folder,
            **arguments,
        }
        test(None, **{name: known[name] for name in list(inspect.signature(test).parameters)[1:]})


@pytest.mark.parametrize("what", FAULTS)
def test_it_passes_without_the_fault(what: str, tmp_path: Path) -> None:
    run(FAULTS[what].test, FAULTS[what].arguments, tmp_path)


@pytest.mark.parametrize("what", FAULTS)
def test_it_notices_that(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = FAULTS[what]
    monkeypatch.setattr(wrong.owner, wrong.attribute, wrong.alter(getattr(wrong.owner, wrong.attribute)))
    # A test that expects another error lets this one through.
    with pytest.raises((AssertionError, CloudError, TypeError, pytest.fail.Exception)):
        run(wrong.test, wrong.arguments, tmp_path)
