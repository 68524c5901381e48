"""Into servers: a verified host key from the first contact on, commands, files, disks."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from cloudkit import (
    AlreadyExists,
    Closed,
    Cloud,
    CommandFailed,
    HostKeyChanged,
    InvalidRequest,
    NotFound,
    Server,
    Shell,
    SshAuthFailed,
    WaitTimeout,
)
from cloudkit.cli.story import find_disk
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab

OTHER_HOST_KEY = "ssh-ed25519 SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
GIB = 1 << 30


@needs("servers.ssh")
class TestSsh(Conformance):
    @pytest.fixture
    def shell(self, conformance_lab: Lab) -> Generator[Shell]:
        """A login to the server that has booted."""
        with conformance_lab.shell(conformance_lab.booted()) as shell:
            yield shell

    def test_the_host_key_is_verified_from_the_first_contact_on(self, lab: Lab, shell: Shell) -> None:
        kind, _, fingerprint = shell.host_key.partition(" ")
        assert kind
        assert fingerprint.startswith("SHA256:")
        recorded = lab.booted().host_key
        assert recorded in (None, shell.host_key)
        with lab.shell(lab.booted()) as again:
            assert again.host_key == shell.host_key

    def test_a_host_key_that_was_given_is_expected(self, lab: Lab, shell: Shell) -> None:
        for host_key in (shell.host_key, shell.host_key.partition(" ")[2]):
            with lab.cloud.ssh(lab.booted(), user=lab.target.user, key=lab.key_path, host_key=host_key) as another:
                assert another.host_key == shell.host_key

    def test_another_host_key_is_refused_loudly(self, lab: Lab) -> None:
        with pytest.raises(HostKeyChanged):
            lab.cloud.ssh(lab.booted(), user=lab.target.user, key=lab.key_path, host_key=OTHER_HOST_KEY)

    @needs("servers.security_groups", "security_groups")
    def test_a_login_needs_a_rule(self, lab: Lab, cloud: Cloud) -> None:
        server, closed = lab.booted(), cloud.security_groups.create(lab.name("closed"))
        lab.cloud.servers.set_security_groups(server, [closed])
        try:
            assert lab.soon(lambda: is_closed(lab, server))
        finally:
            lab.cloud.servers.set_security_groups(server, [lab.login_group])
        lab.shell(server).close()

    def test_another_key_is_refused(self, lab: Lab, cloud: Cloud, tmp_path: Path) -> None:
        cloud.key_pairs.generate(lab.name("key"), tmp_path / "another")
        with pytest.raises(SshAuthFailed) as raised:
            lab.cloud.ssh(lab.booted(), user=lab.target.user, key=tmp_path / "another", timeout_s=1.5)
        assert raised.value.operation == "ssh"

    def test_a_command_gives_status_and_output(self, shell: Shell) -> None:
        result = shell.run("echo hello")
        assert (result.exit_status, result.stdout, result.stderr) == (0, "hello\n", "")
        assert shell.run("false").exit_status == 1
        assert shell.run(["echo", "two  words", "$HOME"]).stdout == "two  words $HOME\n"

    def test_a_command_that_fails_is_told_where_that_is_asked_for(self, shell: Shell) -> None:
        with pytest.raises(CommandFailed) as raised:
            shell.run("cat /no/such/file", check=True)
        assert raised.value.exit_status == 1
        assert "No such file" in raised.value.stderr

    def test_a_command_reads_its_input(self, shell: Shell) -> None:
        text = "Größe\n" * 10000
        assert shell.run("cat", input=text).stdout == text
        assert shell.run("cat").stdout == ""

    @pytest.mark.parametrize("command", ["", "  ", "a\0b"], ids=repr)
    def test_what_is_no_command_is_refused(self, shell: Shell, command: str) -> None:
        with pytest.raises(InvalidRequest):
            shell.run(command)

    def test_files_go_there_and_back(self, shell: Shell, tmp_path: Path) -> None:
        content = os.urandom(300_000)
        (tmp_path / "there").write_bytes(content)
        shell.put(tmp_path / "there", "/tmp/conformance-file")  # noqa: S108
        shell.get("/tmp/conformance-file", tmp_path / "back")  # noqa: S108
        assert (tmp_path / "back").read_bytes() == content

    def test_a_file_that_is_not_there_is_not_found(self, shell: Shell, tmp_path: Path) -> None:
        with pytest.raises(NotFound):
            shell.get("/no/such/file", tmp_path / "back")
        with pytest.raises(InvalidRequest):
            shell.put(tmp_path / "missing", "/tmp/missing")  # noqa: S108
        assert list(tmp_path.iterdir()) == []

    def test_a_closed_shell_refuses(self, lab: Lab) -> None:
        shell = lab.shell(lab.booted())
        shell.close()
        shell.close()
        with pytest.raises(Closed):
            shell.run("echo hello")

    @needs("volumes.attach")
    def test_a_volume_is_found_by_its_serial_number(self, lab: Lab, cloud: Cloud, shell: Shell) -> None:
        disk = cloud.volumes.attach(lab.volume(cloud), lab.booted().id)
        device = find_disk(shell, disk)
        assert f"{GIB} bytes" in shell.run(f"fdisk -l {device}", sudo=True, check=True).stdout
        cloud.volumes.detach(disk.volume_id)
        assert disk.serial not in shell.run("lsblk -dno NAME,SERIAL", check=True).stdout

    def test_a_stopped_server_does_not_answer(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, networks=[lab.network], key_pair=lab.key_pair.name)
        cloud.servers.stop(server, hard=True)
        with pytest.raises(WaitTimeout):
            lab.cloud.ssh(server, user=lab.target.user, key=lab.key_path, timeout_s=0.5)

    def test_an_unknown_server_is_not_found(self, lab: Lab) -> None:
        with pytest.raises(NotFound):
            lab.cloud.ssh(lab.name(), user=lab.target.user)

    @needs("servers.create:inject_host_key")
    def test_an_injected_host_key_is_the_servers(self, lab: Lab, cloud: Cloud) -> None:
        server = lab.server(cloud, networks=[lab.network], key_pair=lab.key_pair.name, inject_host_key=True)
        with lab.shell(server) as shell:
            assert shell.host_key == server.host_key


@needs("servers.ssh")
class TestKeyFiles(Conformance):
    def test_a_generated_key_is_written_for_its_owner_only(self, lab: Lab, cloud: Cloud, tmp_path: Path) -> None:
        key_pair = cloud.key_pairs.generate(lab.name("key"), tmp_path / "key")
        assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
        assert "PRIVATE KEY" in (tmp_path / "key").read_text()
        assert "PRIVATE" not in repr(key_pair)

    def test_a_file_that_is_there_is_not_overwritten(self, lab: Lab, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("mine")
        name = lab.name("key")
        with pytest.raises(AlreadyExists):
            lab.cloud.key_pairs.generate(name, tmp_path / "key")
        assert (tmp_path / "key").read_text() == "mine"
        assert lab.cloud.key_pairs.find(name) is None

    def test_a_name_that_is_taken_leaves_no_file(self, lab: Lab, cloud: Cloud, tmp_path: Path) -> None:
        key_pair = cloud.key_pairs.generate(lab.name("key"), tmp_path / "one")
        with pytest.raises(AlreadyExists):
            cloud.key_pairs.generate(key_pair.name, tmp_path / "two")
        assert not (tmp_path / "two").exists()


def is_closed(lab: Lab, server: Server) -> bool:
    """Whether logins come to nothing."""
    try:
        lab.cloud.ssh(server, user=lab.target.user, key=lab.key_path, timeout_s=3).close()
    except WaitTimeout:
        return True
    return False
