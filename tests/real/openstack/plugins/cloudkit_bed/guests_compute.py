"""nova-compute of the guests tier: its own program, but for one thing that its driver of file volumes lacks."""

from __future__ import annotations

import sys
from typing import Any

from nova.cmd import compute
from nova.virt.libvirt.volume import gpfs


def extend_volume(_driver: Any, _connection_info: Any, _instance: Any, requested_size: int) -> int:
    """Cinder has made the file larger already; what tells the guest is not the volume driver's part."""
    return requested_size


gpfs.LibvirtGPFSVolumeDriver.extend_volume = extend_volume

if __name__ == "__main__":
    sys.argv[0] = "nova-compute"
    sys.exit(compute.main())
