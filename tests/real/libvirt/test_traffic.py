"""All that the conformance suite asks of packets, between real guests."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from system_target import system_lab

from cloudkit.conformance.lab import Lab
from cloudkit.conformance.traffic import *  # noqa: F403


@pytest.fixture(scope="module")
def conformance_lab(tmp_path_factory: pytest.TempPathFactory) -> Generator[Lab]:
    with system_lab(tmp_path_factory.mktemp("traffic")) as lab:
        yield lab
