"""Holding a guest's file systems still for the moment in which a copy of its disk begins."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager, suppress
from enum import Enum

import libvirt

from cloudkit.errors import CloudError

_log = logging.getLogger("cloudkit.libvirt")


class Consistency(Enum):
    """How good the copy of a disk is that a guest was writing to."""

    FILE_SYSTEM = "file-system"
    CRASH = "crash"


ANSWER_S = 10
"""How long a guest agent may take; one that hangs is as none."""
THAW_TRIES = 3


@contextmanager
def frozen(domain: libvirt.virDomain) -> Generator[bool]:
    """Whether the guest's agent has flushed its file systems and holds them until the body ends, however that ends.

    Raises:
        CloudError: they could not be let go again.
    """
    still = _freeze(domain)
    try:
        yield still
    finally:
        if still:
            _thaw(domain)


def _freeze(domain: libvirt.virDomain) -> bool:
    if domain.info()[0] != libvirt.VIR_DOMAIN_RUNNING:
        return False
    try:
        domain.agentSetResponseTimeout(ANSWER_S)
        domain.fsFreeze()
    except libvirt.libvirtError as error:
        _log.info("%s: no guest agent holds its file systems still: %s", domain.name(), error.get_error_message())
        # One that was only late does it yet.
        with suppress(libvirt.libvirtError):
            domain.fsThaw()
        return False
    return True


def _thaw(domain: libvirt.virDomain) -> None:
    for left in reversed(range(THAW_TRIES)):
        try:
            domain.fsThaw()
        except libvirt.libvirtError as error:
            if not left:
                raise CloudError(
                    f"the file systems of {domain.name()} may still be frozen",
                    driver="libvirt",
                    fault=error.get_error_message(),
                    hint="Reboot the server hard if it hangs.",
                ) from error
        else:
            return
