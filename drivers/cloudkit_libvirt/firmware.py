"""BIOS or UEFI: what an image asks for (Glance's property ``hw_firmware_type``), and whether the host has it."""

from __future__ import annotations

from cloudkit.errors import InvalidRequest, Unsupported
from cloudkit_libvirt.bodies import ImageBody
from cloudkit_libvirt.context import Context
from cloudkit_libvirt.domain_xml import machine_of
from cloudkit_libvirt.xml_tree import Element, parse

PROPERTY = "hw_firmware_type"
BIOS, UEFI = "bios", "uefi"


def wanted_by(image: ImageBody) -> str:
    """The firmware that an image needs; raises InvalidRequest for another word."""
    word = image.metadata.get(PROPERTY, BIOS)
    if word not in (BIOS, UEFI):
        raise InvalidRequest(
            f"the image {image.name!r} has {PROPERTY}={word!r}, and there is only {BIOS} and {UEFI}",
            driver="libvirt",
            hint="Update its metadata.",
        )
    return str(word)


def require(context: Context, firmware: str) -> None:
    """Raise Unsupported where the host lacks it."""
    if firmware == BIOS or context.simulated:
        return
    virt, machine = context.connection.virt, machine_of(context.arch)
    tree = parse(virt.getDomainCapabilities(None, context.arch, machine, context.domain_type))
    offered = [value.text for value in tree.findall("os/enum[@name='firmware']/value")]
    if "efi" not in offered:
        raise Unsupported(
            "the image boots by UEFI, and the libvirt host has no such firmware",
            driver="libvirt",
            hint="Install it there: the package ovmf (Debian, Ubuntu) or edk2-ovmf (Fedora).",
        )


def of(domain: Element) -> str:
    """The firmware that a domain has."""
    return UEFI if domain.find("os[@firmware='efi']") is not None else BIOS


def require_same(image: ImageBody, domain: Element) -> None:
    """Raise InvalidRequest where an image needs another firmware than a server has."""
    has, wanted = of(domain), wanted_by(image)
    if wanted != has:
        raise InvalidRequest(
            f"the image {image.name!r} boots by {wanted}, and the server by {has}",
            driver="libvirt",
            hint="Make a new server from it.",
        )
