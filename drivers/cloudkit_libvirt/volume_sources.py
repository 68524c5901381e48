"""What new volumes are filled with: images, snapshots and other volumes, each copied as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cloudkit.errors import InvalidRequest
from cloudkit.types import VolumeSpec, VolumeStatus
from cloudkit_libvirt import images
from cloudkit_libvirt.bodies import ImageBody, SnapshotBody, VolumeBody
from cloudkit_libvirt.context import Context
from cloudkit_libvirt.places import Place, snapshot_place, volume_place
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.volume_state import require_state

GIB = 1 << 30
Ready = Callable[[View, type[Any], str], Record[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a volume's content comes from, and what else comes with it.

    Attributes:
        place: where its bytes are.
        size_bytes: of the disk that they are.
        slot: where it is plugged in: the server, and the name of the disk in it.
        fields: of the new volume's record, as its type and pool unless another type is asked for.
    """

    place: Place
    size_bytes: int
    slot: tuple[str, str] | None = None
    fields: dict[str, Any]


def find_source(context: Context, view: View, spec: VolumeSpec, ready: Ready) -> Source | None:
    """What a volume is to be filled with, if anything; raises NotFound, InvalidState, InvalidRequest.

    Args:
        ready: looks up a record that the project sees and that is whole.
    """
    if spec.image_id is not None:
        return _of_image(context, ready(view, ImageBody, spec.image_id), spec.size_gib)
    if spec.snapshot_id is not None:
        snapshot: Record[SnapshotBody] = ready(view, SnapshotBody, spec.snapshot_id)
        _check_size(spec.size_gib, snapshot.body.size_gib, f"the snapshot {snapshot.body.name!r}")
        return Source(
            place=snapshot_place(context, snapshot),
            size_bytes=snapshot.body.size_gib * GIB,
            # It cannot be deleted before its snapshots.
            fields=_inherited(view.get(VolumeBody, snapshot.body.volume_id).body),
        )
    if spec.source_volume_id is not None:
        volume: Record[VolumeBody] = ready(view, VolumeBody, spec.source_volume_id)
        state = require_state(context, volume, view, VolumeStatus.AVAILABLE, VolumeStatus.IN_USE)
        _check_size(spec.size_gib, volume.body.size_gib, f"the volume {volume.body.name!r}")
        return Source(
            place=volume_place(context, volume),
            size_bytes=volume.body.size_gib * GIB,
            slot=state.plug.slot if state.plug else None,
            fields=_inherited(volume.body),
        )
    return None


def _of_image(context: Context, image: Record[ImageBody], size_gib: int) -> Source:
    body = image.body
    needed_gib = max(-(-body.virtual_size_bytes // GIB), body.min_disk_gib)
    _check_size(size_gib, needed_gib, f"the image {body.name!r}")
    return Source(
        place=Place(context.pool, images.disk_of(image)[0]),
        size_bytes=body.virtual_size_bytes,
        fields={"bootable": True, "image_id": image.id},
    )


def _inherited(body: VolumeBody) -> dict[str, Any]:
    return {name: getattr(body, name) for name in ("bootable", "image_id", "volume_type", "pool")}


def _check_size(size_gib: int, needed_gib: int, what: str) -> None:
    if size_gib < needed_gib:
        raise InvalidRequest(f"{what} needs a volume of at least {needed_gib} GiB", driver="libvirt")
