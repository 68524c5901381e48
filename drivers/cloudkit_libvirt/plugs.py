"""Where volumes are plugged in: what the records say, held against the domains."""

from __future__ import annotations

from datetime import datetime

from cloudkit.types import Attachment
from cloudkit_libvirt import domain_xml
from cloudkit_libvirt.bodies import Plug, PlugPhase, ServerBody, VolumeBody
from cloudkit_libvirt.context import Context
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.xml_tree import Element


def live_plug(context: Context, view: View, volume: Record[VolumeBody]) -> Plug | None:
    """Where a volume is plugged in now: nowhere, once the server is gone or its guest let go of the disk."""
    plug = volume.body.plug
    if plug is None or view.find(ServerBody, plug.server_id) is None:
        return None
    if plug.phase is PlugPhase.DETACHING:
        domain = context.domains.find(plug.server_id)
        if domain is None or find_disk(context.domains.tree(domain), volume.id) is None:
            return None
    return plug


def find_disk(tree: Element, volume_id: str) -> Element | None:
    """A volume's disk in a domain, by its alias."""
    for disk in tree.findall("devices/disk"):
        alias = disk.find("alias")
        if alias is not None and alias.get("name") == domain_xml.alias_of(volume_id):
            return disk
    return None


def attachment_of(volume_id: str, plug: Plug) -> Attachment:
    """The value of a plugged volume; one volume has one place, so that its id serves as the attachment's."""
    return Attachment(
        id=volume_id,
        volume_id=volume_id,
        server_id=plug.server_id,
        device_hint=f"/dev/{plug.device}" if plug.device else "",
        serial=domain_xml.serial_of(volume_id),
        attached_at=datetime.fromisoformat(plug.since),
    )
