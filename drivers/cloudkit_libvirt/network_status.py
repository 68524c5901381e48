"""How far a network, port or router has come, in Neutron's words."""

from __future__ import annotations

from cloudkit.types import NetworkStatus
from cloudkit_libvirt.bodies import Phase

STATUS = {
    Phase.CREATING: NetworkStatus.BUILD,
    Phase.READY: NetworkStatus.ACTIVE,
    # Only a crash leaves this for more than a moment; deleting again ends it.
    Phase.DELETING: NetworkStatus.ERROR,
}
