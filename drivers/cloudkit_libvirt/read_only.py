"""Looking without touching: the option ``read_only``.

libvirt's own read-only connections and sockets are of no use here: they do not let volumes be read, and the records
are in volumes. So the connection is an ordinary one, and the driver refuses what would change anything: twice, by the
name of the method, where the message is good, and at the records, without which nothing is made or deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from cloudkit.errors import PermissionDenied

if TYPE_CHECKING:
    from cloudkit_libvirt.blobs import BlobStore

READING = frozenset({"console_log", "download", "endpoints", "get", "list", "samples", "types"})
"""Methods of drivers that change nothing. One that is missing here is refused."""


def refused(what: str) -> PermissionDenied:
    """The error for a change."""
    return PermissionDenied(
        f"{what} would change something, and this cloud was opened with read_only=true",
        driver="libvirt",
        hint="Leave out read_only to change things.",
    )


class ReadOnlyService:
    """One of a driver's services, with collections that can only be read."""

    def __init__(self, service: Any) -> None:
        """Show ``service``."""
        self._service = service

    def __getattr__(self, name: str) -> Any:
        """A collection."""
        return ReadOnlyCollection(name, getattr(self._service, name))


class ReadOnlyCollection:
    """A collection of which only the methods that read can be called."""

    def __init__(self, name: str, collection: Any) -> None:
        """Show ``collection``."""
        self._name = name
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        """A method, or what refuses in its place."""
        member = getattr(self._collection, name)
        if name in READING:
            return member

        def refuse(*_arguments: Any, **_options: Any) -> NoReturn:
            raise refused(f"{self._name}.{name}")

        return refuse


class ReadOnlyBlobs:
    """A store of records that are only read."""

    def __init__(self, store: BlobStore) -> None:
        """Show ``store``."""
        self._store = store

    def names(self) -> list[str]:
        """All names."""
        return self._store.names()

    def create(self, name: str, data: bytes, quiet: bool = False) -> None:  # noqa: ARG002
        """Refuse; raises PermissionDenied."""
        raise refused("writing a record")

    def read(self, name: str) -> bytes:
        """The bytes."""
        return self._store.read(name)

    def delete(self, name: str) -> bool:  # noqa: ARG002
        """Refuse silently: readers clear away what a crash has left."""
        return False

    def age_s(self, name: str) -> float:
        """See BlobStore."""
        return self._store.age_s(name)
