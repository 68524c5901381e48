import pytest

import cloudkit
from cloudkit.conformance import Target
from cloudkit.conformance.suite import *  # noqa: F403


@pytest.fixture(scope="session")
def conformance_target() -> Target:
    return Target(name="toy", connect=lambda: cloudkit.connect("toy://"), image="tiny")
