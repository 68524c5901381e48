"""Subnets: each is a network of libvirt's, with its bridge and DHCP server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import libvirt

from cloudkit.errors import Conflict, InUse, InvalidRequest, Unsupported
from cloudkit.types import Subnet, SubnetSpec
from cloudkit_libvirt import addresses, network_xml
from cloudkit_libvirt.bodies import Forward, NetworkBody, PortBody, SubnetBody, common_of
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.errors import code_of
from cloudkit_libvirt.host_routes import local_routes
from cloudkit_libvirt.records import Record, View, not_found
from cloudkit_libvirt.undo import undoing
from cloudkit_libvirt.xml_tree import parse, to_text


class Subnets(RecordCollection[SubnetBody, Subnet]):
    """Subnets that are there."""

    body_type = SubnetBody

    def value(self, record: Record[SubnetBody]) -> Subnet:
        """The value of a record."""
        body = record.body
        return Subnet(
            **self._fields(record),
            network_id=body.network_id,
            cidr=body.cidr,
            ip_version=4,
            gateway_ip=body.gateway_ip,
            dns=body.dns,
            dhcp=body.dhcp,
            allocation_pools=body.pools,
        )


class BridgedSubnets(Subnets):
    """IPv4 subnets, one a network, each with its bridge and DHCP server."""

    def create(self, spec: SubnetSpec) -> Subnet:
        """Make one, and with it the network in libvirt; raises Conflict for addresses that are in use."""
        view = self._context.records.view()
        network: Record[NetworkBody] = self._ready(view, NetworkBody, spec.network_id)
        if network.body.project_id != self._project_id:
            # It is shown to be used, and not to be changed.
            raise not_found(NetworkBody, spec.network_id)
        body = self._body(spec, network.body)
        record = self._context.records.create(str(uuid.uuid4()), body)
        with undoing(lambda: self._remove(record.id, body)):
            # Looked at after the record is written: of two clients at the same time, one at least sees the other.
            view = self._context.records.view()
            self._ready(view, NetworkBody, spec.network_id)
            self._refuse_overlap(view, record)
            if not self._context.records.claim(_claim(body), record.id):
                raise Unsupported(
                    f"the network {network.body.name!r} has a subnet; libvirt networks take one each here",
                    driver="libvirt",
                    resource=spec.network_id,
                    hint="Make another network for another subnet.",
                )
            self._define(body, network.body.mtu)
            record = self.finish(record, body)
            self._context.reconcile()
            return self.value(record)

    def delete(self, id: str) -> None:
        """Delete one and the network in libvirt; raises InUse while ports have its addresses."""

        def refuse_used(view: View) -> None:
            if any(port.body.subnet_id == id for port in view.all(PortBody)):
                raise InUse("ports have addresses of the subnet", driver="libvirt", resource=id)

        self._remove(id, self._begin_delete(id, refuse_used).body)
        self._context.reconcile()

    # -- making

    def _body(self, spec: SubnetSpec, network: NetworkBody) -> SubnetBody:
        if spec.ip_version != 4:
            raise Unsupported("IPv6 subnets are not offered", driver="libvirt", resource=spec.name)
        cidr = addresses.parse_cidr(spec.cidr)
        gateway: IPv4Address | None = None
        if spec.gateway_ip == "auto":
            gateway = cidr.network_address + 1
        elif spec.gateway_ip is not None:
            gateway = addresses.parse_address(spec.gateway_ip, cidr, "gateway")
        # Without a gateway the host still needs an address to answer DHCP from.
        bridge = gateway or cidr.network_address + 1
        for server in spec.dns:
            _check_dns(server)
        if spec.allocation_pools:
            pools = addresses.check_pools(spec.allocation_pools, cidr, bridge)
        else:
            pools = addresses.default_pools(cidr, bridge)
        return SubnetBody(
            **common_of(spec, self._project_id),
            network_id=spec.network_id,
            cidr=str(cidr),
            bridge_ip=str(bridge),
            gateway_ip=str(gateway) if gateway else None,
            pools=pools,
            dns=spec.dns,
            dhcp=spec.dhcp and not network.external,
            forward=self._forward(network),
            shared=network.public,
        )

    def _forward(self, network: NetworkBody) -> Forward:
        if network.external:
            return Forward.EXTERNAL
        return Forward.NAT if self._context.hostnet is None else Forward.OPEN

    def _refuse_overlap(self, view: View, record: Record[SubnetBody]) -> None:
        cidr = IPv4Network(record.body.cidr)
        for user, taken in self._taken(view, record):
            if cidr.overlaps(taken):
                raise Conflict(
                    f"{cidr} overlaps {taken} of {user}",
                    driver="libvirt",
                    hint="All networks of a libvirt host share its routes: choose another CIDR.",
                )

    def _taken(self, view: View, record: Record[SubnetBody]) -> Iterator[tuple[str, IPv4Network]]:
        for other in view.all(SubnetBody):
            if other.id != record.id:
                yield f"the subnet {other.body.name or other.id!r}", IPv4Network(other.body.cidr)
        for network in self._context.connection.virt.listAllNetworks():
            for ip in parse(network.XMLDesc()).iter("ip"):
                if ip.get("address") and ip.get("family", "ipv4") == "ipv4":
                    mask = ip.get("netmask") or ip.get("prefix")
                    yield f"libvirt's network {network.name()!r}", IPv4Network(f"{ip.get('address')}/{mask}", False)
        if self._context.connection.host is None and not self._context.simulated:
            for interface, route in local_routes():
                yield f"the host's interface {interface}", route

    def _define(self, body: SubnetBody, mtu: int | None) -> None:
        xml = to_text(network_xml.network(body, mtu))
        network = self._context.connection.virt.networkDefineXML(xml)
        network.setAutostart(True)
        network.create()

    def _remove(self, id: str, body: SubnetBody) -> None:
        # A subnet that lost the claim on its network must not take down the winner's.
        if self._context.records.holds(_claim(body), id):
            self._undefine(body.network_id)
        self._context.records.release(_claim(body), id)
        self._context.records.remove(SubnetBody, id)

    def _undefine(self, network_id: str) -> None:
        try:
            network = self._context.connection.virt.networkLookupByName(network_xml.libvirt_name(network_id))
        except libvirt.libvirtError as error:
            if code_of(error) == libvirt.VIR_ERR_NO_NETWORK:
                return
            raise
        if network.isActive():
            network.destroy()
        network.undefine()


def _check_dns(server: str) -> None:
    try:
        IPv4Address(server)
    except ValueError:
        raise InvalidRequest(f"the DNS server {server!r} is no IPv4 address", driver="libvirt") from None


def _claim(body: SubnetBody) -> str:
    return f"subnet/{body.network_id}"
