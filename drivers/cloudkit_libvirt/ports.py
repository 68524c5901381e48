"""Ports: an address and a MAC, exclusively taken before any guest boots with them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import libvirt

from cloudkit._slaac import slaac_address
from cloudkit._subports import SUBPORT_OWNER
from cloudkit.errors import AlreadyExists, Busy, Conflict, InUse, InvalidRequest, NotFound
from cloudkit.types import FixedIp, NetworkStatus, Nic, Port, PortSpec
from cloudkit_libvirt import addresses, network_xml
from cloudkit_libvirt.bodies import NetworkBody, Phase, PortBody, SubnetBody, common_of, now_text
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.default_groups import default_group_id
from cloudkit_libvirt.errors import code_of
from cloudkit_libvirt.external_addresses import free_floating_ips
from cloudkit_libvirt.network_status import STATUS
from cloudkit_libvirt.records import Record, View
from cloudkit_libvirt.routing_bodies import ROUTER_OWNER, RouterBody, SecurityGroupBody
from cloudkit_libvirt.undo import undoing
from cloudkit_libvirt.xml_tree import parse, to_text

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_ADD = libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST
_DELETE = libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE
_BIND_TRIES = 64


@dataclass(frozen=True, slots=True)
class Wish:
    """Which address a port should get; None leaves it to the network, or to the subnet.

    Attributes:
        ipv4: whether it gets an IPv4 address at all; one of IPv6 it has wherever guests make their own.
    """

    ip: str | None = None
    mac: str | None = None
    subnet_id: str | None = None
    ipv4: bool = True


class Ports(RecordCollection[PortBody, Port]):
    """Plugs on networks, as servers need them."""

    body_type = PortBody

    def check(self, nics: Sequence[Nic]) -> None:
        """Refuse interfaces that cannot be had, before anything is made; bridges take all."""

    def make(self, view: View, id: str, body: PortBody, wish: Wish) -> Record[PortBody]:
        """Write the record, take the address, register it where libvirt does not know it yet."""
        try:
            return self._make(id, self._choose(view, id, body, wish, set()), wish)
        finally:
            self._context.promised.end(id)

    def _make(self, id: str, body: PortBody, wish: Wish) -> Record[PortBody]:
        record = self._context.records.create(id, body)
        with undoing(lambda: self.remove(id)):
            record = self._take(record, wish)
            try:
                return self.finish(record, record.body, quiet=True)
            except Busy:
                # Given an address of a subnet that was made at the same time; see ``give_automatic``.
                return self._context.records.change(PortBody, id, lambda body: replace(body, phase=Phase.READY))

    def give_automatic(self, subnet: Record[SubnetBody]) -> None:
        """Note the addresses that guests make themselves of a new subnet; of IPv4 there are none."""
        if subnet.body.version == 4:
            return
        for port in self._context.records.view().all(PortBody):
            body = port.body
            if body.network_id == subnet.body.network_id and body.device_owner != ROUTER_OWNER and body.ip6 is None:
                ip = slaac_address(IPv6Network(subnet.body.cidr), body.mac)
                self._set_ipv6(port.id, ip, subnet.id)
                if not self._context.records.claim(addresses.address_claim(body.network_id, ip), port.id):
                    raise Conflict(f"the address {ip} is taken", driver="libvirt")

    def take_automatic(self, subnet_id: str) -> None:
        """Forget the addresses that guests made of a subnet that goes."""
        for port in self._context.records.view().all(PortBody):
            if port.body.subnet6_id == subnet_id and port.body.ip6 is not None:
                claim = addresses.address_claim(port.body.network_id, port.body.ip6)
                self._context.records.release(claim, port.id)
                self._set_ipv6(port.id, None, None)

    def _set_ipv6(self, id: str, ip: str | None, subnet_id: str | None) -> None:
        with suppress(NotFound):
            self._context.records.change(PortBody, id, lambda body: replace(body, ip6=ip, subnet6_id=subnet_id))

    def remove(self, id: str, view: View | None = None) -> None:
        """Undo all of a port, from whatever state it is in.

        Args:
            view: a look that was taken after the port, or its server, was marked.
        """
        view = view or self._context.records.view()
        record = view.find(PortBody, id)
        if record is not None:
            free_floating_ips(self._context.records, view, id)
            if record.body.own_lease:
                self._unregister(view, record.body)
            for claim in _claims(record.body):
                self._context.records.release(claim, id)
        self._context.records.remove(PortBody, id, view)

    def plug(self, id: str, server_id: str) -> Record[PortBody]:
        """Give a port to a server; raises InUse when another has it."""

        def take(body: PortBody) -> PortBody:
            if body.phase is not Phase.READY or body.device_id not in ("", server_id):
                raise InUse(f"the port {body.name or id!r} is in use", driver="libvirt", resource=id)
            return replace(body, device_id=server_id, updated_at=now_text())

        return self._context.records.change(PortBody, id, take)

    def unplug(self, view: View, id: str, server_id: str) -> None:
        """Take a port from a server: one that was made for it goes, another one stays and is free."""
        record = view.find(PortBody, id)
        if record is None or record.body.device_id != server_id:
            return
        if record.body.owned:
            self.remove(id, view)
            return
        self._context.records.change(
            PortBody,
            id,
            lambda body: replace(body, device_id="", updated_at=now_text()) if body.device_id == server_id else body,
        )

    def make_interface(self, router: Record[RouterBody], subnet: Record[SubnetBody]) -> None:
        """A router's plug, at the subnet's gateway address; raises Conflict when another router has it."""
        gateway_ip = subnet.body.gateway_ip
        at_gateway: dict[str, Any]
        if subnet.body.version == 4:
            mac = addresses.mac_of(subnet.body, subnet.body.bridge_ip)
            at_gateway = {"subnet_id": subnet.id, "ip": gateway_ip, "mac": mac}
        else:
            at_gateway = {
                "subnet_id": None, "ip": None, "subnet6_id": subnet.id, "ip6": gateway_ip, "mac": random_mac(),
            }  # fmt: skip
        body = PortBody(
            phase=Phase.READY,
            project_id=self._project_id,
            name="",
            created_at=now_text(),
            request=router.body.request,
            scope=router.body.scope,
            network_id=subnet.body.network_id,
            **at_gateway,
            device_id=router.id,
            device_owner=ROUTER_OWNER,
        )
        id = str(uuid.uuid4())
        with undoing(lambda: self.remove(id)):
            self._context.records.create(id, body)
            if not all(self._context.records.claim(claim, id) for claim in _claims(body)):
                raise Conflict(
                    f"the gateway address {gateway_ip} is taken: the subnet has a router",
                    driver="libvirt",
                    resource=subnet.id,
                )
            # A delete of either at the same time sees this port, or this sees the delete.
            view = self._context.records.view()
            self._ready(view, SubnetBody, subnet.id)
            self._ready(view, RouterBody, router.id)

    def group_ids(self, view: View, ids: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The groups of a new port: those asked for, the project's default, or None where nothing filters."""
        if self._context.hostnet is None:
            return None
        default_id = default_group_id(self._context.cloud_id, self._project_id)
        if ids is None:
            return (default_id,)
        for id in ids:
            if id != default_id:
                self._ready(view, SecurityGroupBody, id)
        return ids

    # -- addresses

    def _choose(self, view: View, id: str, body: PortBody, wish: Wish, tried: set[str]) -> PortBody:
        """A body with addresses and a MAC that nobody has, or had a moment ago."""
        chosen = self._choose_ipv4(view, id, body, wish, tried)
        six = ipv6_subnet(view, body.network_id)
        if six is None:
            return replace(chosen, ip6=None, subnet6_id=None)
        ip6 = slaac_address(IPv6Network(six.body.cidr), chosen.mac)
        return replace(chosen, ip6=ip6, subnet6_id=six.id)

    def _choose_ipv4(self, view: View, id: str, body: PortBody, wish: Wish, tried: set[str]) -> PortBody:
        subnets = ipv4_subnets(view, body.network_id, wish) if wish.ipv4 else []
        if not subnets:
            return replace(body, mac=wish.mac or random_mac(), own_mac=wish.mac is not None)
        ports = [port.body for port in view.all(PortBody) if port.body.network_id == body.network_id]
        taken = tried | {port.ip for port in ports if port.ip is not None}
        if wish.ip is not None:
            subnet, ip = _wished(subnets, taken, wish.ip)
        else:
            subnet, ip = self._context.promised.choose(
                id, body.network_id, lambda promised: _free(subnets, taken | promised, crowded=bool(tried))
            )
        prepared = {
            address: mac
            for other in ipv4_subnets(view, body.network_id, Wish())
            for address, mac in addresses.prepared(other.body).items()
        }
        mac = wish.mac or addresses.mac_of(subnet.body, ip)
        if any(mac == other_mac and ip != other_ip for other_ip, other_mac in prepared.items()):
            raise AlreadyExists(f"the MAC {mac} belongs to another address of the network", driver="libvirt")
        return replace(
            body,
            subnet_id=subnet.id,
            ip=ip,
            mac=mac,
            own_mac=wish.mac is not None,
            own_lease=subnet.body.dhcp and prepared.get(ip) != mac,
        )

    def _take(self, record: Record[PortBody], wish: Wish) -> Record[PortBody]:
        """Claim what the record names, with other addresses where somebody was faster."""
        records = self._context.records
        tried: set[str] = set()
        while not self._claim_all(record):
            if wish.mac is not None or wish.ip is not None or len(tried) > _BIND_TRIES:
                raise Conflict(
                    f"the address {record.body.ip} or the MAC {record.body.mac} is taken", driver="libvirt"
                )
            tried.add(record.body.ip or record.body.mac)
            body = self._choose(records.view(), record.id, record.body, wish, tried)
            record = records.replace(record, body, quiet=True)
        if record.body.subnet_ids:
            # A delete of the subnet at the same time sees this port's record, or this sees the delete.
            view = records.view()
            for subnet_id in record.body.subnet_ids:
                self._ready(view, SubnetBody, subnet_id)
        if record.body.own_lease:
            self._reserve(record.body, record.body.mac)
        return record

    def _claim_all(self, record: Record[PortBody]) -> bool:
        """Claim all that a port needs, or nothing."""
        claimed: list[str] = []
        for claim in _claims(record.body):
            if not self._context.records.claim(claim, record.id):
                for mine in claimed:
                    self._context.records.release(mine, record.id)
                return False
            claimed.append(claim)
        return True

    def _unregister(self, view: View, body: PortBody) -> None:
        subnet = view.find(SubnetBody, body.subnet_id or "")
        standard = addresses.prepared(subnet.body).get(body.ip or "") if subnet is not None else None
        try:
            self._reserve(body, standard)
        except libvirt.libvirtError as error:
            if code_of(error) != libvirt.VIR_ERR_NO_NETWORK:
                raise

    def _reserve(self, body: PortBody, mac: str | None) -> None:
        """Have libvirt's DHCP server give the port's address to one MAC, or to nobody; done already is fine."""
        assert body.ip is not None
        network = self._context.connection.virt.networkLookupByName(network_xml.libvirt_name(body.network_id))
        flags = libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG
        if network.isActive():
            flags |= libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
        reserved = {host.get("ip"): host.get("mac") for host in parse(network.XMLDesc()).iter("host")}.get(body.ip)
        if reserved == mac:
            return
        for command, owner in (
            (libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, reserved),
            (libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, mac),
        ):
            if owner is not None:
                host = to_text(network_xml.host(owner, body.ip))
                network.update(command, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, 0, host, flags)

    # -- reading

    def value(self, record: Record[PortBody]) -> Port:
        """The value of a record."""
        body = record.body
        status = STATUS[body.phase]
        if status is NetworkStatus.ACTIVE and not body.device_id:
            status = NetworkStatus.DOWN
        return Port(
            **self._fields(record),
            network_id=body.network_id,
            mac=body.mac,
            fixed_ips=tuple(FixedIp(ip=ip, subnet_id=subnet_id) for ip, subnet_id in body.taken),
            status=status,
            native_status=body.phase.value,
            device_id=body.device_id,
            device_owner=body.device_owner or ("compute:libvirt" if body.device_id else ""),
            security_group_ids=body.group_ids or (),
        )


class BridgedPorts(Ports):
    """Ports that are made and deleted by themselves."""

    def create(self, spec: PortSpec) -> Port:
        """Make one; raises Conflict for a taken address."""
        view = self._context.records.view()
        self._ready(view, NetworkBody, spec.network_id)
        wish = self._wish(view, spec)
        body = PortBody(
            **common_of(spec, self._project_id),
            network_id=spec.network_id,
            subnet_id=None,
            mac="",
            ip=None,
            group_ids=self.group_ids(view, spec.security_group_ids),
        )
        return self.value(self.make(view, str(uuid.uuid4()), body, wish))

    def _wish(self, view: View, spec: PortSpec) -> Wish:
        """What a spec asks for: one IPv4 address at most; those of IPv6 are made by guests."""
        wish = Wish(mac=_check_mac(spec.mac), ipv4=not spec.fixed_ips)
        for fixed_ip in spec.fixed_ips:
            if fixed_ip.subnet_id is not None:
                subnet = self._ready(view, SubnetBody, fixed_ip.subnet_id)
                if subnet.body.network_id != spec.network_id:
                    raise InvalidRequest("the subnet belongs to another network", driver="libvirt")
                if subnet.body.version == 6 and fixed_ip.ip is None:
                    continue
            if wish.ipv4:
                raise InvalidRequest("a port gets one IPv4 address here", driver="libvirt")
            wish = replace(wish, ip=fixed_ip.ip, subnet_id=fixed_ip.subnet_id, ipv4=True)
        return wish

    def delete(self, id: str) -> None:
        """Delete one; raises InUse while a server has it."""

        def refuse_used(view: View) -> None:
            body = view.get(PortBody, id).body
            if body.device_id:
                user = {ROUTER_OWNER: "router", SUBPORT_OWNER: "trunk"}.get(body.device_owner, "server")
                raise InUse(f"the port is used by the {user} {body.device_id}", driver="libvirt", resource=id)

        self._begin_delete(id, refuse_used)
        self.remove(id)


def _subnets(view: View, network_id: str, version: int) -> list[Record[SubnetBody]]:
    """The subnets of a network that are ready, oldest first."""
    found = (item for item in view.all(SubnetBody) if item.body.network_id == network_id)
    return [item for item in found if item.body.phase is Phase.READY and item.body.version == version]


def ipv6_subnet(view: View, network_id: str) -> Record[SubnetBody] | None:
    """The subnet of which a network's guests make addresses, if there is one."""
    return next(iter(_subnets(view, network_id, 6)), None)


def ipv4_subnets(view: View, network_id: str, wish: Wish) -> list[Record[SubnetBody]]:
    """Those that can give what is asked for; raises InvalidRequest where none can."""
    subnets = _subnets(view, network_id, 4)
    found = [
        subnet
        for subnet in subnets
        if wish.subnet_id in (None, subnet.id) and (wish.ip is None or _is_in(wish.ip, subnet.body.cidr))
    ]
    if not found and wish.ip is not None:
        six = ipv6_subnet(view, network_id)
        cidrs = ", ".join(subnet.body.cidr for subnet in subnets) or "nothing"
        reason = ""
        if six is not None and _is_in(wish.ip, six.body.cidr):
            reason = f": guests make their addresses of {six.body.cidr} themselves"
        raise InvalidRequest(f"the network gives {cidrs}, and not {wish.ip}{reason}", driver="libvirt")
    return found


def has_subnet(view: View, network_id: str) -> bool:
    """Whether there is one that is ready."""
    return bool(_subnets(view, network_id, 4) or _subnets(view, network_id, 6))


def _wished(subnets: Sequence[Record[SubnetBody]], taken: set[str], wish: str) -> tuple[Record[SubnetBody], str]:
    """The subnet of an address that was asked for; raises Conflict, InvalidRequest."""
    subnet = subnets[0]
    ip = str(addresses.parse_address(wish, IPv4Network(subnet.body.cidr), "address"))
    if ip in taken or ip == subnet.body.bridge_ip:
        raise Conflict(f"the address {ip} is taken", driver="libvirt")
    return subnet, ip


def _free(subnets: Sequence[Record[SubnetBody]], taken: set[str], *, crowded: bool) -> tuple[Record[SubnetBody], str]:
    """A subnet and a free address of it; raises Conflict."""
    for subnet in subnets:
        free = addresses.next_free(subnet.body, taken, crowded=crowded)
        if free is not None:
            return subnet, free
    cidrs = ", ".join(subnet.body.cidr for subnet in subnets)
    raise Conflict(
        f"the subnet {cidrs} has no free address left",
        driver="libvirt",
        hint="Delete ports or servers, or use another network.",
    )


def _is_in(ip: str, cidr: str) -> bool:
    try:
        return ip_address(ip) in ip_network(cidr)
    except ValueError:
        return False


def _claims(body: PortBody) -> list[str]:
    claims = [addresses.address_claim(body.network_id, ip) for ip in (body.ip, body.ip6) if ip is not None]
    if body.own_mac:
        claims.append(f"mac/{body.network_id}/{body.mac}")
    return claims


def _check_mac(mac: str | None) -> str | None:
    if mac is None:
        return None
    lower = mac.lower()
    if not _MAC.fullmatch(lower) or int(lower[:2], 16) & 1 or lower == "00:00:00:00:00:00":
        raise InvalidRequest(f"{mac!r} is no MAC address of a network card", driver="libvirt")
    return lower


def random_mac() -> str:
    """A MAC in the range that QEMU uses."""
    number = uuid.uuid4().int & 0xFFFFFF
    return f"52:54:00:{number >> 16:02x}:{number >> 8 & 0xFF:02x}:{number & 0xFF:02x}"
