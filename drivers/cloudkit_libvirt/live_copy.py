"""Copying a disk that a guest is writing to: QEMU pushes what was in it at one moment into a new file."""

from __future__ import annotations

import errno
import threading
import time
from typing import Any

import libvirt

from cloudkit.errors import CloudError
from cloudkit_libvirt import domain_xml
from cloudkit_libvirt.context import Context
from cloudkit_libvirt.domains import gone_or_off
from cloudkit_libvirt.errors import code_of
from cloudkit_libvirt.quiesce import Consistency, frozen
from cloudkit_libvirt.undo import undoing
from cloudkit_libvirt.xml_tree import parse, to_text

_POLL_S = 0.02
_ENDING_S = 1.0
"""Far longer than libvirt takes to see that QEMU has ended a job."""


def push(context: Context, domain: Any, device: str, path: str) -> Consistency:
    """Copy a disk of a running domain, flat, to a new qcow2 file on libvirt's host.

    A domain has one such job at a time: threads of this process wait here for each other, those of others in libvirt,
    which gives up after 30 s with what becomes Busy.
    """
    with context.live_copies.setdefault(domain.UUIDString(), threading.Lock()):
        devices = [element.get("dev", "") for element in context.domains.tree(domain).findall("devices/disk/target")]
        others = [name for name in devices if name != device]
        _end_stale(domain)
        # Also where only the answer of its begin was lost: it would go on writing, and no other could begin.
        with undoing(lambda: _abort(context.domains.again(domain), path)):
            # The copy is of the moment in which it begins: the guest goes on while it is written.
            with frozen(context.domains, domain) as still:
                domain.backupBegin(to_text(domain_xml.backup(device, others, path)), None)
            while _runs(domain, path):
                time.sleep(_POLL_S)
        outcome = domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
    if not outcome.get("success", True):
        fault = str(outcome.get("errmsg"))
        if "No space left on device" in fault:
            raise OSError(errno.ENOSPC, fault)
        raise CloudError("the copy of the running server's disk failed", driver="libvirt", fault=fault)
    return Consistency.FILE_SYSTEM if still else Consistency.CRASH


def _end_stale(domain: Any) -> None:
    """End a job of which libvirt has missed the end while it was away: it would let no other begin, ever."""
    if _is_stale(domain):
        # Or has it only just ended?
        time.sleep(_ENDING_S)
        if _is_stale(domain):
            domain.abortJob()


def _is_stale(domain: Any) -> bool:
    """Whether there is a job of which QEMU knows nothing any more; seen with libvirt 9.0."""
    try:
        disks = parse(domain.backupGetXMLDesc()).iterfind("disks/disk[@backup='yes']")
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_NO_DOMAIN_BACKUP:
            raise
        return False
    return not any(domain.blockJobInfo(disk.get("name", "")) for disk in disks)


def _abort(domain: Any, path: str) -> None:
    with gone_or_off():
        if _runs(domain, path):
            domain.abortJob()


def _runs(domain: Any, path: str) -> bool:
    """Whether the job that writes to ``path`` runs; libvirt's statistics do not tell whose job they are of."""
    try:
        return path in domain.backupGetXMLDesc()
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_NO_DOMAIN_BACKUP:
            raise
        return False
