"""Changes of a domain's XML: what is not meant stays, and each can be done twice, or undone."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkit.errors import CloudError
from cloudkit_libvirt import domain_edit, domain_xml
from cloudkit_libvirt.xml_tree import Element, parse, to_text

ID = "0f0f0f0f-aaaa-4bbb-8ccc-ffffffffffff"
ROOT, RESCUE = "/pool/disk", "/pool/rescue"


def domain() -> Element:
    tree = domain_xml.domain(
        domain_xml.DomainSpec(
            id=ID, project_id="p", title="t", type="qemu", arch="x86_64", vcpus=1, ram_mib=128,
            root=domain_xml.overlay_disk(ROOT, domain_xml.image_backing("/image", "raw")),
            seed_path="/pool/seed", console_path="/pool/console", nics=(),
        )
    )  # fmt: skip
    devices = tree.find("devices")
    assert devices is not None
    devices.append(domain_xml.volume_disk("volume", "/pool/volume", "vdb"))
    return tree


def chain(tree: Element) -> list[tuple[str, str]]:
    """Files and formats of the root disk, from what the guest writes to down to what nothing lies under."""
    (disk,) = (each for each in tree.findall("devices/disk") if each.find("target[@dev='vda']") is not None)
    found = [(source(disk), str(driver.get("type")) if (driver := disk.find("driver")) is not None else "")]
    level = disk.find("backingStore")
    while level is not None and level.find("source") is not None:
        found.append((source(level), str(format.get("type")) if (format := level.find("format")) is not None else ""))
        level = level.find("backingStore")
    assert level is not None, "what lies under the last file is left to its header"
    return found


def source(element: Element) -> str:
    found = element.find("source")
    assert found is not None
    return str(found.get("file"))


def targets(tree: Element) -> dict[str, str]:
    return {
        str(target.get("dev")): source(disk)
        for disk in tree.findall("devices/disk")
        if (target := disk.find("target")) is not None
    }


@given(st.integers(1, 6))
def test_layers_are_pushed_and_popped(count: int) -> None:
    tree = domain()
    paths = [ROOT, *(f"/pool/disk{number}" for number in range(1, count + 1))]
    for below, path in itertools.pairwise(paths):
        for _ in range(2):
            domain_edit.push_layer(tree, below, path)
    assert chain(tree) == [*((path, "qcow2") for path in reversed(paths)), ("/image", "raw")]
    for below, path in reversed(list(itertools.pairwise(paths))):
        for _ in range(2):
            domain_edit.pop_layer(tree, path, below)
    assert chain(tree) == [(ROOT, "qcow2"), ("/image", "raw")]


def test_a_base_replaces_all_layers() -> None:
    tree = domain()
    domain_edit.push_layer(tree, ROOT, "/pool/disk1")
    domain_edit.set_base(tree, [ROOT, "/pool/disk1"], ROOT, domain_xml.image_backing("/other", "qcow2"))
    assert chain(tree) == [(ROOT, "qcow2"), ("/other", "qcow2")]


def test_a_rescue_and_its_end() -> None:
    tree, before = domain(), to_text(domain())
    root = tree.find("devices/disk")
    assert root is not None
    root.append(parse("<address type='pci' slot='0x05'/>"))
    for _ in range(2):
        rescue = domain_xml.overlay_disk(RESCUE, domain_xml.image_backing("/image", "raw"))
        domain_edit.begin_rescue(tree, ROOT, rescue, ID)
    assert targets(tree) == {"vda": RESCUE, "sdb": ROOT, "sda": "/pool/seed", "vdb": "/pool/volume"}
    # The first disk is what the firmware boots.
    assert source(tree.findall("devices/disk")[0]) == RESCUE
    assert tree.findtext("devices/disk/serial") == ID[:20]
    assert [address.get("slot") for address in tree.findall("devices/disk/address")] == ["0x05"]
    for _ in range(2):
        domain_edit.end_rescue(tree, ROOT, RESCUE)
    root.remove(root.find("address"))  # type: ignore[arg-type]
    assert chain(tree) == [(ROOT, "qcow2"), ("/image", "raw")]
    assert targets(tree) == targets(parse(before))
    assert tree.findtext("devices/disk/serial") == "volume"


def test_size() -> None:
    tree = parse(to_text(domain()).replace("</memory>", "</memory><currentMemory unit='KiB'>1</currentMemory>"))
    domain_edit.set_size(tree, 4, 512)
    assert tree.findtext("vcpu") == "4"
    assert [(tree.findtext(tag), tree.find(tag).get("unit")) for tag in ("memory", "currentMemory")] == [  # type: ignore[union-attr]
        ("512", "MiB"), ("512", "MiB"),
    ]  # fmt: skip


def test_a_domain_that_was_changed_behind_our_back() -> None:
    tree = domain()
    with pytest.raises(CloudError, match="does not have the disk"):
        domain_edit.push_layer(tree, "/elsewhere", "/pool/disk1")
    with pytest.raises(CloudError) as raised:
        domain_edit.set_base(tree, ["/elsewhere"], "/x", domain_xml.image_backing("/i", "raw"))
    assert "virsh" in raised.value.hint
