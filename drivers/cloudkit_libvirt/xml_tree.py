"""Building and reading libvirt's XML; nothing here or elsewhere makes XML by formatting strings."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as ET

Element = ET.Element


def node(
    tag: str, attributes: Mapping[str, str] | None = None, *children: Element, text: str | None = None
) -> Element:
    """An element with its attributes, children and text."""
    element = ET.Element(tag, dict(attributes or {}))
    element.extend(children)
    element.text = text
    return element


def to_text(element: Element) -> str:
    """The XML that libvirt takes."""
    return ET.tostring(element, encoding="unicode")


def parse(text: str) -> Element:
    """XML that libvirt gave; the daemon is trusted, what a guest or user wrote never gets here unescaped."""
    return ET.fromstring(text)  # noqa: S314
