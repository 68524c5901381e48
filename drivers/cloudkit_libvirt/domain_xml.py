"""The XML of domains."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree as ET

from cloudkit_libvirt.xml_tree import Element, node

METADATA = "urn:cloudkit:server:1"
ET.register_namespace("cloudkit", METADATA)

_CPU_MODES = {"kvm": "host-passthrough", "qemu": "maximum"}
"""QEMU's own default lacks what distributions demand by now (x86-64-v2); emulating all that it can is no slower."""

ROOT_DEVICE = "vda"
"""What libvirt calls the disk that a server boots from."""

SERIAL_LENGTH = 20
"""virtio-blk cuts the serial number here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """A network interface; without a network of libvirt's it is on QEMU's user network.

    Attributes:
        switch: the bridge of Open vSwitch that it is on, instead of a network.
        finished: the guest is to send packets with checksums, and no larger than the MTU.
    """

    mac: str
    network: str | None
    mtu: int | None = None
    tap: str | None = None
    switch: str | None = None
    finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainSpec:
    """What a server's domain is made of; paths are on libvirt's host, ``root`` is the disk that it boots from."""

    id: str
    project_id: str
    title: str
    type: str
    arch: str
    vcpus: int
    ram_mib: int
    root: Element
    seed_path: str
    console_path: str
    nics: tuple[Nic, ...]
    uefi: bool = False


def libvirt_name(server_id: str) -> str:
    """The name of a server's domain."""
    return f"ck-{server_id}"


def alias_of(volume_id: str) -> str:
    """The alias by which a volume's disk is found again; libvirt keeps aliases that start so."""
    return f"ua-{volume_id}"


def serial_of(volume_id: str) -> str:
    """The serial number that the guest sees."""
    return volume_id[:SERIAL_LENGTH]


def machine_of(arch: str) -> str | None:
    """The kind of machine, or None for libvirt's default."""
    # The older machine boots faster under emulation, and takes hot-plugged disks without prepared ports.
    return "pc" if arch in ("x86_64", "i686") else None


def domain(spec: DomainSpec) -> Element:
    """The whole domain."""
    os_type = node("type", {"arch": spec.arch}, text="hvm")
    features = node("features", {}, node("acpi"))
    if machine := machine_of(spec.arch):
        os_type.set("machine", machine)
        features.append(node("apic"))
    element = node(
        "domain",
        {"type": spec.type},
        node("name", text=libvirt_name(spec.id)),
        node("uuid", text=spec.id),
        node("title", text=spec.title.replace("\n", " ")),
        node("metadata", {}, node(f"{{{METADATA}}}server", {"id": spec.id, "project": spec.project_id})),
        node("memory", {"unit": "MiB"}, text=str(spec.ram_mib)),
        node("vcpu", text=str(spec.vcpus)),
        _firmware(spec.uefi, os_type),
        features,
        node("clock", {"offset": "utc"}),
        node("on_poweroff", text="destroy"),
        node("on_reboot", text="restart"),
        node("on_crash", text="destroy"),
        _devices(spec),
    )
    if mode := _CPU_MODES.get(spec.type):
        element.append(node("cpu", {"mode": mode}))
    return element


def _firmware(uefi: bool, os_type: Element) -> Element:
    """BIOS; or UEFI, without the keys that let only signed systems boot; libvirt knows where the host has it."""
    boot = node("boot", {"dev": "hd"})
    if not uefi:
        return node("os", {}, os_type, boot)
    unsigned = node("firmware", {}, node("feature", {"enabled": "no", "name": "secure-boot"}))
    return node("os", {"firmware": "efi"}, os_type, unsigned, boot)


def _devices(spec: DomainSpec) -> Element:
    return node(
        "devices",
        {},
        spec.root,
        # On virtio-scsi, as small cloud kernels have no driver for SATA.
        node("controller", {"type": "scsi", "index": "0", "model": "virtio-scsi"}),
        node(
            "disk",
            {"type": "file", "device": "cdrom"},
            node("driver", {"name": "qemu", "type": "raw"}),
            node("source", {"file": spec.seed_path}),
            node("backingStore"),
            node("target", {"dev": "sda", "bus": "scsi"}),
            node("readonly"),
        ),
        node("controller", {"type": "usb", "model": "none"}),
        *(interface(nic) for nic in spec.nics),
        node(
            "serial",
            {"type": "pty"},
            node("log", {"file": spec.console_path, "append": "off"}),
            node("target", {"port": "0"}),
        ),
        node("channel", {"type": "unix"}, node("target", {"type": "virtio", "name": "org.qemu.guest_agent.0"})),
        node("rng", {"model": "virtio"}, node("backend", {"model": "random"}, text="/dev/urandom")),
        # Has the guest tell what memory it uses.
        node("memballoon", {"model": "virtio"}, node("stats", {"period": "5"})),
    )


def image_backing(path: str, format: str) -> Element:
    """What lies under an overlay; nothing is believed to lie under that, whatever the file's header says."""
    return node(
        "backingStore",
        {"type": "file"},
        node("format", {"type": format}),
        node("source", {"file": path}),
        node("backingStore"),
    )


def overlay_disk(path: str, backing: Element) -> Element:
    """The disk that a server boots from: an overlay."""
    return node(
        "disk",
        {"type": "file", "device": "disk"},
        node("driver", {"name": "qemu", "type": "qcow2", "discard": "unmap"}),
        node("source", {"file": path}),
        backing,
        node("target", {"dev": ROOT_DEVICE, "bus": "virtio"}),
    )


_FINISHED = {
    "host": {"csum": "off", "gso": "off", "tso4": "off", "tso6": "off", "ecn": "off", "ufo": "off"},
    "guest": {"csum": "off", "tso4": "off", "tso6": "off", "ecn": "off", "ufo": "off"},
}


def interface(nic: Nic) -> Element:
    kind = "bridge" if nic.switch else "network" if nic.network else "user"
    element = node("interface", {"type": kind}, node("mac", {"address": nic.mac}))
    if nic.switch:
        element.append(node("source", {"bridge": nic.switch}))
        element.append(node("virtualport", {"type": "openvswitch"}))
    elif nic.network:
        element.append(node("source", {"network": nic.network}))
    if nic.finished:
        sides = (node(side, values) for side, values in _FINISHED.items())
        element.append(node("driver", {"name": "qemu"}, *sides))
    element.append(node("model", {"type": "virtio"}))
    # No boot from the network: its ROM only delays the boot.
    element.append(node("rom", {"enabled": "no"}))
    if nic.tap is not None:
        element.append(node("target", {"dev": nic.tap}))
    if nic.mtu is not None:
        element.append(node("mtu", {"size": str(nic.mtu)}))
    return element


def volume_disk(volume_id: str, path: str, device: str) -> Element:
    """A volume to plug in; the empty backingStore keeps libvirt and QEMU from believing the file's header."""
    return node(
        "disk",
        {"type": "file", "device": "disk"},
        node("driver", {"name": "qemu", "type": "qcow2", "discard": "unmap"}),
        node("source", {"file": path}),
        node("backingStore"),
        node("target", {"dev": device, "bus": "virtio"}),
        node("serial", text=serial_of(volume_id)),
        node("alias", {"name": alias_of(volume_id)}),
    )


def backup(disk: str, other_disks: list[str], target_path: str) -> Element:
    """A push backup of one disk, flat, to a new qcow2 file."""
    wanted = node(
        "disk",
        {"name": disk, "backup": "yes", "type": "file"},
        node("driver", {"type": "qcow2"}),
        node("target", {"file": target_path}),
    )
    others = (node("disk", {"name": name, "backup": "no"}) for name in other_disks)
    return node("domainbackup", {"mode": "push"}, node("disks", {}, wanted, *others))
