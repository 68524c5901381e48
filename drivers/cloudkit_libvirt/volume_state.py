"""The statuses of volumes: what their records say, held against domains and the records of backups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from cloudkit.errors import InvalidState
from cloudkit.types import VolumeStatus
from cloudkit_libvirt.bodies import BackupBody, Phase, Plug, PlugPhase, ServerBody, VolumeBody
from cloudkit_libvirt.context import Context
from cloudkit_libvirt.plugs import live_plug
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.server_status import OFF_HOST

_PHASES = {
    Phase.CREATING: VolumeStatus.CREATING,
    Phase.READY: VolumeStatus.AVAILABLE,
    Phase.DELETING: VolumeStatus.DELETING,
}
_PLUGGED = {
    PlugPhase.ATTACHING: VolumeStatus.ATTACHING,
    PlugPhase.ATTACHED: VolumeStatus.IN_USE,
    PlugPhase.DETACHING: VolumeStatus.DETACHING,
}
_HINTS = {
    VolumeStatus.IN_USE: "Detach it first.",
    VolumeStatus.BACKING_UP: "Wait for the backup; where whoever took it has died, delete the backup.",
    VolumeStatus.EXTENDING: "Wait for it; where whoever began it has died, extend it to the same size again.",
    VolumeStatus.RESERVED: "Unshelve the server that has it.",
    VolumeStatus.RESTORING_BACKUP: "Wait for the restore; where whoever began it has died, begin it again.",
}


@dataclass(frozen=True, slots=True)
class VolumeState:
    """What a volume is doing, and where it is plugged in."""

    status: VolumeStatus
    native: str
    plug: Plug | None = None


def backed_up(view: View) -> frozenset[str]:
    """The ids of the volumes that a backup is being taken of."""
    return frozenset(backup.body.volume_id for backup in view.all(BackupBody) if backup.body.phase is Phase.CREATING)


def state_of(context: Context, record: Record[VolumeBody], view: View, busy: frozenset[str]) -> VolumeState:
    """The state of one of the volumes of a view; ``busy`` is ``backed_up`` of it."""
    body, plug = record.body, live_plug(context, view, record)
    if body.phase is not Phase.READY:
        return VolumeState(_PHASES[body.phase], body.phase.value, plug)
    if record.id in busy:
        return VolumeState(VolumeStatus.BACKING_UP, "backing up", plug)
    if body.restore is not None:
        return VolumeState(VolumeStatus.RESTORING_BACKUP, "restoring", plug)
    if body.growing_gib is not None:
        return VolumeState(VolumeStatus.EXTENDING, "extending", plug)
    if plug is not None:
        if view.get(ServerBody, plug.server_id).body.step in OFF_HOST:
            return VolumeState(VolumeStatus.RESERVED, "reserved for a shelved server")
        return VolumeState(_PLUGGED[plug.phase], plug.phase.value, plug)
    return VolumeState(VolumeStatus.AVAILABLE, body.phase.value)


def require_state(
    context: Context, record: Record[VolumeBody], view: View, *statuses: VolumeStatus, hint: str | None = None
) -> VolumeState:
    """The state of a volume; raises InvalidState, with ``hint`` or one that fits, unless it is one of these."""
    state = state_of(context, record, view, backed_up(view))
    if state.status not in statuses:
        refuse_state(record, state.status, f"must be {' or '.join(statuses)}", hint)
    return state


def refuse_state(record: Record[VolumeBody], status: VolumeStatus, why: str, hint: str | None = None) -> NoReturn:
    """Raise InvalidState for the status that a volume has."""
    raise InvalidState(
        f"the volume {record.body.name!r} is {status}, and {why}",
        driver="libvirt",
        resource=record.id,
        hint=hint or _HINTS.get(status),
    )
