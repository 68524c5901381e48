"""Starting a network of libvirt's anew."""

from __future__ import annotations

import time
from typing import Any

import libvirt

from cloudkit_libvirt.errors import code_of

_PATIENCE_S = 10.0
_POLL_S = 0.05
_OLD_ONE_ENDS = "Address already in use"


def restart(network: Any) -> None:
    """Stop a network if it runs, and start it; another client that does the same is fine.

    Libvirt tells its dnsmasq to end, and does not wait for that: its addresses are taken for some milliseconds more,
    in which the new one cannot start.
    """
    if network.isActive():
        _unless_done(network.destroy)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            _unless_done(network.create)
        except libvirt.libvirtError as error:
            if _OLD_ONE_ENDS not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)
        else:
            return


def _unless_done(step: Any) -> None:
    try:
        step()
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_OPERATION_INVALID:
            raise
