"""The conformance suite on the fake."""

from __future__ import annotations

import pytest
from conformance_floor import FLOOR

import cloudkit
from cloudkit.conformance import Target
from cloudkit.conformance.suite import *  # noqa: F403


@pytest.fixture(scope="session")
def conformance_target() -> Target:
    return Target(
        name="fake",
        connect=lambda: cloudkit.connect(
            "fake://?quotas=servers=-1,volumes=-1,snapshots=-1,backups=-1,security_groups=-1"
        ),
        user="cirros",
        floor=FLOOR["fake"],
    )
