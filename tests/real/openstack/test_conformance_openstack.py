"""The conformance suite on real OpenStack services."""

from __future__ import annotations

import os

import pytest
from conformance_floor import FLOOR
from conformance_projects import CLOUD, GUESTS, connect, ensure_projects

import cloudkit
from cloudkit.conformance import Target
from cloudkit.conformance.suite import *  # noqa: F403


@pytest.fixture(scope="session")
def conformance_target() -> Target:
    with cloudkit.connect(CLOUD) as cloud:
        own, other = ensure_projects(cloud)
    guests = bool(os.environ.get("CLOUDKIT_BED_GUESTS"))
    return Target(
        name="OpenStack" if guests else "OpenStack, no guests",
        connect=lambda: connect(own, guests),
        other_project=other,
        external_network="public",
        floor=FLOOR["OpenStack"] if guests else FLOOR["OpenStack"] - GUESTS,
        never=frozenset() if guests else GUESTS,
    )
