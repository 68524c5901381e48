from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

import cloudkit
from cloudkit import Cloud, Image, Network, Server
from cloudkit_fake.images import empty_qcow2


@pytest.fixture
def cloud() -> Generator[Cloud]:
    with cloudkit.connect("fake://") as cloud:
        yield cloud


@pytest.fixture
def driver(cloud: Cloud) -> Any:
    return cloud._context.driver


@pytest.fixture
def image(cloud: Cloud) -> Image:
    return cloud.images.upload("blank", data=empty_qcow2(1 << 20))


@pytest.fixture
def network(cloud: Cloud) -> Network:
    return cloud.networks.create("private", cidr="172.16.1.0/24")


@pytest.fixture
def server(cloud: Cloud, image: Image) -> Server:
    """One that runs, without interfaces."""
    return cloud.servers.create("web", image=image, flavor="m1.tiny", networks="none")
