"""The libvirt of the ordinary user who runs the tests: nothing is configured for it."""

from __future__ import annotations

from pathlib import Path

import cloudkit
from cloudkit import Cloud

URL = "libvirt+qemu:///session"
POOL = Path("~/.local/share/cloudkit/libvirt").expanduser()


def connect() -> Cloud:
    """As any user would."""
    return cloudkit.connect(URL)


def left_in_pool() -> list[str]:
    """The files that there are; the pool is gone where nobody has connected yet."""
    return sorted(path.name for path in POOL.glob("*"))
