"""The pytest plug-in: a fresh fake cloud for each test that asks for one.

It is loaded by every pytest run where cloudkit is installed, so it loads nothing else before a fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from cloudkit import Cloud
    from cloudkit_fake.clock import VirtualClock
    from cloudkit_fake.faults import Faults
    from cloudkit_fake.guests import Guests


@pytest.fixture
def fake_cloud() -> Generator[Cloud]:
    """A cloud in memory, new for each test: DevStack's flavors, an external network ``public``, nothing else."""
    from cloudkit import connect

    with connect("fake://") as cloud:
        yield cloud


@pytest.fixture
def fake_clock(fake_cloud: Cloud) -> VirtualClock:
    """The clock of ``fake_cloud``: it moves by waits, and by ``advance(seconds)``."""
    clock: VirtualClock = fake_cloud.native.clock
    return clock


@pytest.fixture
def fake_faults(fake_cloud: Cloud) -> Faults:
    """The fault script of ``fake_cloud``: what is to go wrong, and how often each operation was requested."""
    faults: Faults = fake_cloud.native.faults
    return faults


@pytest.fixture
def fake_guests(fake_cloud: Cloud) -> Guests:
    """What the servers of ``fake_cloud`` answer over SSH."""
    guests: Guests = fake_cloud.native.guests
    return guests
