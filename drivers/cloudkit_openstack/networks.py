"""Networks and subnets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any, ClassVar

from cloudkit.driver import Query
from cloudkit.errors import Conflict, InvalidRequest
from cloudkit.types import Kind, Network, NetworkSpec, NetworkStatus, Subnet, SubnetSpec
from cloudkit_openstack.collection import Narrowing, exactly, not_found
from cloudkit_openstack.errors import DRIVER
from cloudkit_openstack.neutron import NOTHING, NeutronCollection, name_query
from cloudkit_openstack.wire import Body, status_of

PHYSICAL_NETWORK = "provider:physical_network"


class Networks(NeutronCollection[Network]):
    """Layer-2 networks."""

    kind = Kind.NETWORK
    path = "/networks"
    one, many = "network", "networks"
    only_owners = False
    narrowing: ClassVar[Narrowing] = {
        "name": name_query,
        "external": exactly("router:external"),
        "shared": exactly("shared"),
        "tags": lambda tags: ("tags", ",".join(tags)) if tags and not any("," in tag for tag in tags) else None,
    }

    def _is_for_all(self, value: Network) -> bool:
        return value.shared or value.external

    def create(self, spec: NetworkSpec) -> Network:
        """Make one; tags take a request of their own."""
        body = self._make(
            spec,
            mtu=spec.mtu,
            shared=spec.shared or None,
            **({"router:external": True} if spec.external else {}),
            **self._provider(spec),
        )
        if spec.tags:
            try:
                body["tags"] = self._set_tags(body["id"], spec.tags)
            except BaseException:
                self._service.delete(self._at(body["id"]))
                raise
        return self._one_value(body)

    def _provider(self, spec: NetworkSpec) -> dict[str, Any]:
        """What Neutron must be told of the wire; `native` can name another physical network than the profile."""
        if spec.vlan_id is None:
            return {}
        named = {PHYSICAL_NETWORK: self._context.physical_network} | dict(spec.native or {})
        if named[PHYSICAL_NETWORK] is None:
            raise InvalidRequest(
                "Neutron must be told on which physical network the VLAN is",
                driver=DRIVER,
                hint=f'Set physical_network in the profile, or pass native={{"{PHYSICAL_NETWORK}": …}}; an '
                "administrator knows its name.",
            )
        return {
            "provider:network_type": "vlan",
            "provider:segmentation_id": spec.vlan_id,
            PHYSICAL_NETWORK: named[PHYSICAL_NETWORK],
        }

    def update(self, id: str, changes: Mapping[str, Any]) -> Network:
        """Change attributes; tags as a whole, in a request of their own."""
        self._own(id)
        plain = {name: value for name, value in changes.items() if name != "tags"}
        if plain:
            self._change(id, plain)
        if "tags" in changes:
            self._set_tags(id, changes["tags"])
        return self.get(id)

    def _set_tags(self, id: str, tags: Sequence[str]) -> Sequence[str]:
        found: Sequence[str] = self._service.put(self._at(id, "tags"), {"tags": list(tags)})["tags"]
        return found

    def _values(self, bodies: Sequence[Body]) -> Iterable[Network]:
        return map(self._value, bodies)

    def _value(self, body: Body) -> Network:
        return Network(
            **self._common(body),
            status=status_of(NetworkStatus, body["status"]),
            native_status=body["status"],
            subnet_ids=tuple(body.get("subnets") or ()),
            external=bool(body.get("router:external")),
            shared=bool(body.get("shared")),
            mtu=body.get("mtu"),
            tags=tuple(body.get("tags") or ()),
            vlan_id=body.get("provider:segmentation_id") if body.get("provider:network_type") == "vlan" else None,
        )


class Subnets(NeutronCollection[Subnet]):
    """Ranges of addresses on networks; who sees a network sees its subnets."""

    kind = Kind.SUBNET
    path = "/subnets"
    one, many = "subnet", "subnets"
    only_owners = False
    narrowing: ClassVar[Narrowing] = {
        "name": name_query,
        "network_id": exactly("network_id"),
        "cidr": exactly("cidr"),
    }

    def list(self, query: Query) -> Iterator[Subnet]:
        """All that the project sees."""
        if not self._project.is_admin or query.all_projects:
            yield from super().list(query)
            return
        for_all: set[str] | None = None
        for bodies in self._pages(self._list_query(query)):
            for value in self._values(bodies):
                if value.project_id != self._project.id:
                    for_all = self._networks_for_all() if for_all is None else for_all
                    if value.network_id not in for_all:
                        continue
                yield value

    def get(self, id: str) -> Subnet:
        """One by its id."""
        subnet = self._one_value(self.body(id))
        if self._project.is_admin and subnet.project_id != self._project.id:
            network: Network = self._context.collections[Kind.NETWORK].get(subnet.network_id)
            if network.project_id != self._project.id and not (network.shared or network.external):
                raise not_found(self.kind, id)
        return subnet

    def _networks_for_all(self) -> set[str]:
        return {
            network["id"]
            for attribute in ("shared", "router:external")
            for page in self._service.pages("/networks", "networks", [(attribute, True), ("fields", "id")])
            for network in page
        }

    def create(self, spec: SubnetSpec) -> Subnet:
        """Make one; raises Conflict where it overlaps another one of its network."""
        self._context.collections[Kind.NETWORK]._own(spec.network_id)
        pools = [{"start": first, "end": last} for first, last in spec.allocation_pools]
        routes = [{"destination": cidr, "nexthop": ip} for cidr, ip in spec.host_routes]
        fields: dict[str, Any] = {}
        if spec.gateway_ip != "auto":
            fields["gateway_ip"] = spec.gateway_ip or NOTHING
        elif spec.ip_version == 6:
            # Neutron would take the range's very first address.
            fields["gateway_ip"] = str(next(ip_network(spec.cidr).hosts()))
        try:
            body = self._make(
                spec,
                network_id=spec.network_id,
                cidr=spec.cidr,
                ip_version=spec.ip_version,
                dns_nameservers=list(spec.dns) or None,
                enable_dhcp=spec.dhcp,
                allocation_pools=pools or None,
                ipv6_address_mode=spec.ipv6_mode,
                ipv6_ra_mode=spec.ipv6_mode,
                host_routes=routes or None,
                **fields,
            )
        except Conflict as error:
            error.hint = error.hint or "Choose another CIDR."
            raise
        return self._one_value(body)

    def _values(self, bodies: Sequence[Body]) -> Iterable[Subnet]:
        return map(self._value, bodies)

    def _value(self, body: Body) -> Subnet:
        return Subnet(
            **self._common(body),
            network_id=body["network_id"],
            cidr=body["cidr"],
            ip_version=body["ip_version"],
            gateway_ip=body.get("gateway_ip"),
            dns=tuple(body.get("dns_nameservers") or ()),
            dhcp=bool(body.get("enable_dhcp")),
            allocation_pools=tuple((pool["start"], pool["end"]) for pool in body.get("allocation_pools") or ()),
            ipv6_mode=body.get("ipv6_address_mode"),
            host_routes=tuple((route["destination"], route["nexthop"]) for route in body.get("host_routes") or ()),
        )
