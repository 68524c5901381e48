"""Starting a network of libvirt's anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import libvirt

from cloudkit_libvirt.errors import code_of

_PATIENCE_S = 10.0
_POLL_S = 0.05
_ENDING_S = 0.5
"""After which an old dnsmasq is none that is about to end."""
_OLD_ONE_IS_THERE = "Address already in use"


def restart(network: Any, end_forgotten: Callable[[], None] | None = None) -> None:
    """Stop a network if it runs, and start it; another client that does the same is fine.

    Libvirt tells its dnsmasq to end, and does not wait for that: its addresses are taken for some milliseconds more,
    in which the new one cannot start. A libvirt that started and did not find the network's bridge has forgotten the
    dnsmasq (measured with 9.0), which then stays: ``end_forgotten`` ends it.
    """
    if network.isActive():
        _unless_done(network.destroy)
    start = time.monotonic()
    while True:
        try:
            _unless_done(network.create)
        except libvirt.libvirtError as error:
            elapsed_s = time.monotonic() - start
            if _OLD_ONE_IS_THERE not in str(error) or elapsed_s > _PATIENCE_S:
                raise
            if end_forgotten is not None and elapsed_s > _ENDING_S:
                end_forgotten()
                end_forgotten = None
            time.sleep(_POLL_S)
        else:
            return


def _unless_done(step: Any) -> None:
    try:
        step()
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_OPERATION_INVALID:
            raise
