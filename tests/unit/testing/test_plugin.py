"""The pytest plug-in: fresh fakes by name, and nothing loaded for those who do not ask."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import cloudkit
import cloudkit.testing
from cloudkit import Cloud, Unavailable
from cloudkit.testing import Disconnect, Faults, Guests, VirtualClock

pytest_plugins = ["pytester"]


def test_the_plug_in_loads_next_to_nothing() -> None:
    """Every pytest run on the machine imports it."""
    code = (
        "import pytest, sys; before = set(sys.modules)\n"
        "import cloudkit.testing.plugin; print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"cloudkit", "cloudkit.testing", "cloudkit.testing.plugin"}


def test_the_fixtures_are_those_of_one_fake(
    fake_cloud: Cloud, fake_clock: VirtualClock, fake_faults: Faults, fake_guests: Guests
) -> None:
    native: Any = fake_cloud.native
    assert (fake_clock, fake_faults, fake_guests) == (native.clock, native.faults, native.guests)
    before = fake_clock.now()
    fake_cloud.volumes.create("data", size_gib=1)
    assert fake_clock.now() == before + native.task_seconds
    fake_faults.add("volumes.list", Disconnect())
    with pytest.raises(Unavailable):
        list(fake_cloud.volumes.list())


def test_each_test_has_a_fake_of_its_own_that_is_closed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from cloudkit import Closed

        seen = []

        def test_first(fake_cloud):
            seen.append(fake_cloud)
            fake_cloud.volumes.create("data", size_gib=1)

        def test_second(fake_cloud):
            (first,) = seen
            assert fake_cloud.cloud_id != first.cloud_id
            assert list(fake_cloud.volumes.list()) == []
            with pytest.raises(Closed):
                first.volumes.list()
        """
    )
    pytester.inline_run("-pno:cacheprovider").assertoutcome(passed=2)


def test_every_exported_name_is_there() -> None:
    for name in cloudkit.testing.__all__:
        assert getattr(cloudkit.testing, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Failure'"):
        _ = cloudkit.testing.Failure
