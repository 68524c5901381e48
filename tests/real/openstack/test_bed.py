"""The bed tells what has died of it, and knows after a restart what it knew before."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "libvirt"))
from host_packages import BedError
from official_client import OpenStackCommand
from openstack_bed import OpenStackBed


@pytest.fixture
def bed() -> Generator[OpenStackBed]:
    bed = OpenStackBed(Path(os.environ["CLOUDKIT_TEST_BED"]))
    yield bed
    bed.control("start")
    bed.check()


def test_dead_service_is_told_and_started_again(bed: OpenStackBed) -> None:
    bed.check()
    bed.control("kill", "glance", "cinder-volume")
    with pytest.raises(BedError, match=r"down: glance, cinder-volume\n-- glance:\n"):
        bed.check()
    bed.control("start")
    bed.check()


def test_unknown_service_is_refused(bed: OpenStackBed) -> None:
    with pytest.raises(BedError, match="no such service: swift"):
        bed.control("kill", "swift")


def test_service_that_cannot_start_shows_its_log(bed: OpenStackBed) -> None:
    settings = bed.folder / "etc/glance/glance-api.conf"
    right = settings.read_text()
    bed.control("kill", "glance")
    settings.write_text(f"broken = before any section\n{right}")
    try:
        with pytest.raises(BedError, match=r"(?s)glance ended with 1 at its start.*glance-api\.conf"):
            bed.control("start")
    finally:
        settings.write_text(right)


def test_restart_keeps_servers_and_volumes(bed: OpenStackBed) -> None:
    demo = OpenStackCommand("bed-demo")
    demo.run("network create kept")
    demo.run("subnet create --network kept --subnet-range 172.16.3.0/24 kept")
    demo.run("volume create --size 1 kept")
    demo.wait("volume", "kept", "available")
    demo.run("image create --disk-format raw --container-format bare --file {path} kept", path=__file__)
    demo.run("server create --wait --image kept --flavor m1.tiny --network kept kept")

    bed.control("stop")
    bed.control("start")

    demo.wait("server", "kept", "ACTIVE")
    demo.run("server add volume kept kept")
    demo.wait("volume", "kept", "in-use")
    demo.run("server stop kept")
    demo.wait("server", "kept", "SHUTOFF")
    demo.run("server delete --wait kept")
    demo.wait("volume", "kept", "available")
    for what in ("volume", "network", "image"):
        demo.run(f"{what} delete kept")
