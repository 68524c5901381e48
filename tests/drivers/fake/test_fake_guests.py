"""Guests over SSH: who gets in, what is there, when the door closes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cloudkit
from cloudkit import Cloud, Image, Network, Server, SshAuthFailed, WaitTimeout
from cloudkit.testing import Answer, Call

User = "cirros"


@pytest.fixture
def key(cloud: Cloud, tmp_path: Path) -> Path:
    cloud.key_pairs.generate("me", tmp_path / "key")
    return tmp_path / "key"


@pytest.fixture
def guest_server(cloud: Cloud, image: Image, key: Path) -> Server:
    return cloud.servers.create("web", image=image, flavor="m1.tiny", networks="none", key_pair="me")


def endpoints(cloud: Cloud, server: Server, port: int = 22) -> Any:
    return cloud._context.driver.compute.servers.endpoints(server.id, port)  # type: ignore[attr-defined]


def accepts(endpoint: Any) -> bool:
    try:
        socket.create_connection((endpoint.host, endpoint.port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def guest_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("cloudkit-fake-guest")]


def test_commands_have_output_errors_and_status(cloud: Cloud, guest_server: Server, key: Path) -> None:
    with cloud.ssh(guest_server, user=User, key=key) as shell:
        result = shell.run("hostname; cat /nowhere; false", check=False)
        assert (result.stdout, result.exit_status) == ("web\n", 1)
        assert "No such file" in result.stderr
        assert shell.run("whoami", sudo=True).stdout == "root\n"
        assert shell.run("cat", input=b"typed").stdout == "typed"
        assert shell.run("no-such-command", check=False).exit_status == 127


def test_many_short_commands_all_get_their_answer(cloud: Cloud, guest_server: Server, key: Path) -> None:
    with cloud.ssh(guest_server, user=User, key=key) as shell:
        assert [shell.run(f"echo {number}").stdout for number in range(60)] == [f"{number}\n" for number in range(60)]


def test_commands_run_side_by_side(cloud: Cloud, guest_server: Server, key: Path) -> None:
    both = threading.Barrier(2, timeout=10)

    def meet(_: Call) -> str:
        both.wait()
        return "met\n"

    cloud.native.guests.on("meet", meet)
    with cloud.ssh(guest_server, user=User, key=key) as shell:
        answers: list[str] = []
        threads = [threading.Thread(target=lambda: answers.append(shell.run("meet").stdout)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert answers == ["met\n", "met\n"]


def test_much_output_arrives_whole(cloud: Cloud, guest_server: Server, key: Path) -> None:
    text = "0123456789abcdef" * 40_000
    cloud.native.guests.on("dump", Answer(text, text[::-1], 3))
    with cloud.ssh(guest_server, user=User, key=key) as shell:
        result = shell.run("dump", check=False)
        assert (result.stdout, result.stderr, result.exit_status) == (text, text[::-1], 3)


def test_files_are_put_and_got(cloud: Cloud, guest_server: Server, key: Path, tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    (tmp_path / "local").write_bytes(content)
    with cloud.ssh(guest_server, user=User, key=key) as shell:
        shell.put(tmp_path / "local", "data.bin", mode=0o600)
        shell.get("/home/cirros/data.bin", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == content
        guest = cloud.native.guests.guest(guest_server.id)
        assert guest.files.open("data.bin", User).mode == 0o600
        shell.put(tmp_path / "local", "data.bin")
        with pytest.raises((cloudkit.CloudError, FileNotFoundError)):
            shell.get("/nowhere", tmp_path / "none")
    assert guest.files.names("/home/cirros") == ["data.bin"]


def test_sftp_speaks_of_files_and_folders(cloud: Cloud, guest_server: Server, key: Path) -> None:
    with cloud.ssh(guest_server, user=User, key=key) as shell:
        sftp = shell._transport.open_sftp_client()  # type: ignore[attr-defined]
        with sftp.open("/srv/a", "wb") as file:
            file.write(b"one")
        with sftp.open("/srv/a", "ab") as file:
            file.write(b"two")
        with sftp.open("/srv/a", "rb") as file:
            assert file.stat().st_size == len(b"onetwo")
            assert file.read() == b"onetwo"
        with sftp.open("/srv/a", "wb") as file:
            file.write(b"new")
        sftp.open("/srv/deep/b", "wb").close()
        assert sorted(sftp.listdir("/srv")) == ["a", "deep"]
        assert sftp.stat("/srv/a").st_size == 3
        sftp.chmod("/srv/a", 0o640)
        assert sftp.lstat("/srv/a").st_mode & 0o777 == 0o640
        assert sftp.normalize(".") == "/home/cirros"
        sftp.rename("/srv/a", "/srv/c")
        sftp.posix_rename("/srv/c", "/srv/a")
        sftp.remove("/srv/a")
        with pytest.raises(OSError, match="Failure"):
            sftp.open("/srv/deep/b", "xb")
        for act in (sftp.remove, sftp.stat, sftp.open, lambda path: sftp.chmod(path, 0o600)):
            with pytest.raises(FileNotFoundError):
                act("/srv/none")
        for rename in (sftp.rename, sftp.posix_rename):
            with pytest.raises(FileNotFoundError):
                rename("/srv/none", "/srv/x")


def test_only_the_servers_key_gets_in(cloud: Cloud, guest_server: Server, image: Image, tmp_path: Path) -> None:
    cloud.key_pairs.generate("other", tmp_path / "other")
    with pytest.raises(SshAuthFailed):
        cloud.ssh(guest_server, user=User, key=tmp_path / "other", timeout_s=0.5)
    keyless = cloud.servers.create("keyless", image=image, flavor="m1.tiny", networks="none")
    with pytest.raises(SshAuthFailed):
        cloud.ssh(keyless, user=User, key=tmp_path / "other", timeout_s=0.5)


def test_nothing_but_a_session_is_opened(cloud: Cloud, guest_server: Server, key: Path) -> None:
    with cloud.ssh(guest_server, user=User, key=key) as shell:
        transport = shell._transport  # type: ignore[attr-defined]
        with pytest.raises(Exception, match="prohibited"):
            transport.open_channel("direct-tcpip", ("127.0.0.1", 1), ("127.0.0.1", 2), timeout=5)


def test_only_a_running_server_listens_and_only_on_22(cloud: Cloud, guest_server: Server) -> None:
    assert endpoints(cloud, guest_server, 80) == ()
    first, second = endpoints(cloud, guest_server), endpoints(cloud, guest_server)
    assert first == second
    assert first[0].host == "127.0.0.1"
    cloud.servers.stop(guest_server)
    assert endpoints(cloud, guest_server) == ()


END: dict[str, Callable[[Cloud, Server], object]] = {
    "stop": lambda cloud, server: cloud.servers.stop(server),
    "hard reboot": lambda cloud, server: cloud.servers.reboot(server, hard=True),
    "suspend": lambda cloud, server: cloud.servers.suspend(server),
    "shelve": lambda cloud, server: cloud.servers.shelve(server),
    "rescue": lambda cloud, server: cloud.servers.rescue(server),
    "rebuild": lambda cloud, server: cloud.servers.rebuild(server, server.image_id),
    "delete": lambda cloud, server: cloud.servers.delete(server),
    "close": lambda cloud, server: cloud.close(),
}


@pytest.mark.parametrize("end", END.values(), ids=END)
def test_the_listener_and_its_connections_end(
    cloud: Cloud, guest_server: Server, key: Path, end: Callable[[Cloud, Server], object]
) -> None:
    (endpoint,) = endpoints(cloud, guest_server)
    shell = cloud.ssh(guest_server, user=User, key=key)
    transport = shell._transport  # type: ignore[attr-defined]
    end(cloud, guest_server)
    assert not accepts(endpoint)
    deadline = time.monotonic() + 5
    while transport.is_active() and time.monotonic() < deadline:
        transport.join(0.05)
    assert not transport.is_active()
    shell.close()
    assert guest_threads() == []


def test_a_rebuilt_guest_has_an_empty_disk_and_another_host_key(
    cloud: Cloud, guest_server: Server, key: Path
) -> None:
    cloud.native.guests.guest(guest_server.id).files.write("/srv/a", b"x")
    cloud.servers.reboot(guest_server, hard=True)
    assert cloud.native.guests.guest(guest_server.id).files.read("/srv/a") == b"x"
    cloud.servers.rebuild(guest_server, guest_server.image_id)
    assert cloud.native.guests.guest(guest_server.id).files.names("/srv") == []
    with cloud.ssh(guest_server, user=User, key=key) as shell:
        assert shell.run("hostname").stdout == "web\n"


def test_a_deleted_guest_is_forgotten(cloud: Cloud, guest_server: Server) -> None:
    guests = cloud.native.guests
    guests.guest(guest_server.id)
    cloud.servers.delete(guest_server)
    assert guests._guests == {}
    with pytest.raises(cloudkit.InvalidState, match="gone"):
        guests.endpoint(guest_server.id)


def test_a_client_that_says_nothing_keeps_nobody_out(cloud: Cloud, guest_server: Server, key: Path) -> None:
    (endpoint,) = endpoints(cloud, guest_server)
    silent = socket.create_connection((endpoint.host, endpoint.port))
    with silent, cloud.ssh(guest_server, user=User, key=key) as shell:
        assert shell.run("true").exit_status == 0


def test_a_fake_in_a_file_keeps_its_host_keys(tmp_path: Path) -> None:
    url = f"fake://?path={tmp_path / 'cloud.json'}"
    with cloudkit.connect(url) as cloud:
        image = cloud.images.upload("i", data=bytes(512))
        key_pair = cloud.key_pairs.generate("me", tmp_path / "key")
        server = cloud.servers.create("s", image=image, flavor="m1.tiny", networks="none", key_pair=key_pair)
        log = cloud.servers.console_log(server)
        with cloud.ssh(server, user=User, key=tmp_path / "key") as shell:
            assert shell.run("hostname").stdout == "s\n"
    with cloudkit.connect(url) as cloud:
        assert cloud.servers.console_log("s") == log
        for _ in range(2):
            with cloud.ssh("s", user=User, key=tmp_path / "key") as shell:
                assert shell.run("hostname").stdout == "s\n"


RULES: list[tuple[dict[str, Any], bool]] = [
    ({"port": 22}, True),
    ({"port": (20, 30), "cidr": "192.0.2.0/24"}, True),
    ({}, True),
    ({"protocol": None}, True),
    ({"port": 80}, False),
    ({"protocol": "udp", "port": 22}, False),
    ({"port": 22, "direction": "egress"}, False),
    ({"port": 22, "remote_group": "default"}, False),
]


@pytest.mark.parametrize(("rule", "opens"), RULES, ids=str)
def test_a_login_needs_a_rule(
    cloud: Cloud, image: Image, network: Network, key: Path, rule: dict[str, Any], opens: bool
) -> None:
    group = cloud.security_groups.create("ssh")
    options = {"flavor": "m1.tiny", "networks": [network], "key_pair": "me", "security_groups": [group]}
    server = cloud.servers.create("web", image=image, **options)
    before = time.monotonic()
    with pytest.raises(WaitTimeout, match=r"security groups \(ssh\) no rule lets TCP port 22 in"):
        cloud.ssh(server, user=User, key=key)
    assert time.monotonic() - before < 5
    cloud.security_groups.add_rule(group, **{"protocol": "tcp", **rule})
    if opens:
        cloud.ssh(server, user=User, key=key).close()
    else:
        with pytest.raises(WaitTimeout):
            cloud.ssh(server, user=User, key=key)


def test_on_the_real_clock_a_rule_is_waited_for(tmp_path: Path) -> None:
    with cloudkit.connect("fake://?clock=real") as cloud:
        cloud.key_pairs.generate("me", tmp_path / "key")
        cloud.images.upload("blank", data=bytes(1024), disk_format="raw")
        network = cloud.networks.create("private", cidr="172.16.1.0/24")
        options = {"flavor": "m1.tiny", "networks": [network], "key_pair": "me"}
        server = cloud.servers.create("web", image="blank", **options)
        assert endpoints(cloud, server) == ()
        cloud.security_groups.add_rule("default", "tcp", port=22)
        cloud.ssh(server, user=User, key=tmp_path / "key").close()
