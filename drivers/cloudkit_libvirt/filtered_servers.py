"""What servers offer where the host's filters are ours: security groups."""

from __future__ import annotations

from dataclasses import replace

from cloudkit_libvirt.bodies import PortBody, now_text
from cloudkit_libvirt.bridged_servers import BridgedServers
from cloudkit_libvirt.ports import Ports


class FilteredServers(BridgedServers):
    """Virtual machines behind security groups."""

    def set_security_groups(self, id: str, security_group_ids: tuple[str, ...]) -> None:
        """Exchange the groups of all its ports."""
        body = self._own(id).body
        view = self._context.records.view()
        groups = Ports(self._context, self._project_id).group_ids(view, security_group_ids)
        for port_id in body.port_ids:
            if view.find(PortBody, port_id) is not None:
                self._context.records.change(
                    PortBody, port_id, lambda port: replace(port, group_ids=groups, updated_at=now_text())
                )
        self._context.reconcile()
