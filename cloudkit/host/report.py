"""What a look at a machine gives: one check a question, and all of them as a report."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

Detail = str | int | bool | None | list[str] | dict[str, int]
"""What a fact may be: everything that JSON can tell."""


class Level(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    INFO = "info"


class Need(StrEnum):
    """What somebody may want of a machine: a check that fails is in the way of some of these."""

    LIBVIRT_SYSTEM = "libvirt-system"
    """Servers by this machine's system libvirt, with networks."""
    LIBVIRT_SOCKET = "libvirt-socket"
    """That libvirt, at the sockets that it has by default."""
    LIBVIRT_SESSION = "libvirt-session"
    """Servers by an ordinary user's own libvirt."""
    HOST_NETWORK = "host-network"
    """Routers, floating IPs and security groups by rules on this machine."""
    KVM = "kvm"
    """Servers run by the processor instead of by emulation."""
    PASSTHROUGH = "passthrough"
    """PCI devices handed to servers."""
    CLOUD = "cloud"
    """The cloud that was asked for; its driver's own checks."""


LIBVIRT = (Need.LIBVIRT_SYSTEM, Need.LIBVIRT_SESSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The answer to one question about a machine or a cloud.

    Attributes:
        name: what a program finds it by, as ``kvm`` or ``libvirt.daemon``; stable.
        summary: the answer, in one sentence for people.
        details: the facts that it rests on, for programs.
        hint: what to do, where something can be done.
        needed_by: who cannot go on where it fails; nobody, where that is empty.
    """

    name: str
    level: Level
    summary: str
    details: Mapping[str, Detail] = field(default_factory=dict[str, Detail], hash=False)
    hint: str = ""
    needed_by: tuple[Need, ...] = ()

    def judged(self, needs: Collection[Need]) -> Check:
        """The same for somebody who has these needs: a failure that is in nobody's way is a warning."""
        if self.level is not Level.FAIL or any(need in needs for need in self.needed_by):
            return self
        return replace(self, level=Level.WARN)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "level": self.level.value,
            "summary": self.summary,
            "details": dict(self.details),
            "hint": self.hint,
            "needed_by": [need.value for need in self.needed_by],
        }


@dataclass(frozen=True, slots=True)
class HostReport:
    """All checks of a machine."""

    checks: tuple[Check, ...]

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __getitem__(self, name: str) -> Check:
        """The check of this name; raises KeyError."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)

    def judged(self, needs: Collection[Need]) -> HostReport:
        """The same for somebody who has these needs; see :meth:`Check.judged`."""
        return HostReport(tuple(check.judged(needs) for check in self.checks))

    @property
    def failures(self) -> tuple[Check, ...]:
        """What fails."""
        return tuple(check for check in self.checks if check.level is Level.FAIL)
