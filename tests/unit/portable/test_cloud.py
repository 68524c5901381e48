from __future__ import annotations

import logging
import os
import pickle
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import cloudkit
from cloudkit import (
    Closed,
    Cloud,
    CloudError,
    ConfigError,
    HostKeyChanged,
    InvalidRequest,
    NotFound,
    Server,
    SshAuthFailed,
    Unsupported,
)
from cloudkit.cli.story import run_story
from cloudkit.testing import Disconnect, Faults, Raise

A_HOST_KEY = "ssh-ed25519 SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def test_it_tells_what_it_is(cloud: Cloud) -> None:
    assert cloud.name == "fake://"
    assert cloud.driver_name == "fake"
    assert cloud.project_id == "default"
    assert re.fullmatch(r"[0-9a-f-]{36}", cloud.cloud_id)
    assert cloud.story == {"user": "cirros", "flavor": "m1.tiny", "external_network": "public"}
    assert "servers.pause" in cloud.capabilities
    assert repr(cloud) == "<Cloud fake:// (fake), project default>"


def test_options_and_project_reach_the_driver() -> None:
    with cloudkit.connect("fake://?boot_seconds=7", project="lab", task_seconds=2) as cloud:
        assert cloud.project_id == "lab"
        assert (cloud.native.boot_seconds, cloud.native.task_seconds) == (7, 2)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere://", "there is no driver 'nowhere'"),
        ("fake://?boot_secnods=5", "has no option 'boot_secnods'"),
        ("fake://?boot_seconds=soon", "boot_seconds: 'soon' is not a valid value"),
        ("fake://host", "a fake has no address"),
    ],
)
def test_a_cloud_that_cannot_be_opened(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        cloudkit.connect(name)


def test_two_fakes_know_nothing_of_each_other(cloud: Cloud, other_cloud: Cloud) -> None:
    cloud.volumes.create("data", size_gib=1)
    assert list(other_cloud.volumes.list()) == []
    assert cloud.cloud_id != other_cloud.cloud_id


def test_what_is_supported(cloud: Cloud) -> None:
    assert cloud.supports("servers.pause")
    assert cloud.supports("servers.create:tags")
    with pytest.raises(InvalidRequest, match=r"there is no 'servers\.puase'") as raised:
        cloud.supports("servers.puase")
    assert "Did you mean 'servers.pause'?" in raised.value.hint


def test_raw_is_the_backends_own_description(cloud: Cloud) -> None:
    volume = cloud.volumes.create("data", size_gib=1)
    assert cloud.raw(volume)["size_gib"] == 1
    cloud.volumes.delete(volume)
    with pytest.raises(NotFound) as raised:
        cloud.raw(volume)
    assert raised.value.operation == "raw"
    with pytest.raises(InvalidRequest, match="a value that this cloud gave is expected"):
        cloud.raw("data")  # type: ignore[arg-type]


def test_limits(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.volumes.create("data", size_gib=3)
    limits = cloud.limits()
    assert (limits["volumes"].limit, limits["volumes"].in_use) == (10, 1)
    assert limits["volume_gib"].in_use == 3
    monkeypatch.setattr(cloud._context.driver, "capabilities", frozenset(), raising=False)
    with pytest.raises(Unsupported) as raised:
        cloud.limits()
    assert raised.value.operation == "limits"


def test_another_project_shares_the_connection(cloud: Cloud) -> None:
    other = cloud.for_project("other")
    assert (other.project_id, other.cloud_id, other.name, other.story) == (
        "other",
        cloud.cloud_id,
        cloud.name,
        cloud.story,
    )
    volume = cloud.volumes.create("data", size_gib=1)
    with pytest.raises(NotFound):
        other.volumes.get(volume)
    other.close()
    with pytest.raises(Closed):
        other.volumes.list()
    assert cloud.volumes.get("data") == volume
    again = cloud.for_project("other")
    cloud.close()
    with pytest.raises(Closed):
        again.volumes.list()
    for project in ("", 5):
        with pytest.raises((InvalidRequest, Closed)):
            cloud.for_project(project)  # type: ignore[arg-type]


def test_a_projects_name_is_checked(cloud: Cloud) -> None:
    with pytest.raises(InvalidRequest, match="project_id: it is empty"):
        cloud.for_project("")


# ---------------------------------------------------------------- its end


def test_after_close_everything_raises_closed(cloud: Cloud) -> None:
    listing = cloud.flavors.list()
    next(listing)
    cloud.close()
    cloud.close()
    attempts: list[Any] = [
        lambda: cloud.volumes.list(),
        lambda: cloud.volumes.get("x"),
        lambda: cloud.volumes.find("x"),
        lambda: cloud.volumes.delete("x"),
        lambda: cloud.volumes.create("x", size_gib=1),
        lambda: cloud.volumes.create_many([]),
        lambda: cloud.servers.start("x"),
        lambda: cloud.limits(),
        lambda: cloud.sweep(),
        lambda: cloud.scope("x"),
        lambda: cloud.for_project("x"),
        lambda: cloud.ssh("x", user="y"),
        lambda: cloud.native,
        lambda: next(listing),
    ]
    for attempt in attempts:
        with pytest.raises(Closed, match="this Cloud was closed"):
            attempt()


def test_the_with_block_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    with cloudkit.connect("fake://") as cloud:
        monkeypatch.setattr(cloud._context.driver, "close", lambda: closed.append(True))
        with cloud.scope("ci") as scoped:
            scoped.close()
        with cloud.for_project("x"):
            pass
        assert closed == []
    assert closed == [True]
    cloud.close()
    assert closed == [True]


def test_a_driver_that_breaks_at_the_end_is_told_as_a_cloud_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("socket")

    cloud = cloudkit.connect("fake://")
    monkeypatch.setattr(cloud._context.driver, "close", broken)
    with pytest.raises(CloudError, match="RuntimeError: socket") as raised:
        cloud.close()
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_a_driver_that_refuses_to_close_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise NotFound("gone")

    cloud = cloudkit.connect("fake://")
    monkeypatch.setattr(cloud._context.driver, "close", broken)
    with pytest.raises(NotFound, match="gone"):
        cloud.close()


def test_a_child_process_cannot_use_it_and_does_not_close_it(cloud: Cloud) -> None:
    closed: list[bool] = []
    cloud._context.driver.close = lambda: closed.append(True)  # type: ignore[method-assign]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "nothing was raised"
        try:
            cloud.flavors.list()
        except Closed as error:
            answer = error.message
        cloud.close()
        os.write(writer, f"{answer}, {closed}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1000) == b"this Cloud was opened by the parent of this process, []"
    os.close(reader)
    os.close(writer)
    assert list(cloud.flavors.list())


def test_threads_share_it(cloud: Cloud) -> None:
    cloud.native.quotas["volumes"] = -1
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                volume = cloud.volumes.create(f"v{number}-{turn}", size_gib=1)
                assert cloud.volumes.get(f"v{number}-{turn}") == volume
                cloud.volumes.delete(volume)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert list(cloud.volumes.list()) == []


def test_values_have_no_connection_inside(cloud: Cloud, server_args: dict[str, Any]) -> None:
    server = cloud.servers.create("web", **server_args)
    copy = pickle.loads(pickle.dumps(server))
    assert copy == server
    assert hash(copy) == hash(server)
    assert cloud.servers.get(copy) == server


# ---------------------------------------------------------------- ssh


@pytest.fixture
def key(cloud: Cloud, tmp_path: Path) -> Path:
    cloud.key_pairs.generate("me", tmp_path / "key")
    cloud.security_groups.add_rule("default", "tcp", port=22)
    return tmp_path / "key"


@pytest.fixture
def server(cloud: Cloud, server_args: dict[str, Any], key: Path) -> Server:
    return cloud.servers.create("web", **server_args, key_pair="me")


def test_a_shell_is_verified_by_the_console(cloud: Cloud, server: Server, key: Path) -> None:
    with cloud.ssh("web", user="cirros", key=key) as shell:
        assert shell.run("hostname").stdout == "web\n"
        assert shell.host_key.removeprefix("ssh-ed25519 ")[:7] == "SHA256:"
        assert shell.server == server
        assert shell.user == "cirros"


def test_a_shell_is_verified_by_the_injected_key(
    cloud: Cloud, server_args: dict[str, Any], key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = cloud.servers.create("web", **server_args, key_pair="me", inject_host_key=True)
    lacking = cloud.capabilities - {"servers.console_log"}
    monkeypatch.setattr(cloud._context.driver, "capabilities", lacking, raising=False)
    with cloud.ssh(server, user="cirros", key=key) as shell:
        assert shell.host_key == server.host_key


def test_another_host_key_is_refused_loudly(cloud: Cloud, server: Server, key: Path) -> None:
    with pytest.raises(HostKeyChanged, match="presents another host key") as raised:
        cloud.ssh(server, user="cirros", key=key, host_key=A_HOST_KEY, timeout_s=10)
    assert raised.value.operation == "ssh"
    assert "Do not log in" in raised.value.hint


def test_a_wrong_key_is_refused(cloud: Cloud, server: Server, tmp_path: Path) -> None:
    cloud.key_pairs.generate("other", tmp_path / "other")
    with pytest.raises(SshAuthFailed):
        cloud.ssh(server, user="cirros", key=tmp_path / "other", timeout_s=0.5)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"user": 5}, "user: text is expected"),
        ({"port": 0}, "port: it is 0"),
        ({"port": 65536}, "port: it is 65536"),
        ({"timeout_s": -1}, "must not be negative"),
    ],
)
def test_wrong_arguments_of_ssh(cloud: Cloud, server: Server, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        cloud.ssh(server, **{"user": "cirros", **arguments})


def test_ssh_where_it_is_not_offered(cloud: Cloud, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud._context.driver, "capabilities", frozenset(), raising=False)
    with pytest.raises(Unsupported, match=r"servers\.ssh"):
        cloud.ssh(server, user="cirros")


# ---------------------------------------------------------------- the log


def test_one_line_a_verb(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "cloudkit"):
        cloud.volumes.create("data", size_gib=1)
        with pytest.raises(NotFound):
            cloud.volumes.get("nobody")
    lines = [record.getMessage() for record in caplog.records if record.name == "cloudkit.fake"]
    assert re.fullmatch(r"volumes\.create data: done after \d+\.\d ms", lines[0])
    assert re.fullmatch(r"volumes\.get nobody: NotFound after \d+\.\d ms", lines[1])
    assert len(lines) == 2


def test_no_secret_is_in_the_log_of_a_whole_story(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets: list[str] = []
    generate = cloudkit._keys.generate_key_pair  # type: ignore[attr-defined]

    def generate_and_tell(comment: str = "") -> tuple[str, str]:
        private, public = generate(comment)
        secrets.extend(line for line in private.splitlines() if len(line) > 30 and "PRIVATE" not in line)
        return private, public

    monkeypatch.setattr("cloudkit._compute.generate_key_pair", generate_and_tell)
    monkeypatch.setattr("cloudkit_fake.console.generate_key_pair", generate_and_tell)
    password = "correct-horse-battery"
    with caplog.at_level(logging.DEBUG), cloudkit.connect("fake://") as cloud:
        assert run_story(cloud, lambda _: None).ok
        network = cloud.networks.create("n", cidr="172.16.1.0/24")
        image = cloud.images.upload("i", data=bytes(1 << 20))
        user_data = f"#cloud-config\npassword: {password}"
        cloud.servers.create("s", image=image, flavor="1", networks=[network], user_data=user_data)
        with pytest.raises(InvalidRequest):
            cloud.key_pairs.create("k", public_key=f"-----BEGIN OPENSSH PRIVATE KEY-----\n{password}")
    logged = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
    assert len(secrets) >= 8
    assert "servers.create" in logged
    assert [secret for secret in [*secrets, password] if secret in logged] == []


def test_errors_hold_no_private_key(cloud: Cloud) -> None:
    with pytest.raises(InvalidRequest) as raised:
        cloud.key_pairs.create("k", public_key="-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n")
    assert "c2VjcmV0" not in str(raised.value) + repr(raised.value)


# ---------------------------------------------------------------- lists that break on the way


def test_a_list_that_breaks_on_its_way_is_told(
    cloud: Cloud, fake_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    flavor = cloud.flavors.get("1")

    def broken(_query: object) -> Any:
        yield flavor
        raise OSError("page 2")

    monkeypatch.setattr(cloud._context.driver.compute.flavors, "list", broken)
    listing = cloud.flavors.list()
    next(listing)
    with pytest.raises(CloudError, match="page 2") as raised:
        next(listing)
    assert raised.value.operation == "flavors.list"
    assert raised.value.driver == "fake"
    assert fake_faults.calls["flavors.get"] == 1


def test_an_error_of_the_driver_keeps_what_it_said(cloud: Cloud, fake_faults: Faults) -> None:
    fake_faults.add("volumes.get", Raise(NotFound("gone", driver="deep", operation="inner", resource="r")))
    with pytest.raises(NotFound) as raised:
        cloud.volumes.get("7c4d1a3e-0000-4000-8000-000000000001")
    assert (raised.value.driver, raised.value.operation) == ("fake", "volumes.get")


def test_nothing_listens_when_it_is_closed(cloud: Cloud, server: Server, key: Path, fake_faults: Faults) -> None:
    with cloud.ssh(server, user="cirros", key=key) as shell:
        port = shell.endpoint.port
    fake_faults.add("servers.get", Disconnect())
    cloud.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), 1)
