"""Processes that are told from later ones with the same pid."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from host_packages import BedError


@dataclass(frozen=True)
class Process:
    """A process that is told from a later one with the same pid."""

    pid: int
    started: int

    @classmethod
    def current(cls, pid: int) -> Process:
        """Return the process that has `pid` now."""
        started = start_time(pid)
        if started is None:
            raise BedError(f"process {pid} is gone")
        return cls(pid, started)

    @property
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return start_time(self.pid) == self.started

    def kill(self, timeout_s: float = 10) -> None:
        """Send SIGKILL and wait until it is gone."""
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                if self.alive:
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    if not select.select([descriptor], [], [], timeout_s)[0]:
                        raise BedError(f"process {self.pid} did not end within {timeout_s} s of SIGKILL")
            finally:
                os.close(descriptor)


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None when it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def is_polling(pid: int) -> bool:
    """Whether a process' main thread waits for events in poll or ppoll; one that is gone does, too."""
    polling = {"x86_64": ("7", "271"), "aarch64": ("73",)}
    try:
        call = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return call in polling[os.uname().machine]


def enter_network(namespace: str) -> None:
    """Bring the calling thread into the network namespace at a path."""
    # os.setns came with Python 3.12.
    clone_newnet = 0x40000000
    with open(namespace) as network:
        if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), clone_newnet) != 0:
            raise OSError(ctypes.get_errno(), "setns failed")


@contextmanager
def alone_in(folder: Path) -> Generator[None]:
    """Wait until no other run, of any process or thread, is alone in the folder; then be the one that is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
