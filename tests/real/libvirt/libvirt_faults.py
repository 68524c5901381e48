"""libvirtd killed at a chosen step of whatever the driver does, and what there is in the bed before and after.

A step is a call that changes something at libvirt: before it, or after it with the answer lost, the daemon dies.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import libvirt  # type: ignore[import-untyped, unused-ignore]
from bed import LibvirtBed

STEPS: dict[type[Any], tuple[str, ...]] = {
    libvirt.virConnect: ("defineXML", "networkDefineXML"),
    libvirt.virStoragePool: ("createXML", "createXMLFrom"),
    libvirt.virStorageVol: ("upload", "delete", "resize"),
    # Only uploads send.
    libvirt.virStream: ("send",),
    libvirt.virDomain: (
        "create", "destroy", "undefineFlags", "shutdownFlags", "reboot", "reset", "suspend", "resume", "managedSave",
        "managedSaveRemove", "attachDeviceFlags", "detachDeviceFlags", "blockResize", "backupBegin", "abortJob",
        "setVcpusFlags", "setMemoryFlags", "updateDeviceFlags",
    ),
    libvirt.virNetwork: ("create", "destroy", "undefine", "update", "setAutostart"),
}  # fmt: skip

_IDS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=\.volume\.)[0-9a-f]{8}$")


class Faults:
    """Counts steps, and kills the daemon at one of them.

    Attributes:
        steps: how many steps were made since it was armed.
    """

    def __init__(self, bed: LibvirtBed) -> None:
        self._bed = bed
        self._lock = threading.Lock()
        self._at: int | None = None
        self._lose_answer = self._stay_dead = False
        self.steps: list[str] = []

    @contextmanager
    def armed(self, at: int, *, lose_answer: bool = False, stay_dead: bool = False) -> Generator[None]:
        """Kill at the step of this number, from 0; with ``stay_dead`` nobody starts the daemon again in the body."""
        self.steps = []
        self._at, self._lose_answer, self._stay_dead = at, lose_answer, stay_dead
        try:
            yield
        finally:
            self._at = None
            if stay_dead and self.happened(at):
                self._bed.start_libvirtd()

    def happened(self, at: int) -> bool:
        return len(self.steps) > at

    def _guard(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(handle: Any, *arguments: Any, **options: Any) -> Any:
            with self._lock:
                hit = self._at is not None and len(self.steps) == self._at
                if self._at is not None:
                    self.steps.append(name)
            if hit and self._lose_answer:
                call(handle, *arguments, **options)
            if hit:
                self._bed.kill_libvirtd()
                if not self._stay_dead:
                    self._bed.start_libvirtd()
                if self._lose_answer:
                    connection = handle if isinstance(handle, libvirt.virConnect) else handle.connect()
                    connection.getLibVersion()
                    raise AssertionError("a call on a dead connection has succeeded")
            return call(handle, *arguments, **options)

        return guarded

    @contextmanager
    def installed(self) -> Generator[Faults]:
        """Stand between the driver and the binding."""
        kept = [(owner, name, getattr(owner, name)) for owner, names in STEPS.items() for name in names]
        try:
            for owner, name, call in kept:
                setattr(owner, name, self._guard(f"{owner.__name__.removeprefix('vir')}.{name}", call))
            yield self
        finally:
            for owner, name, call in kept:
                setattr(owner, name, call)


def inventory(bed: LibvirtBed) -> Counter[str]:
    """All that there is in the bed, ids and numbers taken out of the names: two like states are equal."""
    found: Counter[str] = Counter()
    records: set[str] = set()
    for line in bed.leftovers(settle_s=0):
        # A file of the pool is a volume once libvirt has looked.
        if line.startswith(("volume ", "firewall rule ")):
            continue
        # An older generation beside a newer one is the same record.
        if record := re.fullmatch(r"file pool/(ck1\..+)\.\d+", line):
            if record[1] in records:
                continue
            records.add(record[1])
            line = record[1]
        found[re.sub(r"(vnet|virbr|qemu|dnsmasq).*", r"\1", _IDS.sub("ID", line))] += 1
    return found
