"""A server's status: what its record says it is in the middle of, else what its domain does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cloudkit.types import ServerStatus
from cloudkit_libvirt.bodies import Phase, ServerBody, Step
from cloudkit_libvirt.status import DomainState, status_of

_OF_STEP: Mapping[Step, ServerStatus] = {
    Step.RESIZING: ServerStatus.RESIZE,
    Step.RESIZED: ServerStatus.VERIFY_RESIZE,
    Step.REVERTING: ServerStatus.REVERT_RESIZE,
    Step.REBUILDING: ServerStatus.REBUILD,
    Step.RESCUED: ServerStatus.RESCUE,
    Step.UNRESCUING: ServerStatus.RESCUE,
    Step.SHELVED: ServerStatus.SHELVED_OFFLOADED,
    Step.UNSHELVING: ServerStatus.SHELVED_OFFLOADED,
}
OFF_HOST = frozenset({Step.SHELVED, Step.UNSHELVING})
"""Steps in which a server's volumes are kept for it and plugged in nowhere, as Cinder shows them."""
WAITING_STEPS = frozenset({Step.RESIZED, Step.RESCUED, Step.SHELVED})
"""Steps that end when somebody says so; in all others somebody is at work, or has died."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a Server shows."""

    status: ServerStatus
    native: str
    fault: str | None = None
    task: str | None = None


def shown_status(body: ServerBody, domain: DomainState | None) -> Shown:
    """The status of a server with this record and domain."""
    if body.phase is Phase.CREATING:
        return Shown(ServerStatus.BUILD, body.phase.value)
    task = "deleting" if body.phase is Phase.DELETING else None
    if domain is None:
        if task:
            return Shown(ServerStatus.ERROR, body.phase.value, "Its delete did not end; delete it again.", task)
        # The domain may have gone between the two listings, with its record.
        return Shown(ServerStatus.ERROR, "no domain", "Its libvirt domain is missing.")
    status, native, fault = status_of(domain)
    step = body.step
    if step is None:
        return Shown(status, native, fault, task)
    if step not in WAITING_STEPS:
        task = task or step.value
    if step in _OF_STEP:
        status, fault = _OF_STEP[step], None
    return Shown(status, f"{step.value}, {native}", fault, task)
