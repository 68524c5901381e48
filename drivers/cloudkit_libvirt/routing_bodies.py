"""What the records of routers, floating IPs and security groups hold; see ``bodies``."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network
from typing import ClassVar

from cloudkit._security_groups import PROTOCOLS
from cloudkit.types import Kind, SecurityGroupRule
from cloudkit_libvirt.bodies import Body

ROUTER_OWNER = "network:router_interface"
"""The ``device_owner`` of a router's ports: Neutron's (networking API reference, "Ports")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalAddress:
    """An address of an external network."""

    network_id: str
    ip: str

    def __post_init__(self) -> None:
        """Refuse what is no address."""
        IPv4Address(self.ip)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterBody(Body):
    """A router; its interfaces are ports.

    Attributes:
        passing: addresses that it is about to claim or to give back; a crash leaves them until they are given back.
    """

    kind: ClassVar[Kind] = Kind.ROUTER

    external_network_id: str | None = None
    external_ip: str | None = None
    passing: tuple[ExternalAddress, ...] = ()

    @property
    def gateway(self) -> tuple[ExternalAddress, ...]:
        """The address by which it leads out, if it does."""
        if self.external_network_id is None or self.external_ip is None:
            return ()
        return (ExternalAddress(network_id=self.external_network_id, ip=self.external_ip),)

    @property
    def addresses(self) -> tuple[ExternalAddress, ...]:
        """All that it may have claimed."""
        return (*self.gateway, *self.passing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where a floating IP leads, and by which router."""

    port_id: str
    fixed_ip: str
    router_id: str

    def __post_init__(self) -> None:
        """Refuse what is no address."""
        IPv4Address(self.fixed_ip)


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatingIpBody(Body):
    """A floating IP."""

    kind: ClassVar[Kind] = Kind.FLOATING_IP

    ip: str
    external_network_id: str
    way: Way | None = None

    def __post_init__(self) -> None:
        """See Body."""
        Body.__post_init__(self)
        IPv4Address(self.ip)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroupBody(Body):
    """A security group with its rules."""

    kind: ClassVar[Kind] = Kind.SECURITY_GROUP

    rules: tuple[SecurityGroupRule, ...] = ()

    def __post_init__(self) -> None:
        """See Body."""
        Body.__post_init__(self)
        for rule in self.rules:
            if rule.remote_cidr is not None:
                ip_network(rule.remote_cidr)
            if rule.protocol is not None and rule.protocol not in PROTOCOLS and not _is_number(rule.protocol):
                raise ValueError("a rule's protocol is none")


def _is_number(protocol: str) -> bool:
    return protocol.isascii() and protocol.isdecimal() and int(protocol) < 256
