"""The conformance suite on real OpenStack services."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from conformance_floor import FLOOR
from conformance_projects import CLOUD, GUESTS, connect, ensure_projects
from neighbours import Neighbours

import cloudkit
from cloudkit.conformance import Target
from cloudkit.conformance.suite import *  # noqa: F403
from cloudkit.conformance.traffic import *  # noqa: F403


@pytest.fixture(scope="session")
def conformance_target() -> Generator[Target]:
    with cloudkit.connect(CLOUD) as cloud:
        own, other = ensure_projects(cloud)
    if "CLOUDKIT_BED_GUESTS" not in os.environ:
        yield Target(
            name="OpenStack, no guests",
            connect=lambda: connect(own, guests=False),
            other_project=other,
            external_network="public",
            floor=FLOOR["OpenStack"] - GUESTS,
            never=GUESTS,
        )
        return
    with Neighbours() as neighbours:
        yield Target(
            name="OpenStack",
            connect=lambda: connect(own, guests=True),
            other_project=other,
            external_network="public",
            image=Path(os.environ["CLOUDKIT_TEST_GUEST_IMAGE"]),
            join=neighbours.join,
            # Neutron tells its agents, and Cinder tells Nova, when they have answered.
            settle_s=30,
            floor=FLOOR["OpenStack"],
        )
