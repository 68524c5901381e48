"""The conformance suite on real guests."""

from __future__ import annotations

import pytest
from bare_driver import current_bed, guest_path
from conformance_floor import FLOOR
from saved_guest import connect

from cloudkit.conformance import Target
from cloudkit.conformance.suite import *  # noqa: F403


@pytest.fixture(scope="session")
def conformance_target() -> Target:
    bed = current_bed()
    return Target(
        name="libvirt system",
        connect=lambda: connect(bed),
        image=guest_path(),
        floor=FLOOR["libvirt system"],
    )
