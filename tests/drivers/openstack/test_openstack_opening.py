"""Opening: which cloud, which project, and what is told where that fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cloud_of_answers import KEYSTONE, NEUTRON, PASSWORD, PROJECT, Cloud
from requests.exceptions import ConnectionError as Disconnected
from requests.exceptions import SSLError

import cloudkit
from cloudkit.driver import check_declaration

Connect = Callable[..., cloudkit.Cloud]


def test_a_name_of_clouds_yaml(connect: Connect) -> None:
    cloud = connect()
    assert (cloud.name, cloud.driver_name, cloud.project_id) == ("lab", "openstack", PROJECT)
    driver: Any = cloud._context.driver
    check_declaration(driver)
    assert driver.native.session.auth.auth_url == f"{KEYSTONE}/v3"


def test_what_needs_an_extension_of_neutrons_is_offered_where_it_is(connect: Connect, rest: Cloud) -> None:
    rest.extensions = ("standard-attr-tag",)
    cloud = connect()
    check_declaration(cloud._context.driver)
    assert cloud.supports("networks.create:tags")
    assert not any(map(cloud.supports, ("routers", "floating_ips", "floating_ips.create:ip", "networks.create:mtu")))
    with pytest.raises(cloudkit.Unsupported):
        cloud.routers.create("router")


def test_a_url_and_a_profile_mean_the_same_cloud(
    rest: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest.prepare()
    (tmp_path / "profiles.toml").write_text('[clouds.mine]\ndriver = "openstack"\naddress = "lab"\n')
    monkeypatch.setenv("CLOUDKIT_CONFIG", str(tmp_path / "profiles.toml"))
    opened = [
        cloudkit.connect(name) for name in ("lab", "openstack://lab", "mine", "openstack://lab?region=RegionOne")
    ]
    assert len({cloud.cloud_id for cloud in opened}) == 1
    for cloud in opened:
        cloud.close()


def test_the_environments_variables(rest: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    rest.prepare()
    settings = {"AUTH_URL": f"{KEYSTONE}/v3", "USERNAME": "demo", "PASSWORD": PASSWORD, "PROJECT_NAME": "demo",
                "USER_DOMAIN_ID": "default", "PROJECT_DOMAIN_ID": "default", "REGION_NAME": "RegionOne"}  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(f"OS_{name}", value)
    with cloudkit.connect("openstack://") as cloud:
        assert cloud.project_id == PROJECT


def test_the_password_may_stand_in_secure_yaml_or_come_from_elsewhere(
    rest: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest.prepare()
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(clouds.read_text().replace(f"password: {PASSWORD}, ", ""))
    monkeypatch.setenv("LAB_PASSWORD", PASSWORD)
    with cloudkit.connect("openstack://lab?password_env=LAB_PASSWORD") as cloud:
        assert cloud.project_id == PROJECT
    (tmp_path / "secure.yaml").write_text(f"clouds: {{lab: {{auth: {{password: {PASSWORD}}}}}}}\n")
    with cloudkit.connect("lab") as cloud:
        assert cloud.project_id == PROJECT


def test_a_wrong_password(rest: Cloud, tmp_path: Path) -> None:
    rest.prepare()
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(clouds.read_text().replace(PASSWORD, "guess"))
    with pytest.raises(cloudkit.Unauthenticated) as raised:
        cloudkit.connect("lab")
    assert "guess" not in str(raised.value)
    assert raised.value.driver == "openstack"


def test_no_such_cloud(rest: Cloud) -> None:
    with pytest.raises(cloudkit.ConfigError, match="settings"):
        cloudkit.connect("openstack://lob")
    with pytest.raises(cloudkit.ConfigError, match="no option 'regoin'"):
        cloudkit.connect("openstack://lab?regoin=x")
    with pytest.raises(cloudkit.ConfigError, match="interface"):
        cloudkit.connect("openstack://lab?interface=private")


def test_credentials_for_no_project(rest: Cloud) -> None:
    rest.project = None
    rest.prepare()
    with pytest.raises(cloudkit.ConfigError, match="no project"):
        cloudkit.connect("lab")


@pytest.mark.parametrize(
    ("error", "told"), [(Disconnected("refused"), "does not answer"), (SSLError("bad"), "not trusted")]
)
def test_keystone_that_cannot_be_reached(rest: Cloud, error: Exception, told: str) -> None:
    rest.mock.get(f"{KEYSTONE}/v3", body=error)
    rest.mock.post(f"{KEYSTONE}/v3/auth/tokens", body=error)
    with pytest.raises(cloudkit.Unavailable, match=told):
        cloudkit.connect("lab")


@pytest.mark.parametrize(("missing", "use"), [("volumev3", "volumes"), ("compute", "servers"), ("image", "images")])
def test_a_service_that_the_catalog_lacks(connect: Connect, rest: Cloud, missing: str, use: str) -> None:
    rest.without = missing
    cloud = connect()
    with pytest.raises(cloudkit.Unsupported) as raised:
        list(getattr(cloud, use).list())
    assert "cloudkit endpoints" in raised.value.hint


def test_another_project_is_another_token(connect: Connect, rest: Cloud) -> None:
    cloud = connect()
    rest.project = "f" * 32
    other = cloud.for_project("f" * 32)
    assert (other.project_id, other.cloud_id) == ("f" * 32, cloud.cloud_id)
    assert rest.tokens == 2
    assert cloud.for_project("f" * 32).project_id == other.project_id
    assert rest.tokens == 2


def test_an_older_keystones_address_without_version(rest: Cloud, tmp_path: Path) -> None:
    rest.prepare()
    with cloudkit.connect("lab") as cloud:
        with_version = cloud.cloud_id
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(clouds.read_text().replace(f"{KEYSTONE}/v3", f"{KEYSTONE}/"))
    version = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{KEYSTONE}/v3/"}]}
    rest.mock.get(f"{KEYSTONE}/", json={"versions": {"values": [version]}}, status=300)
    with cloudkit.connect("lab") as cloud:
        assert cloud.cloud_id == with_version


def test_a_neutron_that_refuses_is_told_with_its_request_id(rest: Cloud) -> None:
    refusal = {"NeutronError": {"type": "x", "message": "not today", "detail": ""}}
    rest.answer("GET", f"{NEUTRON}/v2.0/extensions", refusal, 403, {"x-openstack-request-id": "req-1"})
    rest.prepare()
    with pytest.raises(cloudkit.PermissionDenied, match="not today") as raised:
        cloudkit.connect("lab")
    assert raised.value.request_id == "req-1"


def test_openstacksdk_is_imported_only_when_a_cloud_is_opened() -> None:
    code = (
        "import sys, cloudkit, cloudkit_openstack; print([m for m in ('openstack', 'msgspec') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
