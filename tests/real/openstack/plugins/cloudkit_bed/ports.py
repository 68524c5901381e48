"""Neutron without agents: every port binds and is ACTIVE, and so are floating IPs on a port, and trunks."""

from __future__ import annotations

from typing import Any

from neutron.services.trunk.drivers import base as trunk_base
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import constants as plugin_constants
from neutron_lib.plugins import directory
from neutron_lib.plugins.ml2 import api
from neutron_lib.services.trunk import constants as trunk_constants

VIF_DETAILS = {
    portbindings.CAP_PORT_FILTER: True,
    portbindings.OVS_HYBRID_PLUG: False,
    "bridge_name": "br-int",
    "datapath_type": "system",
}


class BindEveryPort(api.MechanismDriver):
    """What the L2 and L3 agents would report, reported at once."""

    def initialize(self) -> None:
        for event in (events.AFTER_CREATE, events.AFTER_UPDATE):
            registry.subscribe(report_floating_ip, resources.FLOATING_IP, event)
        # Registers itself with the trunk plugin, which comes after this one.
        self._trunks = Trunks(
            "bed", [portbindings.VIF_TYPE_OVS], [trunk_constants.SEGMENTATION_TYPE_VLAN], can_trunk_bound_port=True
        )

    @property
    def connectivity(self) -> str:
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, context: Any) -> None:
        segment = context.segments_to_bind[0]
        status = constants.PORT_STATUS_ACTIVE
        context.set_binding(segment[api.ID], portbindings.VIF_TYPE_OVS, VIF_DETAILS, status=status)


class Trunks(trunk_base.DriverBase):
    """What the Open vSwitch agent would report of trunks."""

    @property
    def is_loaded(self) -> bool:
        return True

    @registry.receives(resources.TRUNK_PLUGIN, [events.AFTER_INIT])
    def register(self, resource: str, event: str, trigger: Any, payload: Any = None) -> None:
        super().register(resource, event, trigger, payload=payload)
        registry.subscribe(self._report, resources.TRUNK, events.AFTER_CREATE)
        registry.subscribe(self._report, resources.SUBPORTS, events.AFTER_CREATE)
        registry.subscribe(self._report, resources.SUBPORTS, events.AFTER_DELETE)

    def _report(self, _resource: str, _event: str, _trigger: object, payload: Any) -> None:
        payload.states[0].update(status=trunk_constants.TRUNK_ACTIVE_STATUS)


def report_floating_ip(_resource: str, _event: str, _trigger: object, payload: Any) -> None:
    """Set the status as the L3 agent does once it has, or has no longer, an address to translate."""
    router = directory.get_plugin(plugin_constants.L3)
    on_port = payload.latest_state["port_id"] is not None
    status = constants.FLOATINGIP_STATUS_ACTIVE if on_port else constants.FLOATINGIP_STATUS_DOWN
    router.update_floatingip_status(payload.context, payload.resource_id, status)
