"""All that the conformance suite asks of packets, of real guests; once more when the host's network was harmed, and
once more after a reboot.

The same three guests are asked all of it: they are there when the host is harmed, and are restored from their saved
memory after the reboot.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from bare_driver import current_bed
from bed import LibvirtBed
from saved_guest import connect
from system_target import ROUTED, system_lab

from cloudkit import Server, Shell
from cloudkit.conformance.lab import Lab
from cloudkit.conformance.traffic import *  # noqa: F403
from cloudkit.conformance.traffic import TestTraffic as Traffic
from cloudkit.conformance.traffic import TestTrunkTraffic
from cloudkit.conformance.traffic.networks import Field, field_of, logged_in
from cloudkit.conformance.traffic.trunks import Field as TrunkField
from cloudkit.conformance.traffic.trunks import trunk_field_of
from cloudkit_libvirt.network_xml import bridge_name


# Not the plug-in's own: the matrix counts each test once.
@pytest.fixture(scope="module")
def conformance_lab(tmp_path_factory: pytest.TempPathFactory) -> Generator[Lab]:
    with system_lab(tmp_path_factory.mktemp("traffic")) as lab:
        yield lab


AnyField = Field | TrunkField
Event = Callable[[LibvirtBed, AnyField], None]


def nothing(bed: LibvirtBed, field: AnyField) -> None:
    """The guests as they have booted."""


def harm(bed: LibvirtBed, field: AnyField) -> None:
    """All that can happen to a host that stays on, at once."""
    bed.run(["nft", "flush", "ruleset"])
    for network in field.networks:
        bed.run(["ip", "link", "delete", bridge_name(network.id)])
    bed.open_vswitch.restart()
    bed.restart_libvirtd()
    reconcile(bed)


def reboot(bed: LibvirtBed, field: AnyField) -> None:
    """The host is switched off and on, with its guests saved to its disk."""
    servers = field.cloud.servers
    _reboot(bed, field, servers.suspend, servers.resume)


def reboot_without_guests(bed: LibvirtBed, field: AnyField) -> None:
    """The host is switched off and on, and its guests with it, once their disks have what they took over at boot."""
    servers = field.cloud.servers
    _reboot(bed, field, servers.stop, servers.start)


def _reboot(
    bed: LibvirtBed, field: AnyField, down: Callable[[Server], Server], up: Callable[[Server], Server]
) -> None:
    for server in field.servers:
        down(server)
    bed.reboot()
    reconcile(bed)
    for server in field.servers:
        up(server)


def reconcile(bed: LibvirtBed) -> None:
    connect(bed, **ROUTED).close()


@contextmanager
def logged_in_after(event: Event, lab: Lab, field: AnyField) -> Generator[tuple[Shell, ...]]:
    """New shells into the field's servers, as the old ones may not have survived it."""
    event(current_bed(), field)
    with logged_in(lab, field.servers) as shells:
        yield shells


@pytest.fixture(scope="module")
def booted(conformance_lab: Lab) -> Generator[Field]:
    with field_of(conformance_lab) as field:
        yield field


class TestTraffic(Traffic):
    event = nothing

    @pytest.fixture(scope="class")
    @classmethod
    def everything(cls, conformance_lab: Lab, booted: Field) -> Generator[Field]:
        with logged_in_after(cls.event, conformance_lab, booted) as shells:
            yield replace(booted, shells=shells)


class TestAfterHarm(TestTraffic):
    event = harm


class TestAfterReboot(TestTraffic):
    event = reboot


class TestTrunkAfterHarm(TestTrunkTraffic):
    @pytest.fixture
    @classmethod
    def field(cls, lab: Lab) -> Generator[TrunkField]:
        with trunk_field_of(lab) as field, logged_in_after(harm, lab, field) as (guest, other):
            yield replace(field, guest=guest, other=other)


class TestTrunkAfterReboot(TestTrunkTraffic):
    """Its guests are booted: QEMU 7.2 does not restore which VLANs a saved one listens to."""

    @pytest.fixture
    @classmethod
    def field(cls, lab: Lab) -> Generator[TrunkField]:
        with trunk_field_of(lab) as field, logged_in_after(reboot_without_guests, lab, field) as (guest, other):
            field = replace(field, guest=guest, other=other)
            field.use_vlans()
            yield field
