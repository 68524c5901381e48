from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

import cloudkit
from cloudkit import Cloud, Image, Network


@pytest.fixture
def cloud(fake_cloud: Cloud) -> Cloud:
    return fake_cloud


@pytest.fixture
def image(cloud: Cloud) -> Image:
    return cloud.images.upload("blank", data=bytes(1 << 20))


@pytest.fixture
def network(cloud: Cloud) -> Network:
    return cloud.networks.create("private", cidr="172.16.1.0/24")


@pytest.fixture
def server_args(image: Image, network: Network) -> dict[str, Any]:
    """What a server needs besides its name."""
    return {"image": image, "flavor": "m1.tiny", "networks": [network]}


@pytest.fixture
def calls(cloud: Cloud) -> Any:
    """Counts of the requests that were made since the fixture was asked for."""
    counter = cloud.native.faults.calls
    counter.clear()
    return counter


@pytest.fixture
def other_cloud() -> Generator[Cloud]:
    with cloudkit.connect("fake://") as cloud:
        yield cloud
