"""What a careful script that uses libvirt-python by hand needs for a server like one of cloudkit's."""

from __future__ import annotations

import uuid
from pathlib import Path

from cloudkit_libvirt import seed

HostKey = seed.HostKey

_DOMAIN = """
<domain type="qemu">
  <name>{name}</name>
  <memory unit="MiB">{ram_mib}</memory>
  <vcpu>1</vcpu>
  <os><type arch="x86_64" machine="pc">hvm</type><boot dev="hd"/></os>
  <features><acpi/><apic/></features>
  <cpu mode="maximum"/>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2"/><source file="{disk}"/><target dev="vda" bus="virtio"/>
    </disk>
    <controller type="scsi" model="virtio-scsi"/>
    <disk type="file" device="cdrom">
      <driver name="qemu" type="raw"/><source file="{seed}"/><target dev="sda" bus="scsi"/><readonly/>
    </disk>
    <controller type="usb" model="none"/>
    <interface type="network">
      <mac address="{mac}"/><source network="bare"/><model type="virtio"/><rom enabled="no"/>
    </interface>
    <serial type="pty"><log file="{console}"/></serial>
    <channel type="unix"><target type="virtio" name="org.qemu.guest_agent.0"/></channel>
    <rng model="virtio"><backend model="random">/dev/urandom</backend></rng>
    <memballoon model="virtio"/>
  </devices>
</domain>
"""
_NETWORK = """
<network>
  <name>bare</name>
  <forward mode="nat"/>
  <bridge name="bare0" stp="off" delay="0"/>
  <ip address="172.16.9.1" netmask="255.255.255.0"><dhcp>{hosts}</dhcp></ip>
</network>
"""


def address(index: int) -> tuple[str, str]:
    """IP and MAC of a server by its number, from 0."""
    return f"172.16.9.{index + 2}", f"52:54:00:00:09:{index + 2:02x}"


def network_xml(servers: int) -> str:
    """The network ``bare``, with the addresses of so many servers reserved."""
    reserved = (address(index) for index in range(servers))
    return _NETWORK.format(hosts="".join(f"<host mac='{mac}' ip='{ip}'/>" for ip, mac in reserved))


def domain_xml(name: str, index: int, ram_mib: int, disk: Path, iso: Path, console: Path) -> str:
    """A domain like one of cloudkit's."""
    _, mac = address(index)
    return _DOMAIN.format(name=name, ram_mib=ram_mib, mac=mac, disk=disk, seed=iso, console=console)


def seed_iso(name: str, public_key: str, host_key: HostKey) -> bytes:
    """A seed disk as the driver makes it."""
    instance = seed.Instance(
        id=str(uuid.uuid4()), name=name, hostname=name, project_id="bare", zone="nova", public_keys={"me": public_key}
    )
    return seed.build(instance, host_key).data
