"""SFTP into a guest's files."""

from __future__ import annotations

import os
import stat
from functools import cache
from typing import Any

from cloudkit.ssh.paramiko_module import load_paramiko
from cloudkit_fake.guests.files import File, absolute


@cache
def sftp_interface() -> Any:
    """The class for paramiko; its base classes are there only when paramiko is loaded."""
    paramiko = load_paramiko()

    def attributes(file: File | None, name: str) -> Any:
        found = paramiko.SFTPAttributes()
        found.filename = name
        found.st_size = len(file.content) if file is not None else 0
        found.st_mode = stat.S_IFREG | file.mode if file is not None else stat.S_IFDIR | 0o755
        return found

    class Handle(paramiko.SFTPHandle):  # type: ignore[misc, name-defined]
        def __init__(self, file: File, flags: int) -> None:
            super().__init__(flags)  # pyright: ignore[reportUnknownMemberType]  # paramiko has no types
            self._file = file

        def read(self, offset: int, length: int) -> bytes:
            return bytes(self._file.content[offset : offset + length])

        def write(self, offset: int, data: bytes) -> int:
            content = self._file.content
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
            return int(paramiko.SFTP_OK)

        def stat(self) -> Any:
            return attributes(self._file, "")

    class Interface(paramiko.SFTPServerInterface):  # type: ignore[misc, name-defined]
        def __init__(self, server: Any, guest: Any, *_arguments: Any, **_more: Any) -> None:
            super().__init__(server)  # pyright: ignore[reportUnknownMemberType]
            self._files = guest.files
            self._user = server.user

        def open(self, path: str, flags: int, attr: Any) -> Any:
            place = absolute(path, self._user)
            try:
                file = self._files.open(place)
                if flags & os.O_CREAT and flags & os.O_EXCL:
                    return paramiko.SFTP_FAILURE
                if flags & os.O_TRUNC:
                    file.content.clear()
            except FileNotFoundError:
                if not flags & os.O_CREAT:
                    return paramiko.SFTP_NO_SUCH_FILE
                self._files.write(place, b"", mode=(getattr(attr, "st_mode", None) or 0o644) & 0o7777)
                file = self._files.open(place)
            return Handle(file, flags)

        def stat(self, path: str) -> Any:
            place = absolute(path, self._user)
            try:
                return attributes(self._files.open(place), path)
            except FileNotFoundError:
                return attributes(None, path) if self._files.names(place) else paramiko.SFTP_NO_SUCH_FILE

        lstat = stat

        def chattr(self, path: str, attr: Any) -> int:
            try:
                file = self._files.open(absolute(path, self._user))
            except FileNotFoundError:
                return int(paramiko.SFTP_NO_SUCH_FILE)
            if attr.st_mode is not None:
                file.mode = attr.st_mode & 0o7777
            return int(paramiko.SFTP_OK)

        def remove(self, path: str) -> int:
            try:
                self._files.remove(absolute(path, self._user))
            except FileNotFoundError:
                return int(paramiko.SFTP_NO_SUCH_FILE)
            return int(paramiko.SFTP_OK)

        def posix_rename(self, oldpath: str, newpath: str) -> int:
            try:
                self._files.rename(absolute(oldpath, self._user), absolute(newpath, self._user))
            except FileNotFoundError:
                return int(paramiko.SFTP_NO_SUCH_FILE)
            return int(paramiko.SFTP_OK)

        rename = posix_rename

        def list_folder(self, path: str) -> Any:
            place = absolute(path, self._user)
            found: list[Any] = []
            for name in self._files.names(place):
                try:
                    found.append(attributes(self._files.open(f"{place}/{name}"), name))
                except FileNotFoundError:
                    found.append(attributes(None, name))
            return found

        def canonicalize(self, path: str) -> str:
            return absolute(path, self._user)

    return Interface
