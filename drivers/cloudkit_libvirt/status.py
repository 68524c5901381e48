"""libvirt's domain states as Nova's server statuses.

The whole table is here, so that a test can hold it against libvirt's constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import libvirt

from cloudkit.types import ServerStatus


@dataclass(frozen=True, slots=True)
class DomainState:
    """A domain's state and the reason for it, as libvirt numbers them, and whether its memory is saved on disk."""

    state: int
    reason: int = 0
    saved: bool = False


STATES: Mapping[int, tuple[ServerStatus, str]] = {
    libvirt.VIR_DOMAIN_NOSTATE: (ServerStatus.UNKNOWN, "no state"),
    libvirt.VIR_DOMAIN_RUNNING: (ServerStatus.ACTIVE, "running"),
    libvirt.VIR_DOMAIN_BLOCKED: (ServerStatus.ACTIVE, "blocked"),
    libvirt.VIR_DOMAIN_PAUSED: (ServerStatus.PAUSED, "paused"),
    # The guest is powering off, but has not yet.
    libvirt.VIR_DOMAIN_SHUTDOWN: (ServerStatus.ACTIVE, "shutting down"),
    libvirt.VIR_DOMAIN_SHUTOFF: (ServerStatus.SHUTOFF, "shut off"),
    libvirt.VIR_DOMAIN_CRASHED: (ServerStatus.ERROR, "crashed"),
    libvirt.VIR_DOMAIN_PMSUSPENDED: (ServerStatus.SUSPENDED, "suspended by the guest"),
}
"""State → status and native word."""

FAULTS: Mapping[tuple[int, int], str] = {
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR): (
        "The guest was halted by an error of its disk; most often the storage pool is full."
    ),
    # A pause that was asked for has the reason "user".
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_UNKNOWN): (
        "The hypervisor halted the guest, as its processor could not go on."
    ),
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED): "The guest crashed and was halted.",
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED): "The guest or its emulator crashed.",
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FAILED): "The emulator could not be started.",
}
"""State and reason that make an ERROR of it, with what they mean."""


def status_of(domain: DomainState) -> tuple[ServerStatus, str, str | None]:
    """Status, native word, and the fault's text where there is one."""
    status, native = STATES.get(domain.state, (ServerStatus.UNKNOWN, f"state {domain.state}"))
    if domain.saved and status is ServerStatus.SHUTOFF:
        return ServerStatus.SUSPENDED, "saved", None
    fault = FAULTS.get((domain.state, domain.reason))
    if fault is None and status is ServerStatus.ERROR:
        fault = "The guest crashed."
    return (ServerStatus.ERROR, native, fault) if fault else (status, native, None)
