"""Of several beds, each process of pytest-xdist is the client of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "libvirt"))
from command_line import own_bed
from openstack_bed import OpenStackBed


def pytest_configure(config: pytest.Config) -> None:
    if folder := own_bed(getattr(config, "workerinput", None)):
        bed = OpenStackBed(folder)
        bed.pod.enter_network()
        os.environ.update(bed.variables())
