"""Servers on QEMU's user network."""

from __future__ import annotations

import libvirt

from cloudkit.types import Endpoint
from cloudkit_libvirt.errors import code_of
from cloudkit_libvirt.forwarding import HOST, forward
from cloudkit_libvirt.guest_servers import GuestServers

_NOT_RUNNING = (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN)


class ForwardedServers(GuestServers):
    """Virtual machines whose guests are reached through ports of the host."""

    def endpoints(self, id: str, port: int) -> tuple[Endpoint, ...]:
        """The forwarded port, for a remote host through an ssh jump to it; none while the server does not run."""
        self._own(id)
        domain = self._context.domains.find(id)
        if domain is None:
            return ()
        try:
            host_port = forward(domain, self._context.domains.tree(domain), port)
        except libvirt.libvirtError as error:
            if code_of(error) in _NOT_RUNNING:
                return ()
            raise
        if host_port is None:
            return ()
        return (self._context.connection.endpoint(HOST, host_port),)
