"""The guests of a fake: an SSH server on loopback for each server that somebody logs in to.

They answer canned commands, and what a test's author adds; no command of the host is ever run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from cloudkit.errors import InvalidState
from cloudkit.types import Endpoint, Kind, Server, Volume
from cloudkit_fake.guests.answers import Answer, Call, Respond, as_respond
from cloudkit_fake.guests.files import Files
from cloudkit_fake.volumes import ROOT_DEVICE

if TYPE_CHECKING:
    from cloudkit_fake.cloud import FakeCloud
    from cloudkit_fake.guests.listener import Listener

__all__ = ["Answer", "Call", "Guest", "Guests"]


class Guest:
    """One server from the inside.

    Attributes:
        files: what its users see as the file system, by absolute path.
    """

    def __init__(self, guests: Guests, server_id: str, files: Files) -> None:
        self._guests = guests
        self.server_id = server_id
        self.files = files

    @property
    def server(self) -> Server:
        """The server as it is now."""
        with self._guests.cloud as state:
            return state.get(Kind.SERVER, self.server_id)  # type: ignore[no-any-return]

    @property
    def disk_bytes(self) -> int:
        """Size of its root disk."""
        with self._guests.cloud as state:
            return int(state.secrets[self.server_id]["disk_bytes"])

    @property
    def volumes(self) -> list[Volume]:
        """The volumes plugged into it, in the order of their devices."""
        with self._guests.cloud as state:
            mine = [state.get(Kind.VOLUME, id) for id in self.server.volume_ids]
        return sorted(mine, key=lambda volume: str(volume.attachments[0].device_hint))

    def respond(self, line: str) -> Respond | None:
        """What a test's author has said about a command line, or None."""
        return self._guests.find_answer(line)


class Guests:
    """All guests of one fake, and what they answer beyond their own commands."""

    def __init__(self, cloud: FakeCloud) -> None:
        self.cloud = cloud
        self._lock = threading.Lock()
        self._guests: dict[str, Guest] = {}
        self._disks: dict[str, Files] = {}
        self._listeners: dict[str, Listener] = {}
        self._answers: list[tuple[str, Respond]] = []

    def on(self, pattern: str, answer: str | Answer | Callable[[Call], str | Answer]) -> None:
        """Answer command lines that match ``pattern`` (``*`` and ``?`` as in file names); the last rule counts.

        ``answer`` is what the command prints, an :class:`Answer` with stderr and exit status, or a function of the
        :class:`Call` that returns either.
        """
        with self._lock:
            self._answers.append((pattern, as_respond(answer)))

    def find_answer(self, line: str) -> Respond | None:
        """The rule for a command line, or None."""
        with self._lock:
            return next((respond for pattern, respond in reversed(self._answers) if fnmatchcase(line, pattern)), None)

    def guest(self, server_id: str) -> Guest:
        """A server from the inside, to put files into it or look at them."""
        disk_id = self._disk_id(server_id)
        with self._lock:
            files = self._disks.setdefault(disk_id, Files())
            return self._guests.setdefault(server_id, Guest(self, server_id, files))

    def endpoint(self, server_id: str) -> Endpoint:
        """Where the guest listens; starts listening.

        Raises:
            MissingExtra: paramiko is not installed.
        """
        from cloudkit_fake.console import private_host_key
        from cloudkit_fake.guests.listener import Listener

        guest = self.guest(server_id)
        with self.cloud as state:
            secret = state.secrets.get(server_id)
            if secret is None:
                raise InvalidState("the server is gone", driver="fake", resource=server_id)
            host_key, public_key = private_host_key(secret), secret.get("public_key")
        with self._lock:
            listener = self._listeners.get(server_id)
            if listener is None:
                listener = self._listeners[server_id] = Listener(guest, host_key, public_key)
        return Endpoint(host="127.0.0.1", port=listener.port)

    def end(self, server_id: str, *, disk_too: bool) -> None:
        """Close a guest's listener and connections; ``disk_too``: its files are gone as well."""
        with self._lock:
            listener = self._listeners.pop(server_id, None)
            if disk_too:
                self._guests.pop(server_id, None)
                self._disks.pop(server_id, None)
        if listener is not None:
            listener.close()

    def _disk_id(self, server_id: str) -> str:
        """What its files outlive: the server, or the volume that it boots from."""
        with self.cloud as state:
            for volume in state.all(Kind.VOLUME):
                if any((each.server_id, each.device_hint) == (server_id, ROOT_DEVICE) for each in volume.attachments):
                    return str(volume.id)
        return server_id

    def close(self) -> None:
        """Close all listeners and connections."""
        with self._lock:
            listeners = list(self._listeners.values())
            self._listeners.clear()
        for listener in listeners:
            listener.close()
