"""Fixtures of the libvirt driver's unit tests: libvirt's own test hypervisor, no root, no daemon."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("libvirt", reason="libvirt-python is not installed: pip install 'cloudkit-sdk[libvirt]'")
pytest.importorskip("pycdlib", reason="pycdlib is not installed: pip install 'cloudkit-sdk[libvirt]'")

from specs import open_test_driver

NODE = """\
<node>
  <domain type="test"><name>test</name><memory>1024</memory><os><type>hvm</type></os></domain>
  <network><name>default</name><ip address="192.168.122.1" netmask="255.255.255.0"/></network>
</node>
"""


@pytest.fixture
def driver(tmp_path: Path) -> Generator[Any]:
    # What test:///default holds is shared by all its users in a process; a file gives a hypervisor of one's own.
    node = tmp_path / "node.xml"
    node.write_text(NODE)
    driver = open_test_driver(f"test://{node}")
    yield driver
    driver.close()


@pytest.fixture
def left(driver: Any) -> Callable[[], list[str]]:
    """What there is in libvirt and in the records beyond what a new driver starts with."""

    def everything() -> set[str]:
        context, virt = driver._context, driver.native
        return {
            *context.records._store.names(),
            *context.pool.names(),
            *(domain.name() for domain in virt.listAllDomains()),
            *(network.name() for network in virt.listAllNetworks()),
        }

    at_start = everything()
    return lambda: sorted(everything() - at_start)
