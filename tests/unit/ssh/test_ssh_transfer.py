from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from ssh_server import SshServer

from cloudkit.errors import Closed, InvalidRequest, NotFound, SshError, Unavailable
from cloudkit.ssh import Shell

BIG = bytes(range(256)) * 4096


@pytest.fixture(params=["sftp", "no sftp"])
def sshd(request: pytest.FixtureRequest, start: Callable[..., SshServer]) -> SshServer:
    """A server with SFTP as OpenSSH's, and one without as dropbear."""
    return start(sftp=request.param == "sftp")


@pytest.fixture
def shell(sshd: SshServer, open_to: Callable[..., Shell]) -> Generator[Shell]:
    with open_to(sshd) as shell:
        yield shell


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} - {".ssh"}


# ---------------------------------------------------------------- what works


@pytest.mark.parametrize("content", [b"", b"x\0\xff\n", BIG])
def test_a_file_goes_there_and_back_unchanged(shell: Shell, home: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "here").write_bytes(content)
    shell.put(tmp_path / "here", "there")
    assert (home / "there").read_bytes() == content
    shell.get("there", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert names(home) == {"there"}
    assert names(tmp_path) == {"home", "here", "back"}


@pytest.mark.parametrize("name", ["a b", "it's", "$HOME", "-rf", "*", "ü"])
def test_an_odd_name_is_a_name(shell: Shell, home: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "here").write_bytes(b"odd")
    shell.put(tmp_path / "here", name)
    assert names(home) == {name}
    shell.get(name, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"odd"


@pytest.mark.parametrize(("mode", "expected"), [(None, 0o640), (0o755, 0o755), (0o600, 0o600)])
def test_a_file_keeps_its_permissions_or_gets_those_that_are_given(
    shell: Shell, home: Path, tmp_path: Path, mode: int | None, expected: int
) -> None:
    (tmp_path / "here").write_bytes(b"x")
    (tmp_path / "here").chmod(0o640)
    shell.put(tmp_path / "here", "there", mode=mode)
    assert stat.S_IMODE((home / "there").stat().st_mode) == expected


def test_what_is_there_is_replaced(shell: Shell, home: Path, tmp_path: Path) -> None:
    (home / "there").write_bytes(b"old and longer")
    (tmp_path / "back").write_bytes(b"old")
    (tmp_path / "here").write_bytes(b"new")
    shell.put(str(tmp_path / "here"), str(home / "there"))
    shell.get(str(home / "there"), str(tmp_path / "back"))
    assert (home / "there").read_bytes() == (tmp_path / "back").read_bytes() == b"new"


def test_a_tilde_is_the_user_s_home_here(shell: Shell, home: Path) -> None:
    (home / "here").write_bytes(b"x")
    shell.put("~/here", "there")
    shell.get("there", "~/back")
    assert names(home) == {"here", "there", "back"}


# ---------------------------------------------------------------- what does not, and leaves nothing half-made


def test_a_missing_file_in_the_server_is_not_found(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "back").write_bytes(b"old")
    with pytest.raises(NotFound, match="there is no nothing in web"):
        shell.get("nothing", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"old"
    assert names(tmp_path) == {"home", "back"}


def test_a_missing_folder_in_the_server_fails_and_leaves_nothing(shell: Shell, home: Path, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"x")
    with pytest.raises((NotFound, InvalidRequest), match="nowhere/there"):
        shell.put(tmp_path / "here", "nowhere/there")
    assert names(home) == set()


def test_a_folder_in_the_place_of_the_file_fails_and_leaves_nothing(shell: Shell, home: Path, tmp_path: Path) -> None:
    (home / "there").mkdir()
    (tmp_path / "here").write_bytes(b"x")
    with pytest.raises((SshError, InvalidRequest), match="there cannot be copied"):
        shell.put(tmp_path / "here", "there")
    assert names(home) == {"there"}
    assert names(home / "there") == set()


@pytest.mark.parametrize("remote", ["", "folder/"])
def test_a_remote_path_that_names_no_file_is_refused(
    shell: Shell, sshd: SshServer, tmp_path: Path, remote: str
) -> None:
    with pytest.raises(InvalidRequest, match="names no file"):
        shell.put(tmp_path / "here", remote)
    assert sshd.seen == []


def test_a_local_file_that_cannot_be_read_is_refused(shell: Shell, home: Path, tmp_path: Path) -> None:
    for here in (tmp_path / "nothing", tmp_path, "a\0b"):
        with pytest.raises(InvalidRequest, match="cannot be read"):
            shell.put(here, "there")
    assert names(home) == set()


def test_a_local_place_that_cannot_be_written_is_refused(shell: Shell, home: Path, tmp_path: Path) -> None:
    (home / "there").write_bytes(b"x")
    for place in (tmp_path / "nowhere" / "back", tmp_path):
        with pytest.raises(InvalidRequest, match="cannot be written"):
            shell.get("there", place)
    assert names(tmp_path) == {"home"}
    assert not list(tmp_path.parent.glob("*.part"))


def test_a_connection_that_breaks_half_way_replaces_nothing_here(
    start: Callable[..., SshServer], open_to: Callable[..., Shell], home: Path, tmp_path: Path
) -> None:
    sshd = start()
    (home / "there").write_bytes(BIG)
    (tmp_path / "back").write_bytes(b"old")
    sshd.on_read = sshd.hang_up
    with open_to(sshd) as shell, pytest.raises(Unavailable):
        shell.get("there", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"old"
    assert names(tmp_path) == {"home", "back"}


def test_a_full_disk_in_the_server_fails_and_leaves_nothing(
    start: Callable[..., SshServer], open_to: Callable[..., Shell], home: Path, tmp_path: Path
) -> None:
    sshd = start()
    (tmp_path / "here").write_bytes(b"x" * 100)

    def full() -> None:
        raise OSError(errno.ENOSPC, "full")

    sshd.on_write = full
    with open_to(sshd) as shell, pytest.raises(SshError, match="there cannot be copied"):
        shell.put(tmp_path / "here", "there")
    assert names(home) == set()


def test_what_the_user_may_not_read_says_how_to_get_it(
    start: Callable[..., SshServer], open_to: Callable[..., Shell], home: Path, tmp_path: Path
) -> None:
    sshd = start()
    (home / "there").write_bytes(b"x")

    def forbidden() -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    sshd.on_read = sshd.on_write = forbidden
    with open_to(sshd) as shell:
        with pytest.raises(InvalidRequest, match="cirros may not access there in web") as caught:
            shell.get("there", tmp_path / "back")
        assert "sudo=True" in caught.value.hint
    assert names(tmp_path) == {"home"}


def test_a_command_that_fails_there_tells_what_it_said(
    start: Callable[..., SshServer], open_to: Callable[..., Shell], home: Path, tmp_path: Path
) -> None:
    (home / "there").mkdir()
    with (
        open_to(start(sftp=False)) as shell,
        pytest.raises(InvalidRequest, match="there cannot be copied") as caught,
    ):
        shell.get("there", tmp_path / "back")
    assert "directory" in str(caught.value.fault)
    assert names(tmp_path) == {"home"}


def test_a_connection_that_is_gone_is_unavailable(shell: Shell, sshd: SshServer, home: Path, tmp_path: Path) -> None:
    (home / "there").write_bytes(b"x")
    sshd.hang_up()
    with pytest.raises(Unavailable):
        shell.get("there", tmp_path / "back")
    with pytest.raises(Unavailable):
        shell.put(home / "there", "copy")
    assert names(tmp_path) == {"home"}


def test_a_closed_shell_copies_nothing(shell: Shell, home: Path, tmp_path: Path) -> None:
    (home / "there").write_bytes(b"x")
    shell.close()
    with pytest.raises(Closed):
        shell.get("there", tmp_path / "back")
    with pytest.raises(Closed):
        shell.put(home / "there", "copy")
    assert names(tmp_path) == {"home"}
    assert names(home) == {"there"}


def test_a_file_that_tells_no_size_is_read_to_its_end(shell: Shell, tmp_path: Path) -> None:
    shell.get("/proc/self/limits", tmp_path / "back")
    assert b"Max open files" in (tmp_path / "back").read_bytes()
