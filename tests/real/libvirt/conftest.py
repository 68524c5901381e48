"""The bed as a bare driver, and as the profile ``bed`` of cloudkit's configuration; each test must leave it clean."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from bare_driver import current_bed, guest_path, open_driver
from bed import LibvirtBed
from saved_guest import NAME, Guest, SavedGuest, connect, deleting_all

import cloudkit
from cloudkit import Cloud

PROFILE = "bed"


@pytest.fixture
def bed() -> Generator[LibvirtBed]:
    bed = current_bed()
    yield bed
    assert bed.leftovers() == []


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
    return f"""
[clouds.{PROFILE}]
url = {text(f"libvirt+{bed.uri}")}
pool_path = {text(str(bed.pool_path))}

[clouds.{PROFILE}.story]
image = {text(os.fspath(guest_path()))}
"""
