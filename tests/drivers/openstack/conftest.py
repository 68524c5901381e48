"""Fixtures of the OpenStack driver's unit tests: openstacksdk's session over prepared answers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openstack", reason="openstacksdk is not installed: pip install 'cloudkit-sdk[openstack]'")
pytest.importorskip("msgspec", reason="msgspec is not installed: pip install 'cloudkit-sdk[openstack]'")

import responses
from cloud_of_answers import KEYSTONE, PASSWORD, Cloud

import cloudkit
from cloudkit_openstack import service

CLOUDS = f"""
clouds:
  lab:
    auth: {{auth_url: {KEYSTONE}/v3, username: demo, password: {PASSWORD}, project_name: demo,
           user_domain_id: default, project_domain_id: default}}
    region_name: RegionOne
"""


@pytest.fixture(autouse=True)
def _clouds_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for variable in list(os.environ):
        if variable.startswith("OS_") or variable in ("CLOUDKIT_CLOUD", "CLOUDKIT_CONFIG"):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "clouds.yaml").write_text(CLOUDS)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was slept between tries; nothing is waited for."""
    slept: list[float] = []
    monkeypatch.setattr(service, "_sleep", slept.append)
    return slept


@pytest.fixture
def rest() -> Generator[Cloud]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Cloud(mock)


@pytest.fixture
def connect(rest: Cloud) -> Generator[Callable[[], cloudkit.Cloud]]:
    """Opens the cloud, once a test has said what is special about it."""
    opened: list[cloudkit.Cloud] = []

    def connect(**options: Any) -> cloudkit.Cloud:
        rest.prepare()
        opened.append(cloudkit.connect("lab", **options))
        rest.requests.clear()
        return opened[-1]

    yield connect
    for cloud in opened:
        cloud.close()


@pytest.fixture
def cloud(connect: Callable[[], cloudkit.Cloud], rest: Cloud) -> cloudkit.Cloud:
    """The cloud, opened, and with the services' versions known."""
    cloud = connect()
    driver: Any = cloud._context.driver
    for each in (driver._context.compute, driver._context.volume):
        assert each.url
    rest.requests.clear()
    return cloud
