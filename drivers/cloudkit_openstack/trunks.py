"""Ports where Neutron has trunks: each trunk is a thing of its own there, and here a port with subports."""

from __future__ import annotations

from cloudkit._subports import SUBPORT_OWNER, check_is_subport, check_subport
from cloudkit.types import Port
from cloudkit_openstack.errors import DRIVER
from cloudkit_openstack.ports import Ports

TRUNKS = "/trunks"


class TrunkPorts(Ports):
    """Plugs on networks, which can be reached through one another."""

    def add_subport(self, id: str, port_id: str, vlan_id: int) -> None:
        """Have a port be reached through another one, by the trunk that Neutron makes of that."""
        trunk = self._own(id) or self.get(id)
        check_subport(DRIVER, trunk, self._own(port_id) or self.get(port_id), vlan_id)
        subports = [{"port_id": port_id, "segmentation_type": "vlan", "segmentation_id": vlan_id}]
        if trunk.subports is None:
            self._service.post(TRUNKS, {"trunk": {"name": trunk.name, "port_id": id, "sub_ports": subports}})
        else:
            self._service.put(f"{TRUNKS}/{self._trunk_id(id)}/add_subports", {"sub_ports": subports})
        try:
            # Nothing of the port tells Nova of its trunk, which would plug it into a server.
            self._change(port_id, {"device_id": id, "device_owner": SUBPORT_OWNER})
        except BaseException:
            self._take_out(id, port_id)
            raise

    def remove_subport(self, id: str, port_id: str) -> None:
        """Set a subport free."""
        check_is_subport(DRIVER, self._own(id) or self.get(id), port_id)
        self._take_out(id, port_id)
        self._set_free(port_id)

    def _take_out(self, id: str, port_id: str) -> None:
        path = f"{TRUNKS}/{self._trunk_id(id)}/remove_subports"
        self._service.put(path, {"sub_ports": [{"port_id": port_id}]})

    def _set_free(self, port_id: str) -> None:
        self._change(port_id, {"device_id": "", "device_owner": ""})

    def _trunk_id(self, id: str) -> str:
        return str(self.body(id)["trunk_details"]["trunk_id"])

    def _remove(self, port: Port) -> None:
        if port.subports is not None:
            self._service.delete(f"{TRUNKS}/{self._trunk_id(port.id)}")
            for subport in port.subports:
                self._set_free(subport.port_id)
        super()._remove(port)
