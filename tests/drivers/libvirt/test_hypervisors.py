"""Hypervisors that servers cannot be made on."""

from __future__ import annotations

import libvirt
import pytest
from specs import open_test_driver

from cloudkit.errors import Unsupported
from cloudkit_libvirt.hypervisors import refuse_hypervisor


@pytest.mark.parametrize(
    ("name", "why"),
    # As their drivers in libvirt call themselves.
    [
        ("Xen", "console"),
        ("VBOX", "storage"),
        ("ESX", "storage"),
        ("VMware", "storage"),
        ("LXC", "containers"),
        ("BHYVE", "never tried"),
    ],
)
def test_each_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(Unsupported, match=f"on {name} through libvirt: .*{why}") as raised:
        refuse_hypervisor(name)
    assert "qemu:///system" in raised.value.hint


@pytest.mark.parametrize("name", ["QEMU", "TEST"])
def test_what_is_driven_is_not(name: str) -> None:
    refuse_hypervisor(name)


def test_it_is_refused_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirt.virConnect, "getType", lambda _self: "Xen")
    with pytest.raises(Unsupported):
        open_test_driver(pool="never-made")
    monkeypatch.undo()
    connection = libvirt.open("test:///default")
    assert "never-made" not in connection.listDefinedStoragePools() + connection.listStoragePools()
    connection.close()
