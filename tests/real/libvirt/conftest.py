"""The bed as a bare driver, and as profiles of cloudkit's configuration; each test must leave it clean.

Most tests need no filters on the host, and use the profile ``bed``; ``routed`` has them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from bare_driver import current_bed, guest_path, open_driver
from bed import HERE, LibvirtBed
from guarded_server import Guarded, guarded_server
from saved_guest import NAME, Guest, SavedGuest, connect, deleting_all

import cloudkit
from cloudkit import Cloud

PROFILE = "bed"
ROUTED = "routed"
RESUMED = "resumed"
EXTERNAL_CIDR = "172.24.4.0/24"

# See run.py: the administrator runs all but what the ordinary user does.
collect_ignore = [
    path.name for path in HERE.glob("test_*.py") if path.name.endswith("_session.py") is (os.geteuid() == 0)
]


_told: set[str] = set()
"""What was found to be left over: one test fails for it, and not all that come after."""


@pytest.fixture
def bed() -> Generator[LibvirtBed]:
    bed = current_bed()
    yield bed
    left = [each for each in bed.leftovers() if each not in _told]
    _told.update(left)
    assert left == []


@pytest.fixture
def driver(bed: LibvirtBed) -> Generator[Any]:
    with open_driver(bed) as driver:
        yield driver


@pytest.fixture
def profile(bed: LibvirtBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A profile's name that connects to the bed, in this process and in those it starts."""
    config = tmp_path / "cloudkit.toml"
    config.write_text(profile_text(bed))
    for variable in ("CLOUDKIT_CLOUD", "OS_CLOUD", "OS_CLIENT_CONFIG_FILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CLOUDKIT_CONFIG", str(config))
    return PROFILE


@pytest.fixture
def cloud(profile: str) -> Generator[Cloud]:
    with cloudkit.connect(profile) as cloud:
        yield cloud


@pytest.fixture
def routed(profile: str) -> Generator[Cloud]:
    """The bed with routers, filters and an external network."""
    with cloudkit.connect(ROUTED) as cloud, cloud.scope("external") as mine:
        mine.networks.create("public", cidr=EXTERNAL_CIDR, external=True)
        yield cloud


@pytest.fixture
def guarded(routed: Cloud, tmp_path: Path) -> Generator[Guarded]:
    """A server behind a router, a floating IP and filters."""
    with guarded_server(routed, tmp_path) as guarded:
        yield guarded


@pytest.fixture(scope="session")
def saved_guest(tmp_path_factory: pytest.TempPathFactory) -> SavedGuest:
    return SavedGuest(current_bed(), tmp_path_factory.mktemp("saved-guest"))


@pytest.fixture
def guest(bed: LibvirtBed, saved_guest: SavedGuest) -> Generator[Guest]:
    """A guest that has booted; for tests of anything but the boot."""
    saved_guest.put_back()
    with connect(bed) as cloud, deleting_all(cloud):
        yield Guest(cloud, cloud.servers.get(NAME), saved_guest.key_path)


def profile_text(bed: LibvirtBed) -> str:
    """A cloudkit.toml for the bed."""
    text = json.dumps
    common = f"""
url = {text(f"libvirt+{bed.uri}")}
pool_path = {text(str(bed.pool_path))}
# Made by the fixture, as nothing may be left.
external_cidr = ""
"""
    return f"""
[clouds.{PROFILE}]
{common}
host_network = "off"
[clouds.{PROFILE}.story]
image = {text(os.fspath(guest_path()))}

[clouds.{ROUTED}]
{common}
host_network = "on"
[clouds.{ROUTED}.story]
image = {text(os.fspath(guest_path()))}
external_network = "public"

[clouds.{RESUMED}]
{common}
host_network = "on"
resume_servers = true
"""
