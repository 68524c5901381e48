# A part of libvirt-python; see libvirt.pyi.
from typing import Any

def __getattr__(name: str) -> Any: ...
