"""The conformance suite on real guests; its tests of packets are in test_traffic.py."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from bare_driver import current_bed
from system_target import system_target

from cloudkit.conformance import Target
from cloudkit.conformance.suite import *  # noqa: F403


# Not of the session, so that its network is gone before the next module.
@pytest.fixture(scope="module")
def conformance_target() -> Generator[Target]:
    with system_target(current_bed()) as target:
        yield target
