"""The one availability zone: one host is one."""

from __future__ import annotations

from cloudkit.errors import InvalidRequest
from cloudkit.types import ServerSpec, VolumeSpec

ZONE = "nova"
"""What an OpenStack starts with."""


def check_zone(spec: ServerSpec | VolumeSpec) -> None:
    """Raise InvalidRequest where another zone is asked for."""
    if spec.availability_zone not in (None, ZONE):
        raise InvalidRequest(
            f"there is no availability zone {spec.availability_zone!r}",
            driver="libvirt",
            resource=spec.name,
            hint=f"The one that there is is {ZONE!r}.",
        )
