"""Volumes and their snapshots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, Unpack

from cloudkit import _checks as checks
from cloudkit._collection import Collection, Creation, Ref
from cloudkit._context import Verb
from cloudkit.driver import Attach, Extend, VolumeTypes
from cloudkit.errors import InvalidRequest, InvalidState
from cloudkit.types import (
    Attachment,
    Backup,
    BackupSpec,
    Kind,
    Snapshot,
    SnapshotSpec,
    SnapshotStatus,
    Volume,
    VolumeSpec,
    VolumeStatus,
    VolumeType,
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
        source_volume: Ref | None = None,
        availability_zone: str | None = None,
        metadata: Mapping[str, str] | None = None,
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> Volume:
        """Make one, empty or with the content of something else; returns when it is available.

        It is ``bootable`` if its content comes from an image, by whatever way.

        Args:
            size_gib: at least as large as what it is made from.
            volume_type: one of :meth:`types`; None for that of the snapshot's or the source volume, else the default.
            source_volume: an available volume, or an attached one, whose guest may be writing to it.

        Raises:
            InvalidRequest: it is too small, there is no such type or zone, or several contents are named.
            InvalidState: what it is to be made from is not ready.
        """
        with self._creating(name):
            if sum(source is not None for source in (image, snapshot, source_volume)) > 1:
                raise InvalidRequest("a volume is made from one image, snapshot or volume, and several are named")
            spec = VolumeSpec(
                **self._common(name, description, native),
                size_gib=checks.integer(size_gib, "size_gib", 1, checks.MAX_GIB),
                volume_type=None if volume_type is None else checks.name(volume_type, "volume_type"),
                image_id=None if image is None else self._others(Kind.IMAGE).ref_id(image),
                snapshot_id=None if snapshot is None else self._others(Kind.SNAPSHOT).ref_id(snapshot),
                source_volume_id=None if source_volume is None else self.ref_id(source_volume),
                availability_zone=None if availability_zone is None else checks.name(availability_zone, "zone"),
                metadata=checks.metadata(metadata),
            )
            return self._create(spec, **how)

    def types(self) -> tuple[VolumeType, ...]:
        """Where volumes can be kept: what ``volume_type`` of a create names."""
        with Verb(self._context, "volumes.types"):
            part: VolumeTypes = self._offered("volumes.types")
            return self._context.call(part.types)

    def update(self, ref: Ref, **changes: Any) -> Volume:
        """Change ``name``, ``description`` or ``metadata`` (as a whole)."""
        allowed: dict[str, Callable[[Any], Any]] = {
            "name": checks.name,
            "description": lambda value: checks.text(value, "description"),
            "metadata": checks.metadata,
        }
        return self._update(ref, changes, allowed)

    def attach(self, ref: Ref, server: Ref, *, timeout_s: float | None = None) -> Attachment:
        """Plug a volume into a server; returns when it is in-use.

        The guest shows it a moment later: find it by its serial number.

        Raises:
            InvalidState: the volume is not available, as it is attached already; or the server is not ACTIVE, PAUSED,
                SHUTOFF or VERIFY_RESIZE, or is locked.
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
            InvalidState: it is not attached to this server, or to any, or to several and none was named; or the
                server is in a status in which ``attach`` is refused too.
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
        """Grow it to ``size_gib``, also under a running guest, which sees the new size of the disk.

        Raises:
            InvalidRequest: that is not larger than it is.
            InvalidState: it is neither available nor in-use.
        """
        with Verb(self._context, "volumes.extend", ref):
            part: Extend = self._offered("volumes.extend")
            limit_s = self._checked_timeout(timeout_s)
            size = checks.integer(size_gib, "size_gib", 1, checks.MAX_GIB)
            id, _ = self._act(ref, lambda id: self._context.call(part.extend, id, size))
            return self._await_one(self._fetch(id), self._goal(_FREE | _PLUGGED), limit_s, seen=True)


C = TypeVar("C", Snapshot, Backup)


class VolumeCopies(Collection[C]):
    """Kinds that are taken of a volume."""

    _service = "volume"
    _spec_type: ClassVar[type[SnapshotSpec] | type[BackupSpec]]

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
    ) -> C:
        """Take one; ``force`` allows it while the volume is attached, when a guest may be writing to it."""
        with self._creating(name):
            spec = self._spec_type(
                **self._common(name, description, native),
                volume_id=self._others(Kind.VOLUME).ref_id(volume),
                force=checks.flag(force, "force"),
                metadata=checks.metadata(metadata),
            )
            return self._create(spec, **how)


class Snapshots(VolumeCopies[Snapshot]):
    """What volumes held at one moment."""

    kind = Kind.SNAPSHOT
    _capability = "snapshots"
    _ready = frozenset({SnapshotStatus.AVAILABLE})
    _broken = frozenset({SnapshotStatus.ERROR, SnapshotStatus.ERROR_DELETING})
    _spec_type = SnapshotSpec


def _only_server(volume: Volume) -> str:
    ids = [attachment.server_id for attachment in volume.attachments]
    if len(ids) != 1:
        where = f"to {len(ids)} servers: {', '.join(ids)}" if ids else "to no server"
        raise InvalidState(
            f"the volume {volume.name!r} is attached {where}", resource=volume, hint="Name the server."
        )
    return ids[0]
