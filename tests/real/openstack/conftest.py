"""Of several beds, each process of pytest-xdist is the client of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "libvirt"))
from conformance_projects import GUESTS
from openstack_bed import OpenStackBed
from run import BEDS, GUEST_TESTS


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{GUEST_TESTS}: needs servers that are machines")
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    if worker is not None and BEDS in os.environ:
        folder = json.loads(os.environ[BEDS])[int(worker["workerid"].removeprefix("gw"))]
        bed = OpenStackBed(Path(folder))
        bed.pod.enter_network()
        os.environ.update(bed.variables())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if GUESTS & {name for marker in item.iter_markers("capability") for name in marker.args}:
            item.add_marker(GUEST_TESTS)
