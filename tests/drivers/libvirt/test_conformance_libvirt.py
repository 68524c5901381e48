"""The conformance suite on libvirt's own test hypervisor, for what it simulates."""

from __future__ import annotations

import pytest
from conformance_floor import FLOOR, NEVER

import cloudkit
from cloudkit.conformance import Target
from cloudkit.conformance.suite import *  # noqa: F403


@pytest.fixture(scope="session")
def conformance_target() -> Target:
    return Target(
        name="libvirt test",
        connect=lambda: cloudkit.connect("libvirt+test:///default"),
        image="test",
        floor=FLOOR["libvirt test"],
        never=NEVER["libvirt test"],
    )
