"""Reading a machine by its files, below any root, so that a recorded machine reads as a live one."""

from __future__ import annotations

import errno
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

_MAX_BYTES = 4 << 20
"""/proc/cpuinfo of a machine with a thousand processors has 2 MB."""
_PROGRAM_FOLDERS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin", "usr/libexec")
_SOCKET_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Space:
    """The size of a file system and what an ordinary user may still write, in bytes."""

    total: int
    free: int


class Tree:
    """The files of a machine. Nothing here raises for what is missing, forbidden or garbage."""

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        """Read below ``root``; all paths are relative to it."""
        self.root = Path(root)

    @property
    def live(self) -> bool:
        """Whether this is the machine that the program runs on."""
        return self.root == Path("/")

    @property
    def arch(self) -> str:
        """The processor's architecture as the kernel names it: x86_64, aarch64, s390x …"""
        # The file is there since Linux 6.1. Programs are looked for by this name.
        word = self.word("proc/sys/kernel/arch")
        return word if word.isidentifier() else os.uname().machine

    # -- content

    def text(self, path: str) -> str:
        """A file's content; empty where it cannot be read."""
        try:
            with (self.root / path).open("rb") as file:
                return file.read(_MAX_BYTES).decode("utf-8", "replace")
        except (OSError, ValueError):
            return ""

    def word(self, path: str) -> str:
        """A file's content without what surrounds it; device-tree strings end in a zero byte."""
        return self.text(path).strip(" \t\r\n\0")

    def number(self, path: str) -> int | None:
        """A file's content as a number, or None where it is none."""
        word = self.word(path)
        try:
            return int(word, 0)
        except ValueError:
            return None

    def switch(self, path: str) -> bool | None:
        """A kernel module's parameter that is on or off; None where there is none."""
        return {"y": True, "1": True, "n": False, "0": False}.get(self.word(path).lower())

    # -- names

    def exists(self, path: str) -> bool:
        """Whether something is there and may be looked at."""
        return os.path.exists(self.root / path)

    def names(self, folder: str) -> list[str]:
        """What is in a folder, sorted; nothing where it cannot be read."""
        try:
            return sorted(os.listdir(self.root / folder))
        except OSError:
            return []

    def target(self, path: str) -> str:
        """The last part of what a symbolic link names; empty where there is none."""
        try:
            return os.path.basename(os.readlink(self.root / path))
        except OSError:
            return ""

    def program(self, *names: str) -> str | None:
        """The path of the first of these programs that is installed."""
        for name in names:
            for folder in _PROGRAM_FOLDERS:
                if os.access(self.root / folder / name, os.X_OK):
                    return f"/{folder}/{name}"
        return None

    # -- use

    def open_problem(self, path: str) -> int | None:
        """The ``errno`` that opening a file for reading and writing gives, or None where it opens."""
        try:
            os.close(os.open(self.root / path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
        except OSError as error:
            return error.errno
        return None

    def connect_problem(self, path: str) -> int | None:
        """The ``errno`` that connecting to a Unix socket gives, or None where somebody answers.

        A recorded socket is a plain file, and counts as answering.
        """
        full = self.root / path
        try:
            if not stat.S_ISSOCK(os.stat(full).st_mode):
                return errno.ENOTSOCK if self.live else None
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(_SOCKET_TIMEOUT_S)
                client.connect(os.fspath(full))
        except OSError as error:
            return error.errno or errno.ETIMEDOUT
        return None

    def space(self, path: str) -> Space | None:
        """The file system that holds a path, or would once it is made."""
        folder = self.root / path
        for place in (folder, *folder.parents):
            try:
                found = os.statvfs(place)
            except OSError:
                continue
            return Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)
        return None
