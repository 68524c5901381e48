"""Volumes and their snapshots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack

from cloudkit import _checks as checks
from cloudkit._collection import Collection, Creation, Ref
from cloudkit._context import Verb
from cloudkit.driver import Attach, Extend
from cloudkit.errors import InvalidRequest, InvalidState
from cloudkit.types import (
    Attachment,
    Kind,
    Snapshot,
    SnapshotSpec,
    SnapshotStatus,
    Volume,
    VolumeSpec,
    VolumeStatus,
)

_FREE = frozenset({VolumeStatus.AVAILABLE})
_PLUGGED = frozenset({VolumeStatus.IN_USE})


class Volumes(Collection[Volume]):
    """Block devices that outlive servers."""

    kind = Kind.VOLUME
    _service = "volume"
    _ready = _FREE
    _broken = frozenset(
        {
            VolumeStatus.ERROR,
            VolumeStatus.ERROR_DELETING,
            VolumeStatus.ERROR_BACKING_UP,
            VolumeStatus.ERROR_RESTORING,
            VolumeStatus.ERROR_EXTENDING,
        }
    )

    def create(
        self,
        name: str,
        *,
        size_gib: int,
        volume_type: str | None = None,
        image: Ref | None = None,
        snapshot: Ref | None = None,
        availability_zone: str | None = None,
        metadata: Mapping[str, str] | None = None,
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> Volume:
        """Make one, empty or with the content of an image or a snapshot; returns when it is available."""
        with self._creating(name):
            if image is not None and snapshot is not None:
                raise InvalidRequest("a volume is made from an image or from a snapshot, not from both")
            spec = VolumeSpec(
                **self._common(name, description, native),
                size_gib=checks.integer(size_gib, "size_gib", 1, checks.MAX_GIB),
                volume_type=None if volume_type is None else checks.name(volume_type, "volume_type"),
                image_id=None if image is None else self._others(Kind.IMAGE).ref_id(image),
                snapshot_id=None if snapshot is None else self._others(Kind.SNAPSHOT).ref_id(snapshot),
                availability_zone=None if availability_zone is None else checks.name(availability_zone, "zone"),
                metadata=checks.metadata(metadata),
            )
            return self._create(spec, **how)

    def update(self, ref: Ref, **changes: Any) -> Volume:
        """Change ``name``, ``description`` or ``metadata`` (as a whole)."""
        allowed: dict[str, Callable[[Any], Any]] = {
            "name": checks.name,
            "description": lambda value: checks.text(value, "description"),
            "metadata": checks.metadata,
        }
        return self._update(ref, changes, allowed)

    def attach(self, ref: Ref, server: Ref, *, timeout_s: float | None = None) -> Attachment:
        """Plug a volume into a running or stopped server; returns when it is in-use.

        The guest shows it a moment later: find it by its serial number.

        Raises:
            InvalidState: the volume is not available, as it is attached already.
        """
        with Verb(self._context, "volumes.attach", ref):
            part: Attach = self._offered("volumes.attach")
            limit_s = self._checked_timeout(timeout_s)
            server_id = self._others(Kind.SERVER).ref_id(server)
            id, attachment = self._act(ref, lambda id: self._context.call(part.attach, id, server_id))
            volume = self._await_one(self._fetch(id), self._goal(_PLUGGED), limit_s, seen=True)
            # Cinder knows the device only when it is there.
            return next((each for each in volume.attachments if each.server_id == server_id), attachment)

    def detach(self, ref: Ref, server: Ref | None = None, *, timeout_s: float | None = None) -> Volume:
        """Unplug a volume; returns when the guest has let go of it and it is available.

        Args:
            server: the one that it is in; None for the only one.

        Raises:
            InvalidState: it is not attached to this server, or to any, or to several and none was named.
            WaitTimeout: the guest does not let go; unmount it there.
        """
        with Verb(self._context, "volumes.detach", ref):
            part: Attach = self._offered("volumes.attach")
            limit_s = self._checked_timeout(timeout_s)
            server_id = None if server is None else self._others(Kind.SERVER).ref_id(server)
            if server_id is None:
                ref = self._get(ref)
                server_id = _only_server(ref)
            id, _ = self._act(ref, lambda id: self._context.call(part.detach, id, server_id))
            volume = self._fetch(id)
            goal = self._goal(_FREE)
            if any(each.server_id != server_id for each in volume.attachments):
                # A volume that several servers share stays in use.
                goal = self._goal(_FREE | _PLUGGED)
            return self._await_one(volume, goal, limit_s, seen=True)

    def extend(self, ref: Ref, size_gib: int, *, timeout_s: float | None = None) -> Volume:
        """Grow it to ``size_gib``; raises InvalidRequest for what is not larger."""
        with Verb(self._context, "volumes.extend", ref):
            part: Extend = self._offered("volumes.extend")
            limit_s = self._checked_timeout(timeout_s)
            size = checks.integer(size_gib, "size_gib", 1, checks.MAX_GIB)
            id, _ = self._act(ref, lambda id: self._context.call(part.extend, id, size))
            return self._await_one(self._fetch(id), self._goal(_FREE | _PLUGGED), limit_s, seen=True)


class Snapshots(Collection[Snapshot]):
    """What volumes held at one moment."""

    kind = Kind.SNAPSHOT
    _service = "volume"
    _capability = "snapshots"
    _ready = frozenset({SnapshotStatus.AVAILABLE})
    _broken = frozenset({SnapshotStatus.ERROR, SnapshotStatus.ERROR_DELETING})

    def create(
        self,
        name: str,
        *,
        volume: Ref,
        force: bool = False,
        metadata: Mapping[str, str] | None = None,
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> Snapshot:
        """Take one; ``force`` allows it while the volume is attached, when a guest may be writing to it."""
        with self._creating(name):
            spec = SnapshotSpec(
                **self._common(name, description, native),
                volume_id=self._others(Kind.VOLUME).ref_id(volume),
                force=checks.flag(force, "force"),
                metadata=checks.metadata(metadata),
            )
            return self._create(spec, **how)


def _only_server(volume: Volume) -> str:
    ids = [attachment.server_id for attachment in volume.attachments]
    if len(ids) != 1:
        where = f"to {len(ids)} servers: {', '.join(ids)}" if ids else "to no server"
        raise InvalidState(
            f"the volume {volume.name!r} is attached {where}", resource=volume, hint="Name the server."
        )
    return ids[0]
