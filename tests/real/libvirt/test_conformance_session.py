"""The conformance suite on real guests of an ordinary user's own libvirt."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from bare_driver import guest_path
from conformance_floor import FLOOR, NEVER
from session_cloud import connect, left_in_pool

from cloudkit.conformance import IDLE_IMAGE, Target
from cloudkit.conformance.suite import *  # noqa: F403


@pytest.fixture(scope="session")
def conformance_target() -> Generator[Target]:
    yield Target(
        name="libvirt session",
        connect=connect,
        image=guest_path(),
        idle_image=IDLE_IMAGE,
        network="user",
        floor=FLOOR["libvirt session"],
        never=NEVER["libvirt session"],
    )
    assert left_in_pool() == []
