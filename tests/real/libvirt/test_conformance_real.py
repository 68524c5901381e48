"""The conformance suite on real guests."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from bare_driver import current_bed, guest_path
from bed import LibvirtBed
from conformance_floor import FLOOR
from saved_guest import connect

from cloudkit.conformance import IDLE_IMAGE, Target
from cloudkit.conformance.suite import *  # noqa: F403
from cloudkit.conformance.traffic import *  # noqa: F403

ROUTED = {"host_network": "on", "external_cidr": ""}
"""The external network is made by the fixture, as the bed must be left empty."""


# Not of the session, so that its network is gone before the next module.
@pytest.fixture(scope="module")
def conformance_target() -> Generator[Target]:
    bed = current_bed()
    with connect(bed, **ROUTED) as admin, admin.scope("external") as mine:
        mine.networks.create("public", cidr="172.24.4.0/24", external=True)
        yield target(bed)


def target(bed: LibvirtBed) -> Target:
    return Target(
        name="libvirt system",
        connect=lambda: connect(bed, **ROUTED),
        image=guest_path(),
        idle_image=IDLE_IMAGE,
        floor=FLOOR["libvirt system"],
    )
