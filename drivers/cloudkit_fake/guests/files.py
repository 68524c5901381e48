"""A guest's file system: bytes by absolute path. Every folder exists."""

from __future__ import annotations

import posixpath
import threading
from dataclasses import dataclass


@dataclass(slots=True)
class File:
    """A file's bytes and permissions."""

    content: bytearray
    mode: int = 0o644


class Files:
    """Files by path; a relative path starts at the user's home."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, File] = {}

    def read(self, path: str, user: str = "root") -> bytes:
        """A file's bytes; raises FileNotFoundError."""
        return bytes(self.open(path, user).content)

    def write(self, path: str, content: bytes, user: str = "root", mode: int = 0o644) -> None:
        """Make or replace a file."""
        with self._lock:
            self._files[absolute(path, user)] = File(bytearray(content), mode)

    def open(self, path: str, user: str = "root") -> File:
        """The file itself; raises FileNotFoundError."""
        with self._lock:
            try:
                return self._files[absolute(path, user)]
            except KeyError:
                raise FileNotFoundError(path) from None

    def remove(self, path: str, user: str = "root") -> None:
        """Delete a file; raises FileNotFoundError."""
        with self._lock:
            if self._files.pop(absolute(path, user), None) is None:
                raise FileNotFoundError(path)

    def rename(self, old: str, new: str, user: str = "root") -> None:
        """Give a file another name, replacing what has it."""
        with self._lock:
            try:
                self._files[absolute(new, user)] = self._files.pop(absolute(old, user))
            except KeyError:
                raise FileNotFoundError(old) from None

    def names(self, folder: str, user: str = "root") -> list[str]:
        """The names right below a folder."""
        place = absolute(folder, user).rstrip("/") + "/"
        with self._lock:
            found = {path.removeprefix(place).split("/")[0] for path in self._files if path.startswith(place)}
        return sorted(found)


def absolute(path: str, user: str) -> str:
    """The path from the root on."""
    home = "/root" if user == "root" else f"/home/{user}"
    return posixpath.normpath(posixpath.join(home, path))
