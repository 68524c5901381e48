"""A fake that is kept in a file and shared by processes; and where images' bytes are.

The file is JSON, replaced as a whole: whoever reads sees one state or the next. A lock beside it lets one process at
a time read, change and replace it; it is read again only when it has changed.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Protocol, cast

from cloudkit._schema import SchemaError, from_data, to_data
from cloudkit.errors import ConfigError, NotFound
from cloudkit.types import VALUE_TYPES, Kind, Resource
from cloudkit_fake.state import Change, State

FORMAT = "cloudkit-fake-1"
ORPHAN_AGE_S = 3600.0
Encoded = dict[int, tuple[Resource, Any]]
"""The identity of a value → the value, so that no other one gets this identity, and its JSON data."""


class Blobs(Protocol):
    """Bytes by image id."""

    def write(self, id: str, content: bytes) -> None: ...
    def read(self, id: str) -> bytes: ...
    def delete(self, id: str) -> None: ...


class MemoryBlobs:
    """Bytes in memory."""

    def __init__(self) -> None:
        self._content: dict[str, bytes] = {}

    def write(self, id: str, content: bytes) -> None:
        self._content[id] = content

    def read(self, id: str) -> bytes:
        return self._content[id]

    def delete(self, id: str) -> None:
        self._content.pop(id, None)


class FolderBlobs:
    """Bytes in files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, id: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        (self._folder / id).write_bytes(content)

    def read(self, id: str) -> bytes:
        try:
            return (self._folder / id).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"the bytes of the image {id!r} are gone", driver="fake", resource=id) from None

    def delete(self, id: str) -> None:
        with suppress(FileNotFoundError):
            (self._folder / id).unlink()

    def drop_orphans(self, known: Mapping[str, Any]) -> None:
        """Delete files that no image has, as a crash leaves them; young ones may be about to get theirs."""
        if self._folder.is_dir():
            for file in self._folder.iterdir():
                if file.name not in known and file.stat().st_mtime < time.time() - ORPHAN_AGE_S:
                    self.delete(file.name)


class Storage:
    """The state in a file."""

    def __init__(self, path: Path) -> None:
        """Keep it at ``path``; the lock and the images' bytes are beside it."""
        self._path = path
        self._lock_path = path.with_name(f"{path.name}.lock")
        self.blobs = FolderBlobs(path.with_name(f"{path.name}.images"))
        self._lock_fd: int | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._text = ""
        self._encoded: Encoded = {}

    def load(self, empty: State, fill: Callable[[State], None]) -> State:
        """The state in the file, or a new one where there is no file."""
        self._lock()
        try:
            if not self._path.exists():
                fill(empty)
                self._write(empty)
                return empty
            state = self._read()
            self.blobs.drop_orphans(state.tables[Kind.IMAGE])
            return state
        finally:
            self._unlock()

    def begin(self, state: State) -> State:
        """Take the lock; returns the state as it is in the file."""
        self._lock()
        try:
            return state if self._current_stamp() == self._stamp else self._read()
        except BaseException:
            self._unlock()
            raise

    def end(self, state: State) -> None:
        """Write what has changed, and give the lock back."""
        if self._lock_fd is None:
            return
        try:
            self._write(state)
        except BaseException:
            # What could not be kept did not happen: the next request reads the file again.
            self._stamp = None
            raise
        finally:
            self._unlock()

    # ---------------------------------------------------------------- the file

    def _read(self) -> State:
        try:
            text = self._path.read_text()
            state = decode(json.loads(text))
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read: {error.strerror}", driver="fake") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, NotFound) as error:
            raise ConfigError(
                f"{self._path}: this is no fake cloud's file, or it is damaged",
                driver="fake",
                fault=f"{type(error).__name__}: {error}",
                hint="Name another path, or delete the file to start anew.",
            ) from error
        self._text, self._stamp = text, self._current_stamp()
        return state

    def _write(self, state: State) -> None:
        text = json.dumps(encode(state, self._encoded), separators=(",", ":"))
        if text == self._text:
            return
        # One name is enough: whoever writes has the lock, and what a killed process has left is written over.
        part = self._path.with_name(f"{self._path.name}.part")
        try:
            # It holds private host keys.
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(text)
            os.replace(part, self._path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise ConfigError(f"{self._path}: cannot be written: {error.strerror}", driver="fake") from error
        self._text, self._stamp = text, self._current_stamp()

    def _current_stamp(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            raise ConfigError(f"{self._path}: the file of this fake cloud is gone", driver="fake") from None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _lock(self) -> None:
        try:
            fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"{self._lock_path}: cannot be opened: {error.strerror}", driver="fake") from error
        fcntl.flock(fd, fcntl.LOCK_EX)
        self._lock_fd = fd

    def _unlock(self) -> None:
        if self._lock_fd is not None:
            # Closing gives the lock back.
            os.close(self._lock_fd)
            self._lock_fd = None


# ---------------------------------------------------------------- the state as JSON


def encode(state: State, encoded: Encoded | None = None) -> dict[str, Any]:
    """The state as JSON data; ``encoded`` keeps that of values, which never change, from one call to the next."""
    before = encoded or {}
    after = {
        id(value): before.get(id(value)) or (value, to_data(value))
        for table in state.tables.values()
        for value in table.values()
    }
    if encoded is not None:
        encoded.clear()
        encoded.update(after)
    return {
        "format": FORMAT,
        "cloud_id": state.cloud_id,
        "things": {
            kind.value: {key: after[id(value)][1] for key, value in table.items()}
            for kind, table in state.tables.items()
        },
        "secrets": state.secrets,
        "later": [
            [change.kind.value, change.id, change.due, change.fields and to_data_map(change.fields)]
            for change in state.later.values()
        ],
    }


def to_data_map(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as JSON data."""
    return {name: to_data(value) for name, value in fields.items()}


def decode(data: Any) -> State:
    """The state of JSON data; raises SchemaError and what else damaged data leads to."""
    if data["format"] != FORMAT:
        raise SchemaError("its format is another one")
    state = State(str(data["cloud_id"]))
    for kind, table in state.tables.items():
        for key, item in data["things"].get(kind.value, {}).items():
            table[key] = from_data(VALUE_TYPES[kind], item)
            if key not in (item["id"], f"{item['project_id']}/{item['name']}"):
                raise SchemaError(f"{kind.value} has {item['id']} at another place")
    state.secrets = _decode_secrets(data["secrets"])
    for name, id, due, fields in data["later"]:
        kind = Kind(name)
        changes = None if fields is None else _decode_fields(state, kind, id, fields)
        state.later[id] = Change(kind, id, float(due), changes)
    _check_references(state)
    state.rebuild()
    return state


def _decode_secrets(data: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(data, dict) or not all(
        isinstance(item, dict) for item in cast("dict[str, Any]", data).values()
    ):
        raise SchemaError("secrets are no objects")
    return cast("dict[str, dict[str, Any]]", data)


def _check_references(state: State) -> None:
    """Raise NotFound, KeyError, TypeError where something lacks what everybody takes for granted later."""
    for network in state.all(Kind.NETWORK):
        for subnet_id in network.subnet_ids:
            state.get(Kind.SUBNET, subnet_id)
    for subnet in state.all(Kind.SUBNET):
        state.get(Kind.NETWORK, subnet.network_id)
        ip_network(subnet.cidr)
    for port in state.all(Kind.PORT):
        for fixed in port.fixed_ips:
            state.get(Kind.SUBNET, fixed.subnet_id)
        for subport in port.subports or ():
            state.get(Kind.PORT, subport.port_id)
    for volume in state.all(Kind.VOLUME):
        for attachment in volume.attachments:
            state.get(Kind.SERVER, attachment.server_id)
    for server in state.all(Kind.SERVER):
        for volume_id in server.volume_ids:
            state.get(Kind.VOLUME, volume_id)
        for name in ("vcpus", "ram_mib", "disk_bytes"):
            if type(state.secrets[server.id][name]) is not int:
                raise SchemaError(f"the size of {server.id} is no number")


def _decode_fields(state: State, kind: Kind, id: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Attributes, decoded by the types that they have in a value."""
    changed = from_data(VALUE_TYPES[kind], {**to_data(state.get(kind, id)), **fields})
    return {name: getattr(changed, name) for name in fields}
