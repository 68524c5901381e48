"""Holding a guest's file systems still for the moment in which a copy of its disk begins."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from enum import Enum

import libvirt

from cloudkit.errors import CloudError
from cloudkit_libvirt.domains import Domains, gone_or_off
from cloudkit_libvirt.errors import is_unreachable
from cloudkit_libvirt.patience import patiently
from cloudkit_libvirt.undo import undoing

_log = logging.getLogger("cloudkit.libvirt")


class Consistency(Enum):
    """How good the copy of a disk is that a guest was writing to."""

    FILE_SYSTEM = "file-system"
    CRASH = "crash"


ANSWER_S = 10
"""How long a guest agent may take; one that hangs is as none."""
_THAW_S = 30.0
"""How long it is tried to let a guest go: a libvirt that was started again looks for the agents after all else."""
_RETRY_S = 0.2
_FAILURES = (libvirt.libvirtError, CloudError)


@contextmanager
def frozen(domains: Domains, domain: libvirt.virDomain) -> Generator[bool]:
    """Whether the guest's agent has flushed its file systems and holds them until the body ends, however that ends.

    Raises:
        CloudError: they could not be let go again.
    """
    still = _freeze(domains, domain)
    try:
        yield still
    finally:
        if still:
            _thaw(domains, domain)


def _freeze(domains: Domains, domain: libvirt.virDomain) -> bool:
    if domain.info()[0] != libvirt.VIR_DOMAIN_RUNNING:
        return False
    try:
        domain.agentSetResponseTimeout(ANSWER_S)
        domain.fsFreeze()
    except libvirt.libvirtError as error:
        if is_unreachable(error):
            # Only the answer may have been lost.
            with undoing(lambda: _thaw(domains, domain)):
                raise
        _log.info("%s: no guest agent holds its file systems still: %s", domain.name(), error.get_error_message())
        # One that was only late does it yet.
        with suppress(*_FAILURES):
            _let_go(domains, domain)
        return False
    return True


def _thaw(domains: Domains, domain: libvirt.virDomain) -> None:
    deadline = time.monotonic() + _THAW_S
    while True:
        try:
            _let_go(domains, domain)
        except _FAILURES as error:
            if time.monotonic() >= deadline:
                raise CloudError(
                    f"the file systems of {domain.name()} may still be frozen",
                    driver="libvirt",
                    fault=str(error),
                    hint="Reboot the server hard if it hangs.",
                ) from error
            time.sleep(_RETRY_S)
        else:
            return


def _let_go(domains: Domains, domain: libvirt.virDomain) -> None:
    with gone_or_off(), patiently():
        domains.again(domain).fsThaw()
