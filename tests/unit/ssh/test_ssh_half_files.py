"""A copy that ends half-way, at either side, leaves what was there before."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from ssh_server import SshServer

from cloudkit.errors import InvalidRequest, SshError, Unavailable
from cloudkit.ssh import Shell

Start = Callable[..., SshServer]
Open = Callable[..., Shell]

DATA = os.urandom(300_000)


@pytest.fixture(params=["sftp", "cat"])
def server(request: pytest.FixtureRequest, start: Start) -> SshServer:
    return start(sftp=request.param == "sftp")


@pytest.fixture
def target(home: Path) -> Path:
    """A file in the server; its name needs quoting."""
    file = home / "the file"
    file.write_bytes(b"before")
    return file


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_a_disk_that_is_full_at_the_last_pieces_is_not_taken_for_success(
    start: Start, open_to: Open, home: Path, target: Path, tmp_path: Path
) -> None:
    server = start()
    writes = itertools.count(1)

    def fill() -> None:
        if next(writes) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")

    server.on_write = fill
    (tmp_path / "local").write_bytes(DATA)
    with open_to(server) as shell, pytest.raises(SshError, match="cannot be copied"):
        shell.put(tmp_path / "local", target.name)
    assert next(writes) > 6
    assert target.read_bytes() == b"before"
    assert files(home) == {target.name}


def test_a_connection_that_breaks_half_way_is_not_taken_for_the_end_of_the_file(
    server: SshServer, open_to: Open, target: Path, tmp_path: Path
) -> None:
    fifo = tmp_path / "local"
    os.mkfifo(fifo)

    def write_and_break() -> None:
        with fifo.open("wb", buffering=0) as file:
            file.write(DATA)
            server.hang_up()

    writer = threading.Thread(target=write_and_break)
    writer.start()
    with open_to(server) as shell, pytest.raises(Unavailable, match="broke"):
        shell.put(fifo, target.name)
    writer.join()
    assert not any("mv " in line for line in server.seen)
    assert target.read_bytes() == b"before"


def test_a_local_file_that_cannot_be_read_to_its_end_is_said_to_be_the_fault(
    server: SshServer, open_to: Open, home: Path, target: Path
) -> None:
    with open_to(server) as shell:
        # Opens, and fails at the first byte.
        with pytest.raises(InvalidRequest, match="/proc/self/mem cannot be read"):
            shell.put("/proc/self/mem", target.name)
        assert shell.run("true").exit_status == 0
    assert target.read_bytes() == b"before"
    assert files(home) == {target.name}


@pytest.fixture
def small_disk() -> Generator[Callable[[], None]]:
    """Limits what this process may write to a file, when it is called."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (len(DATA) // 2, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_local_disk_that_is_full_is_not_taken_for_a_broken_connection(
    server: SshServer, open_to: Open, target: Path, tmp_path: Path, small_disk: Callable[[], None]
) -> None:
    target.write_bytes(DATA)
    local = tmp_path / "local"
    local.write_bytes(b"before")
    small_disk()
    with open_to(server) as shell, pytest.raises(InvalidRequest, match=f"{local} cannot be written") as caught:
        shell.get(target.name, local)
    assert caught.value.fault == "File too large"
    assert local.read_bytes() == b"before"
    assert files(tmp_path) == {"local"}
