"""SFTP on the local file system, relative to the user's home."""

from __future__ import annotations

import os
from typing import Any

import paramiko


def _code(error: OSError) -> int:
    return int(paramiko.SFTPServer.convert_errno(error.errno))


class LocalSftp(paramiko.SFTPServerInterface):
    def __init__(self, interface: Any, *, test_server: Any) -> None:
        super().__init__(interface)
        self._server = test_server

    def open(self, path: str, flags: int, attr: Any) -> Any:
        try:
            file = os.fdopen(os.open(_place(path), flags, 0o666), "rb" if flags & 3 == os.O_RDONLY else "r+b")
        except OSError as error:
            return _code(error)
        return _Handle(self._server, file, flags)

    def stat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(os.stat(_place(path)))
        except OSError as error:
            return _code(error)

    def chattr(self, path: str, attr: Any) -> int:
        os.chmod(_place(path), attr.st_mode)
        return int(paramiko.SFTP_OK)

    def remove(self, path: str) -> int:
        os.unlink(_place(path))
        return int(paramiko.SFTP_OK)

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        try:
            os.replace(_place(oldpath), _place(newpath))
        except OSError as error:
            return _code(error)
        return int(paramiko.SFTP_OK)


class _Handle(paramiko.SFTPHandle):
    def __init__(self, server: Any, file: Any, flags: int) -> None:
        super().__init__(flags)
        self._server = server
        self._file = file

    def read(self, offset: int, length: int) -> bytes | int:
        try:
            self._server.on_read()
            self._file.seek(offset)
            return bytes(self._file.read(length))
        except OSError as error:
            return _code(error)

    def write(self, offset: int, data: bytes) -> int:
        try:
            self._server.on_write()
            self._file.seek(offset)
            self._file.write(data)
        except OSError as error:
            return _code(error)
        return int(paramiko.SFTP_OK)

    def stat(self) -> Any:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self._file.fileno()))

    def close(self) -> None:
        self._file.close()


def _place(path: str) -> str:
    return os.path.join(os.environ["HOME"], path)
