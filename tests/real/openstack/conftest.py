"""Of several beds, each process of pytest-xdist is the client of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "libvirt"))
from openstack_bed import OpenStackBed
from run import BEDS


def pytest_configure(config: pytest.Config) -> None:
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    if worker is not None and BEDS in os.environ:
        folder = json.loads(os.environ[BEDS])[int(worker["workerid"].removeprefix("gw"))]
        bed = OpenStackBed(Path(folder))
        bed.pod.enter_network()
        os.environ.update(bed.variables())
