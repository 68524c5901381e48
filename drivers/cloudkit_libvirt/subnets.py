"""Subnets: those of one network are one in libvirt, with its bridge and DHCP server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Any

import libvirt

from cloudkit.errors import Conflict, InUse, Unsupported
from cloudkit.types import Subnet, SubnetSpec
from cloudkit_libvirt import addresses, network_xml
from cloudkit_libvirt.bodies import Forward, NetworkBody, Phase, PortBody, SubnetBody, common_of
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.errors import code_of
from cloudkit_libvirt.host_routes import local_routes
from cloudkit_libvirt.network_start import restart
from cloudkit_libvirt.ports import Ports
from cloudkit_libvirt.records import Record, View, not_found
from cloudkit_libvirt.routing_bodies import ROUTER_OWNER
from cloudkit_libvirt.undo import undoing
from cloudkit_libvirt.xml_tree import parse, to_text

SLAAC = "slaac"


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
            ip_version=body.version,
            gateway_ip=body.gateway_ip,
            dns=body.dns,
            dhcp=body.dhcp,
            allocation_pools=body.pools,
            ipv6_mode=body.ipv6_mode,
            host_routes=body.host_routes,
        )


class BridgedSubnets(Subnets):
    """IPv4 subnets, and one of IPv6 a network, with a bridge and DHCP server for all of a network."""

    def create(self, spec: SubnetSpec) -> Subnet:
        """Make one, and with it the network in libvirt; raises Conflict for addresses that are in use."""
        view = self._context.records.view()
        network: Record[NetworkBody] = self._ready(view, NetworkBody, spec.network_id)
        if network.body.project_id != self._project_id:
            # It is shown to be used, and not to be changed.
            raise not_found(NetworkBody, spec.network_id)
        others = [record.body for record in subnets_of(view, spec.network_id)]
        body = self._body(spec, network.body, others)
        record = self._context.records.create(str(uuid.uuid4()), body)
        with undoing(lambda: self._remove(record.id, body)):
            # Looked at after the record is written: of two clients at the same time, one at least sees the other.
            view = self._context.records.view()
            self._ready(view, NetworkBody, spec.network_id)
            self._refuse_overlap(view, record)
            self._refuse_second_ipv6(view, record)
            if others:
                self._refuse_interruption(view, spec.network_id)
            self._define(spec.network_id)
            record = self.finish(record, body)
            self._ports.give_automatic(record)
            self._context.reconcile()
            return self.value(record)

    def delete(self, id: str) -> None:
        """Delete one, and the network in libvirt with the last one; raises InUse while ports have its addresses."""

        def refuse_used(view: View) -> None:
            subnet = view.get(SubnetBody, id).body
            for port in view.all(PortBody):
                # An address that a guest made itself is no use of the subnet, as with Neutron; a router's is.
                automatic = subnet.version == 6 and port.body.device_owner != ROUTER_OWNER
                if id in port.body.subnet_ids and not automatic:
                    raise InUse("ports have addresses of the subnet", driver="libvirt", resource=id)
            if len(subnets_of(view, subnet.network_id)) > 1:
                self._refuse_interruption(view, subnet.network_id)

        record = self._begin_delete(id, refuse_used)
        self._remove(id, record.body)
        self._context.reconcile()

    # -- making

    @property
    def _ports(self) -> Ports:
        return Ports(self._context, self._project_id)

    def _body(self, spec: SubnetSpec, network: NetworkBody, others: Sequence[SubnetBody]) -> SubnetBody:
        addresses_of = self._addresses4 if spec.ip_version == 4 else self._addresses6
        return SubnetBody(
            **common_of(spec, self._project_id),
            **addresses_of(spec, network),
            network_id=spec.network_id,
            dns=spec.dns,
            dhcp=spec.dhcp and not network.external,
            forward=self._forward(network),
            shared=network.public,
            host_routes=spec.host_routes,
            mac_offset=addresses.mac_offset(others),
        )

    @staticmethod
    def _addresses4(spec: SubnetSpec, network: NetworkBody) -> dict[str, Any]:  # noqa: ARG004
        cidr = addresses.parse_cidr(spec.cidr)
        gateway: IPv4Address | None = None
        if spec.gateway_ip == "auto":
            gateway = cidr.network_address + 1
        elif spec.gateway_ip is not None:
            gateway = addresses.parse_address(spec.gateway_ip, cidr, "gateway")
        # Without a gateway the host still needs an address to answer DHCP from.
        bridge = gateway or cidr.network_address + 1
        if spec.allocation_pools:
            pools = addresses.check_pools(spec.allocation_pools, cidr, bridge)
        else:
            pools = addresses.default_pools(cidr, bridge)
        return {
            "cidr": str(cidr),
            "bridge_ip": str(bridge),
            "gateway_ip": None if gateway is None else str(gateway),
            "pools": pools,
        }

    @staticmethod
    def _addresses6(spec: SubnetSpec, network: NetworkBody) -> dict[str, Any]:
        cidr = addresses.parse_cidr6(spec.cidr)
        if network.external or spec.ipv6_mode != SLAAC or spec.host_routes or spec.allocation_pools:
            raise Unsupported(
                "of IPv6, subnets whose guests make their addresses are offered (ipv6_mode='slaac'), "
                "without host_routes and allocation_pools, on networks that are not external",
                driver="libvirt",
                resource=spec.name,
            )
        first = cidr.network_address + 1
        gateway = first if spec.gateway_ip == "auto" else None
        if gateway is None and spec.gateway_ip is not None:
            gateway = addresses.parse_address(spec.gateway_ip, cidr, "gateway")
        last = cidr.network_address + cidr.num_addresses - 1
        return {
            "cidr": str(cidr),
            "bridge_ip": str(gateway or first),
            "gateway_ip": None if gateway is None else str(gateway),
            "pools": addresses.around(first, last, gateway or first),
            "ipv6_mode": SLAAC,
        }

    def _forward(self, network: NetworkBody) -> Forward:
        if network.external:
            return Forward.EXTERNAL
        return Forward.NAT if self._context.hostnet is None else Forward.OPEN

    def _refuse_second_ipv6(self, view: View, record: Record[SubnetBody]) -> None:
        if record.body.version == 6:
            for other in subnets_of(view, record.body.network_id):
                if other.id != record.id and other.body.version == 6:
                    raise Unsupported(
                        f"the network has the IPv6 subnet {other.body.cidr}; networks of libvirt take one here",
                        driver="libvirt",
                        resource=record.body.network_id,
                        hint="Make another network for another subnet.",
                    )

    def _refuse_interruption(self, view: View, network_id: str) -> None:
        """Libvirt changes a network's subnets with a new bridge; only our own care plugs servers in again."""
        if self._context.hostnet is None and any(
            port.body.network_id == network_id and port.body.device_id for port in view.all(PortBody)
        ):
            raise InUse(
                "servers are on the network, and would lose it when its subnets change",
                driver="libvirt",
                resource=network_id,
                hint="Give a network all its subnets before its servers; or let cloudkit run as root on the host.",
            )

    def _refuse_overlap(self, view: View, record: Record[SubnetBody]) -> None:
        cidr = ip_network(record.body.cidr)
        for user, taken in self._taken(view, record):
            if cidr.version == taken.version and cidr.overlaps(taken):
                raise Conflict(
                    f"{cidr} overlaps {taken} of {user}",
                    driver="libvirt",
                    hint="All networks of a libvirt host share its routes: choose another CIDR.",
                )

    def _taken(self, view: View, record: Record[SubnetBody]) -> Iterator[tuple[str, IPv4Network | IPv6Network]]:
        for other in view.all(SubnetBody):
            if other.id != record.id:
                yield f"the subnet {other.body.name or other.id!r}", ip_network(other.body.cidr)
        own = network_xml.libvirt_name(record.body.network_id)
        for network in self._context.connection.virt.listAllNetworks():
            # What is there of its own network are its other subnets, or what a client left that died.
            if network.name() == own:
                continue
            for ip in parse(network.XMLDesc()).iter("ip"):
                if ip.get("address"):
                    mask = ip.get("netmask") or ip.get("prefix")
                    yield f"libvirt's network {network.name()!r}", ip_network(f"{ip.get('address')}/{mask}", False)
        if self._context.connection.host is None and not self._context.simulated:
            bridge = network_xml.bridge_name(record.body.network_id)
            for interface, route in local_routes():
                if interface != bridge:
                    yield f"the host's interface {interface}", route

    # -- libvirt's network: written whole from the records, again where they have changed meanwhile

    def _define(self, network_id: str, without: str | None = None) -> None:
        wanted = self._wanted(network_id, without)
        while True:
            if wanted is None:
                self._undefine(network_id)
            else:
                self._restart(wanted)
            latest = self._wanted(network_id, without)
            if latest == wanted:
                return
            wanted = latest

    def _wanted(self, network_id: str, without: str | None) -> str | None:
        view = self._context.records.view()
        subnets = [record.body for record in subnets_of(view, network_id) if record.id != without]
        network = view.find(NetworkBody, network_id)
        if not subnets or network is None:
            return None
        ports = [port.body for port in view.all(PortBody) if port.body.network_id == network_id]
        # What is only tried for may be another's.
        ports.sort(key=lambda port: port.phase is not Phase.CREATING)
        reserved = {port.ip: port.mac for port in ports if port.own_lease and port.ip is not None}
        return to_text(network_xml.network(subnets, network.body.mtu, reserved))

    def _restart(self, xml: str) -> None:
        network = self._context.connection.virt.networkDefineXML(xml)
        network.setAutostart(True)
        restart(network)

    def _remove(self, id: str, body: SubnetBody) -> None:
        self._define(body.network_id, without=id)
        if body.version == 6:
            self._ports.take_automatic(id)
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


def subnets_of(view: View, network_id: str) -> list[Record[SubnetBody]]:
    """The subnets of a network that stay, oldest first."""
    found = (record for record in view.all(SubnetBody) if record.body.network_id == network_id)
    return [record for record in found if record.body.phase is not Phase.DELETING]
