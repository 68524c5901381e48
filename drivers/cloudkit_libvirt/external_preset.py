"""The external network that a host has from the start, so that routers have somewhere to lead."""

from __future__ import annotations

import logging
import uuid

from cloudkit.errors import CloudError
from cloudkit.types import Mark, NetworkSpec, SubnetSpec
from cloudkit_libvirt.bodies import NetworkBody
from cloudkit_libvirt.context import Context
from cloudkit_libvirt.networks import BridgedNetworks
from cloudkit_libvirt.subnets import BridgedSubnets

_log = logging.getLogger("cloudkit.libvirt")

PUBLIC = "public"
OWNER = "admin"


def ensure_external(context: Context, cidr: str) -> None:
    """Make the network ``public`` unless there is an external one, or its addresses are in use on the host."""
    if any(record.body.external for record in context.records.view().all(NetworkBody)):
        return
    mark = Mark(request=str(uuid.uuid4()))
    networks = BridgedNetworks(context, OWNER)
    try:
        network = networks.create(NetworkSpec(name=PUBLIC, mark=mark, external=True))
        try:
            subnet = SubnetSpec(name=PUBLIC, mark=mark, network_id=network.id, cidr=cidr, ip_version=4, dhcp=False)
            BridgedSubnets(context, OWNER).create(subnet)
        except BaseException:
            networks.delete(network.id)
            raise
    except CloudError as error:
        _log.warning("there is no external network, as %s cannot be made: %s", cidr, error)
