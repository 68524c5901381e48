"""Changing the XML of a domain that exists: plugged volumes, and what the user's ``native`` altered, stay."""

from __future__ import annotations

from copy import deepcopy

from cloudkit.errors import CloudError
from cloudkit_libvirt.domain_xml import ROOT_DEVICE, SERIAL_LENGTH
from cloudkit_libvirt.xml_tree import Element, node

_ROOT_TARGET = {"dev": ROOT_DEVICE, "bus": "virtio"}


def set_size(tree: Element, vcpus: int, ram_mib: int) -> None:
    """Give it processors and memory."""
    for tag in ("memory", "currentMemory"):
        for element in tree.findall(tag):
            element.attrib.clear()
            element.set("unit", "MiB")
            element.text = str(ram_mib)
    vcpu = tree.find("vcpu")
    if vcpu is not None:
        vcpu.attrib.pop("current", None)
        vcpu.text = str(vcpus)


def push_layer(tree: Element, below: str, path: str) -> None:
    """Let the disk write to ``path``, an overlay of ``below``; done already is fine."""
    if _find(tree, path) is not None:
        return
    disk = _get(tree, below)
    under = disk.find("backingStore")
    backing = node(
        "backingStore", {"type": "file"}, node("format", {"type": "qcow2"}), node("source", {"file": below})
    )
    backing.append(node("backingStore") if under is None else deepcopy(under))
    _set_files(disk, path, backing)


def pop_layer(tree: Element, path: str, below: str) -> None:
    """Let the disk that writes to ``path`` write to ``below`` again; done already is fine."""
    disk = _find(tree, path)
    if disk is None:
        return
    under = disk.find("backingStore/backingStore")
    _set_files(disk, below, node("backingStore") if under is None else deepcopy(under))


def set_base(tree: Element, paths: list[str], path: str, backing: Element) -> None:
    """Let the disk that writes to one of ``paths`` write to ``path``, an overlay of ``backing``."""
    disk = next(filter(None, (_find(tree, each) for each in paths)), None)
    if disk is None:
        raise _no_root(tree)
    _set_files(disk, path, backing)


def begin_rescue(tree: Element, root_path: str, rescue: Element, server_id: str) -> None:
    """Put another disk in the root disk's place, and the root disk beside it; done already is fine.

    It comes as a SCSI disk. Two disks made from one image have the same labels and UUIDs, and a Linux takes the
    one that it sees first: those of virtio-blk are there at once, those of virtio-scsi only after a scan.
    """
    rescue_path = _source(rescue)
    if _find(tree, rescue_path) is not None:
        return
    devices = _devices(tree)
    root = _get(tree, root_path)
    place = list(devices).index(root)
    address = root.find("address")
    if address is not None:
        root.remove(address)
        rescue.append(address)
    _set_target(root, _free_scsi_target(tree))
    root.append(node("serial", text=server_id[:SERIAL_LENGTH]))
    devices.insert(place, rescue)


def end_rescue(tree: Element, root_path: str, rescue_path: str) -> None:
    """Put the root disk back in its place; done already is fine."""
    rescue = _find(tree, rescue_path)
    if rescue is None:
        return
    devices = _devices(tree)
    root = _get(tree, root_path)
    place = list(devices).index(rescue)
    own_address, address = root.find("address"), rescue.find("address")
    if own_address is not None:
        root.remove(own_address)
    if address is not None:
        root.append(address)
    _set_target(root, _ROOT_TARGET)
    for serial in root.findall("serial"):
        root.remove(serial)
    devices.remove(root)
    devices.remove(rescue)
    devices.insert(place, root)


# -- parts


def _devices(tree: Element) -> Element:
    devices = tree.find("devices")
    if devices is None:
        raise _no_root(tree)
    return devices


def _source(disk: Element) -> str:
    source = disk.find("source")
    return "" if source is None else source.get("file", "")


def _find(tree: Element, path: str) -> Element | None:
    return next((disk for disk in tree.findall("devices/disk") if _source(disk) == path), None)


def _get(tree: Element, path: str) -> Element:
    disk = _find(tree, path)
    if disk is None:
        raise _no_root(tree)
    return disk


def _no_root(tree: Element) -> CloudError:
    return CloudError(
        "the server's domain does not have the disk that cloudkit gave it",
        driver="libvirt",
        resource=tree.findtext("uuid"),
        hint="It was changed behind cloudkit's back, as by virsh edit.",
    )


def _set_files(disk: Element, path: str, backing: Element) -> None:
    for tag in ("source", "backingStore"):
        for element in disk.findall(tag):
            disk.remove(element)
    disk.append(node("source", {"file": path}))
    disk.append(backing)


def _set_target(disk: Element, attributes: dict[str, str]) -> None:
    for element in disk.findall("target"):
        disk.remove(element)
    disk.append(node("target", attributes))


def _free_scsi_target(tree: Element) -> dict[str, str]:
    used = {target.get("dev") for target in tree.findall("devices/disk/target")}
    device = next(
        name for name in (f"sd{chr(letter)}" for letter in range(ord("b"), ord("z") + 1)) if name not in used
    )
    return {"dev": device, "bus": "scsi"}
