"""A libvirt on another host, through ssh: all works, host keys are checked, and no wait is without end."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from bare_driver import current_bed, guest_path
from bed import LibvirtBed
from remote_host import PORT, RemoteHost, known_line, remote_host

import cloudkit
from cloudkit import Cloud, CloudError, HostKeyChanged, HostKeyUnknown, Unauthenticated, Unavailable
from cloudkit._keys import generate_key_pair, write_private_key
from cloudkit.cli.steps import StepPassed
from cloudkit.cli.story import run_story
from cloudkit_libvirt import ssh_transport


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Generator[RemoteHost]:
    with remote_host(current_bed(), tmp_path_factory.mktemp("remote")) as host:
        yield host


@pytest.fixture
def connect(bed: LibvirtBed) -> Callable[[str], Cloud]:
    """Open a URI; libvirt says that it has KVM, which on a remote host is believed."""
    return lambda uri: cloudkit.connect(
        f"libvirt+{uri}", pool_path=str(bed.pool_path), virt_type="qemu", external_cidr=""
    )


def test_the_story_is_told_from_afar(
    remote: RemoteHost, bed: LibvirtBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps
    config = tmp_path / "cloudkit.toml"
    config.write_text(f"""
[clouds.far]
url = {text(f"libvirt+{remote.uri()}")}
pool_path = {text(str(bed.pool_path))}
virt_type = "qemu"
external_cidr = ""
story = {{ image = {text(str(guest_path()))}, external_network = "public" }}
""")
    monkeypatch.setenv("CLOUDKIT_CONFIG", str(config))
    with cloudkit.connect("far") as cloud, cloud.scope("external") as mine:
        mine.networks.create("public", cidr="172.24.4.0/24", external=True)
        command = Path(ssh_transport.query_of(cloud._driver._context.connection.uri)["command"])  # type: ignore[attr-defined, unused-ignore]
        assert command.exists()
        result = run_story(cloud, lambda _event: None)
        assert result.ok, result.outcomes
        passed = {
            outcome.step.title: outcome.detail for outcome in result.outcomes if isinstance(outcome, StepPassed)
        }
        assert passed["disk seen over ssh"].startswith("Disk /dev/vdb: 1 GiB")
        assert "snapshot of the server" in passed
    assert not command.exists()


def test_a_server_is_reached_through_its_host(
    remote: RemoteHost, connect: Callable[[str], Cloud], tmp_path: Path
) -> None:
    with connect(remote.uri()) as cloud, cloud.scope("remote") as mine:
        network = mine.networks.create("net", cidr="172.16.1.0/24")
        mine.images.upload("guest", path=guest_path())
        mine.flavors.create("small", vcpus=1, ram_mib=128, disk_gib=1)
        key_pair = mine.key_pairs.generate("key", tmp_path / "key")
        mine.networks.create("outside", cidr="172.24.4.0/24", external=True)
        mine.routers.create("router", external="outside", networks=[network])
        group = mine.security_groups.create("ssh")
        mine.security_groups.add_rule(group, "tcp", port=22)
        server = mine.servers.create(
            "far", image="guest", flavor="small", networks=[network], key_pair=key_pair, security_groups=[group]
        )
        floating = mine.floating_ips.create(external="outside", server=server)
        # A guest that comes up between two tries may be reached by its fixed address, which comes second.
        mine.ssh(server, user="root", key=tmp_path / "key").close()
        with mine.ssh(server, user="root", key=tmp_path / "key") as shell:
            assert shell.run("hostname", check=True).stdout == "far\n"
            assert shell.endpoint.host == floating.ip
            assert shell.endpoint.jump == f"root@127.0.0.1:{PORT}"
        mine.images.download("guest", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == guest_path().read_bytes()


class TestRefusals:
    @pytest.fixture
    def refused(self, connect: Callable[[str], Cloud]) -> Callable[[str], CloudError]:
        def error_of(uri: str) -> CloudError:
            with pytest.raises(CloudError) as raised:
                connect(uri)
            assert raised.value.driver == "libvirt"
            assert raised.value.fault
            assert raised.value.hint
            return raised.value

        return error_of

    def test_a_host_that_is_not_known(
        self, remote: RemoteHost, refused: Callable[[str], CloudError], tmp_path: Path
    ) -> None:
        nobody = tmp_path / "known_hosts"
        nobody.touch()
        assert type(refused(remote.uri(known_hosts=nobody))) is HostKeyUnknown

    def test_a_host_that_has_another_key(
        self, remote: RemoteHost, refused: Callable[[str], CloudError], tmp_path: Path
    ) -> None:
        # ssh tells the path, and libvirt reads a thousand bytes of what ssh tells.
        other = tmp_path / ("known" * 50)
        other.write_text(known_line(generate_key_pair()[1]))
        assert type(refused(remote.uri(known_hosts=other))) is HostKeyChanged

    def test_a_key_that_does_not_let_in(
        self, remote: RemoteHost, refused: Callable[[str], CloudError], tmp_path: Path
    ) -> None:
        write_private_key(tmp_path / "other", generate_key_pair()[0])
        assert type(refused(remote.uri(keyfile=tmp_path / "other"))) is Unauthenticated

    def test_a_port_where_nothing_listens(self, remote: RemoteHost, refused: Callable[[str], CloudError]) -> None:
        error = refused(remote.uri(port=9))
        assert type(error) is Unavailable
        assert "refused" in str(error.fault)

    def test_a_host_that_never_speaks(
        self, remote: RemoteHost, refused: Callable[[str], CloudError], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ssh_transport, "CONNECT_TIMEOUT_S", 2)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            error = refused(remote.uri(port=silent.getsockname()[1]))
        assert type(error) is Unavailable
        assert "timed out" in str(error.fault)
