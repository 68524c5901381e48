"""The XML of volumes."""

from __future__ import annotations

from cloudkit_libvirt.xml_tree import Element, node


def volume(
    name: str,
    capacity_bytes: int,
    format: str,
    backing_path: str | None = None,
    backing_format: str | None = None,
    *,
    allocated_bytes: int = 0,
) -> Element:
    """A volume of a dir pool, sparse unless told otherwise; qcow2 always of version 3 (compat 1.1)."""
    target = node("target", {}, node("format", {"type": format}))
    if format == "qcow2":
        target.append(node("compat", text="1.1"))
    element = node(
        "volume",
        {},
        node("name", text=name),
        node("capacity", {"unit": "bytes"}, text=str(capacity_bytes)),
        node("allocation", {"unit": "bytes"}, text=str(allocated_bytes)),
        target,
    )
    if backing_path is not None and backing_format is not None:
        backing = node("backingStore", {}, node("path", text=backing_path), node("format", {"type": backing_format}))
        element.append(backing)
    return element
