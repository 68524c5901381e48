"""Routers and floating IPs: how networks reach each other and the outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack, cast

from cloudkit import _checks as checks
from cloudkit import driver
from cloudkit._collection import Collection, Creation, Ref
from cloudkit._context import Verb
from cloudkit.errors import InvalidRequest, NotFound
from cloudkit.types import FloatingIp, FloatingIpSpec, Kind, NetworkStatus, Port, Router, RouterSpec, Server

_BROKEN = frozenset({NetworkStatus.ERROR})


class Routers(Collection[Router]):
    """Routers. Deleting one takes its interfaces off first."""

    kind = Kind.ROUTER
    _service = "network"
    _capability = "routers"
    _broken = _BROKEN

    def create(
        self,
        name: str,
        *,
        external: Ref | None = None,
        networks: Iterable[Ref] = (),
        subnets: Iterable[Ref] = (),
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> Router:
        """Make one.

        Args:
            external: the external network that it leads out by.
            networks: whose subnets it joins, all of each.
            subnets: that it joins besides.

        Raises:
            Conflict: a subnet has a router at its gateway address already, or overlaps another one.
        """
        with self._creating(name):
            subnet_ids = [self._others(Kind.SUBNET).ref_id(ref) for ref in checks.items(subnets, "subnets")]
            for ref in checks.items(networks, "networks"):
                network = self._others(Kind.NETWORK).get(ref)
                if not network.subnet_ids:
                    raise InvalidRequest(f"the network {network.name!r} has no subnet to join", resource=network)
                subnet_ids += network.subnet_ids
            spec = RouterSpec(
                **self._common(name, description, native),
                external_network_id=None if external is None else self._others(Kind.NETWORK).ref_id(external),
            )

            def join(router: Router) -> Router:
                for subnet_id in dict.fromkeys(subnet_ids):
                    self._context.call(self._routers.add_interface, router.id, subnet_id)
                return router

            return self._create(spec, finish=join, **how)

    def add_interface(self, ref: Ref, subnet: Ref) -> Router:
        """Join a subnet, at its gateway address."""
        with Verb(self._context, "routers.add_interface", ref):
            self._require_kind()
            subnet_id = self._others(Kind.SUBNET).ref_id(subnet)
            id, _ = self._act(ref, lambda id: self._context.call(self._routers.add_interface, id, subnet_id))
            return self._fetch(id)

    def remove_interface(self, ref: Ref, subnet: Ref) -> Router:
        """Leave a subnet; raises InUse while a floating IP needs the way."""
        with Verb(self._context, "routers.remove_interface", ref):
            self._require_kind()
            subnet_id = self._others(Kind.SUBNET).ref_id(subnet)
            id, _ = self._act(ref, lambda id: self._context.call(self._routers.remove_interface, id, subnet_id))
            return self._fetch(id)

    def set_gateway(self, ref: Ref, external: Ref | None) -> Router:
        """Lead out by an external network, or with None nowhere."""
        with Verb(self._context, "routers.set_gateway", ref):
            self._require_kind()
            network_id = None if external is None else self._others(Kind.NETWORK).ref_id(external)
            id, _ = self._act(ref, lambda id: self._context.call(self._routers.set_gateway, id, network_id))
            return self._fetch(id)

    def _delete(self, id: str) -> None:
        ports: Iterable[Port] = self._others(Kind.PORT)._all({"device_id": id})
        joined = [
            fixed.subnet_id for port in ports if port.device_id == id and _is_inside(port) for fixed in port.fixed_ips
        ]
        for subnet_id in dict.fromkeys(joined):
            try:
                self._context.call(self._routers.remove_interface, id, subnet_id)
            except NotFound:
                continue
        super()._delete(id)

    @property
    def _routers(self) -> driver.Routers:
        return cast(driver.Routers, self._part)


class FloatingIps(Collection[FloatingIp]):
    """Addresses of an external network, translated to servers; the name of each is its address."""

    kind = Kind.FLOATING_IP
    _service = "network"
    _capability = "floating_ips"
    _broken = _BROKEN

    def create(
        self,
        *,
        external: Ref | None = None,
        server: Ref | None = None,
        port: Ref | None = None,
        ip: str | None = None,
        description: str = "",
        native: Mapping[str, Any] | None = None,
        **how: Unpack[Creation],
    ) -> FloatingIp:
        """Take one.

        Args:
            external: the network that it is from; None for the only external one.
            server: translate to it from the start, on its first port that has a way out; or ``port``: to that.
            ip: this very address.

        Raises:
            Conflict: no router leads from the port to the external network, or the address is taken.
        """
        with self._creating(ip):
            network_id = self._only_external() if external is None else self._others(Kind.NETWORK).ref_id(external)
            spec = FloatingIpSpec(
                name="",
                mark=self._mark(),
                description=checks.text(description, "description"),
                native=checks.native(native),
                external_network_id=network_id,
                port_id=self._port_id(server, port),
                ip=None if ip is None else checks.address(ip, "ip"),
            )
            return self._create(spec, **how)

    def associate(self, ref: Ref, target: Ref, *, fixed_ip: str | None = None) -> FloatingIp:
        """Translate to a server, or a Port value, instead of what it was translated to.

        Args:
            fixed_ip: which of the port's addresses, where it has several.
        """
        with Verb(self._context, "floating_ips.associate", ref):
            self._require_kind()
            address = None if fixed_ip is None else checks.address(fixed_ip, "fixed_ip")
            port_id = self._port_id(None, target) if isinstance(target, Port) else self._port_id(target, None)
            id, _ = self._act(ref, lambda id: self._associate(id, port_id, address))
            return self._fetch(id)

    def disassociate(self, ref: Ref) -> FloatingIp:
        """Translate to nothing, and keep the address."""
        with Verb(self._context, "floating_ips.disassociate", ref):
            self._require_kind()
            id, _ = self._act(ref, lambda id: self._associate(id, None, None))
            return self._fetch(id)

    def _associate(self, id: str, port_id: str | None, fixed_ip: str | None) -> None:
        self._context.call(cast(driver.FloatingIps, self._part).associate, id, port_id, fixed_ip)

    def _port_id(self, server: Ref | None, port: Ref | None) -> str | None:
        if server is not None and port is not None:
            raise InvalidRequest("a floating IP goes to a server or to a port, not to both")
        if port is not None:
            return self._others(Kind.PORT).ref_id(port)
        return None if server is None else self._port_of(self._others(Kind.SERVER).get(server))

    def _port_of(self, server: Server) -> str:
        ids = tuple(
            dict.fromkeys(each.port_id for each in server.addresses if each.version == 4 and not each.floating)
        )
        if len(ids) == 1:
            return ids[0]
        if not ids:
            raise InvalidRequest(f"the server {server.name!r} has no IPv4 address to translate to", resource=server)
        raise InvalidRequest(
            f"the server {server.name!r} has {len(ids)} ports: {', '.join(ids)}", resource=server, hint="Pass port=."
        )

    def _only_external(self) -> str:
        found = [network for network in self._others(Kind.NETWORK)._all({"external": True}) if network.external]
        if len(found) == 1:
            return cast(str, found[0].id)
        names = ", ".join(network.name for network in found)
        raise InvalidRequest(
            f"no external network was named, and there are {len(found)}{': ' if names else ''}{names}",
            hint="Pass external=.",
        )


def _is_inside(port: Port) -> bool:
    """Whether a router's port is an interface, not its gateway (Neutron's device_owner)."""
    return port.device_owner != "network:router_gateway"
