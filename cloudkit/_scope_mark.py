"""The mark of a scope, ``name/uuid/owner/expiry``: written into each thing, read back by the sweep.

Marks are read from clouds that others write to: what does not parse is no mark, and decides nothing.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ScopeInfo:
    """Which scope a thing belongs to.

    Attributes:
        owner: the process that opened the scope, as :func:`current_owner` writes it.
        expires_at: when its things may go even if nobody knows whether the owner lives.
    """

    name: str
    id: str
    owner: str
    expires_at: datetime

    @property
    def text(self) -> str:
        """The mark."""
        parts = (self.name, self.id, self.owner, self.expires_at.strftime("%Y%m%dT%H%M%SZ"))
        return "/".join(quote(part, safe="") for part in parts)


def new_scope(name: str, expires_in_s: float) -> ScopeInfo:
    """A scope that this process owns."""
    expires_at = (datetime.now(UTC) + timedelta(seconds=expires_in_s)).replace(microsecond=0)
    return ScopeInfo(name, str(uuid.uuid4()), current_owner(), expires_at)


def parse_scope(text: str) -> ScopeInfo | None:
    """The scope of a mark, or None for what is no mark."""
    parts = [unquote(part) for part in text.split("/")]
    if len(parts) != 4 or not all(parts):
        return None
    try:
        expires_at = datetime.strptime(parts[3], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return ScopeInfo(parts[0], parts[1], parts[2], expires_at)


def current_owner() -> str:
    """``host:machine:pid:start``, where machine tells this boot and process-id namespace from every other one."""
    return f"{_host()}:{_machine()}:{os.getpid()}:{_start_time(os.getpid()) or '-'}"


def owner_is_dead(owner: str) -> bool:
    """Whether the process is known to have ended; False where that cannot be told from here."""
    host, machine, pid, start = ([*owner.split(":"), "", "", "", ""])[:4]
    if (host, machine) != (_host(), _machine()) or machine == "-" or start == "-" or not pid.isdecimal():
        return False
    return _start_time(int(pid)) != start


@cache
def _host() -> str:
    import socket

    return socket.gethostname().replace(":", "-")


@cache
def _machine() -> str:
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text()[:8]
        # A process id means something within its namespace only: a container has its own.
        return f"{boot}-{(PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return "-"


def _start_time(pid: int) -> str | None:
    """When the process started, in the kernel's ticks (proc(5), stat, field 22): tells it from a later one."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie has ended; only its parent has not noticed.
    return None if fields[0] == "Z" else fields[19]
