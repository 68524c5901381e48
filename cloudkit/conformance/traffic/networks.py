"""Packets between real guests: each way that is open lets them through, each that is closed does not."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest

from cloudkit import Cloud, Network, Router, SecurityGroup, Server, Shell, Subnet, Unavailable, WaitTimeout
from cloudkit.conformance.base import Conformance, needs, skip_undeclared
from cloudkit.conformance.lab import Lab

WEB = 8080
SERVE = (
    f"pidof httpd >/dev/null || {{ mkdir -p /tmp/web && echo page >/tmp/web/page && httpd -p {WEB} -h /tmp/web; }}"
)
ANSWER_S = 3
"""How long a probe waits; what is dropped never answers."""
SMALL_MTU = 1400
"""What packets of the second network are no larger than."""
ADVERT_S = 60
"""How long a guest is given until a router has told it its prefix."""

PLUG_S = 30
"""How long a guest is given until it sees what was plugged in."""


@dataclass(frozen=True)
class Field:
    """Two servers on one network, a third on another one, and a router that has joined neither yet.

    Each serves a page to whom its groups let through. ``guard`` is the one group of the second server, besides the
    one for logins.
    """

    cloud: Cloud
    networks: tuple[Network, Network]
    router: Router
    servers: tuple[Server, Server, Server]
    shells: tuple[Shell, ...]
    guard: SecurityGroup
    soon: Callable[[Callable[[], bool]], bool]

    @property
    def addresses(self) -> tuple[str, ...]:
        """The servers' fixed addresses."""
        return tuple(map(_ipv4, self.servers))

    @property
    def addresses6(self) -> tuple[str, ...]:
        """Those of IPv6."""
        return tuple(
            next(address.ip for address in server.addresses if address.version == 6) for server in self.servers
        )

    def subnet(self, number: int, version: int = 4) -> Subnet:
        """A network's subnet."""
        subnets = self.cloud.subnets.list(network_id=self.networks[number].id)
        return next(subnet for subnet in subnets if subnet.ip_version == version)

    def join(self, number: int, version: int = 4) -> None:
        """Plug a network into the router."""
        self.cloud.routers.add_interface(self.router, self.subnet(number, version))

    def await_ipv6(self, *numbers: int) -> None:
        """Return when guests have made their addresses, and a way to the router."""
        for number in numbers:
            has_address = f"ip -6 addr show dev eth0 | grep -v tentative | grep -q ' {self.addresses6[number]}/'"
            has_way = "ip -6 route | grep -q '^default'"
            tries = f"for try in $(seq {ADVERT_S}); do {has_address} && {has_way} && exit 0; sleep 1; done"
            command = f"{tries}; (ip -6 addr; ip -6 route) >&2; exit 1"
            self.shells[number].run(command, check=True, timeout_s=2 * ADVERT_S)

    def reaches(self, number: int, address: str) -> bool:
        """Whether a server gets the page of the one at an address."""
        return gets_page(self.shells[number], address)

    def pings(self, number: int, address: str, source: str | None = None) -> bool:
        """Whether an echo comes back."""
        options = [] if source is None else ["-I", source]
        return self.shells[number].run(["ping", "-c", "2", "-W", str(ANSWER_S), *options, address]).exit_status == 0


def gets_page(shell: Shell, address: str) -> bool:
    """Whether a server gets the page that another serves."""
    # nc itself waits for ever where the way ends between the connection and the answer.
    command = ["timeout", str(2 * ANSWER_S), "nc", "-w", str(ANSWER_S), address, str(WEB)]
    return "page" in shell.run(command, input="GET /page HTTP/1.0\r\n\r\n").stdout


def _entrance(lab: Lab, server: Server) -> tuple[str, str]:
    """The address by which a login gets in, and the host key that is met there."""
    with lab.shell(server) as shell:
        return shell.endpoint.host, shell.host_key


@contextmanager
def logged_in(lab: Lab, servers: Sequence[Server]) -> Generator[tuple[Shell, ...]]:
    """Shells into servers, each of which serves a page from now on."""
    with lab.closing() as shells:
        for server in servers:
            shells.append(lab.shell(server))
            shells[-1].run(SERVE, check=True)
        yield tuple(shells)


@contextmanager
def field_of(lab: Lab) -> Generator[Field]:
    """A field, which is deleted at the end."""
    with lab.cloud.scope("traffic") as cloud:
        mtus = (None, SMALL_MTU if cloud.supports("networks.create:mtu") else None)
        # A VLAN is like any other network: all that is asked of the first one is asked of a VLAN.
        vlan_ids = (lab.vlan_id() if cloud.supports("networks.create:vlan_id") else None, None)
        first, second = (
            cloud.networks.create(lab.name("network"), cidr=lab.cidr(), mtu=mtu, vlan_id=vlan_id)
            for mtu, vlan_id in zip(mtus, vlan_ids, strict=True)
        )
        for network in (first, second):
            lab.join(cloud, network)
        if cloud.supports("subnets.create:ipv6_mode"):
            for network in (first, second):
                cloud.subnets.create(lab.name("subnet"), network=network, cidr=lab.cidr6())
        router = cloud.routers.create(lab.name("router"), external=lab.external)
        guard = cloud.security_groups.create(lab.name("guard"))
        options = {"key_pair": lab.key_pair.name, "security_groups": [lab.login_group, guard]}
        begun = [lab.server(cloud, networks=[network], wait=False, **options) for network in (first, first, second)]
        one, two, three = map(cloud.servers.wait, begun)
        with logged_in(lab, (one, two, three)) as shells:
            yield Field(cloud, (first, second), router, (one, two, three), shells, guard, lab.soon)


NEEDED = ("routers", "floating_ips", "security_groups", "servers.ssh", "networks.create", "subnets.create")


@needs(*NEEDED)
class TestTraffic(Conformance):
    @pytest.fixture(scope="class")
    @classmethod
    def everything(cls, conformance_lab: Lab) -> Generator[Field]:
        skip_undeclared(conformance_lab, *NEEDED)
        with field_of(conformance_lab) as field:
            yield field

    @pytest.fixture
    def field(self, everything: Field) -> Generator[Field]:
        """The field as it was built: no rule of ``guard`` for what comes in, no network at the router."""
        yield everything
        cloud, guard = everything.cloud, everything.cloud.security_groups.get(everything.guard)
        for server in everything.servers:
            if set(cloud.servers.get(server).security_groups) != set(server.security_groups):
                cloud.servers.set_security_groups(server, server.security_groups)
        for rule in guard.rules:
            if rule.direction == "ingress":
                cloud.security_groups.remove_rule(guard, rule)
        for floating_ip in list(cloud.floating_ips.list()):
            if floating_ip.router_id == everything.router.id:
                cloud.floating_ips.delete(floating_ip)
        for port in list(cloud.ports.list(device_id=everything.router.id)):
            if port.network_id in {network.id for network in everything.networks}:
                cloud.routers.remove_interface(everything.router, port.fixed_ips[0].subnet_id)

    def test_nothing_gets_in_that_no_rule_lets_in(self, field: Field) -> None:
        assert field.soon(lambda: not field.reaches(0, field.addresses[1]))
        assert field.soon(lambda: not field.pings(0, field.addresses[1]))

    def test_a_rule_by_protocol_and_port(self, field: Field) -> None:
        groups = field.cloud.security_groups
        other = groups.add_rule(field.guard, "tcp", port=(WEB + 1, WEB + 9))
        assert field.soon(lambda: not field.reaches(0, field.addresses[1]))
        groups.remove_rule(field.guard, other)
        rule = groups.add_rule(field.guard, "tcp", port=(WEB - 1, WEB + 1))
        assert field.soon(lambda: field.reaches(0, field.addresses[1]))
        assert field.soon(lambda: not field.pings(0, field.addresses[1]))
        groups.remove_rule(field.guard, rule)
        assert field.soon(lambda: not field.reaches(0, field.addresses[1]))

    def test_a_rule_by_icmp_type(self, field: Field) -> None:
        field.cloud.security_groups.add_rule(field.guard, "icmp", port=(8, 0))
        assert field.soon(lambda: field.pings(0, field.addresses[1]))
        assert field.soon(lambda: not field.reaches(0, field.addresses[1]))

    def test_a_rule_by_address(self, field: Field) -> None:
        groups = field.cloud.security_groups
        elsewhere = groups.add_rule(field.guard, "tcp", port=WEB, cidr="198.51.100.0/24")
        assert field.soon(lambda: not field.reaches(0, field.addresses[1]))
        groups.remove_rule(field.guard, elsewhere)
        groups.add_rule(field.guard, "tcp", port=WEB, cidr=f"{field.addresses[0]}/32")
        assert field.soon(lambda: field.reaches(0, field.addresses[1]))

    def test_a_rule_by_group(self, lab: Lab, cloud: Cloud, field: Field) -> None:
        friends = cloud.security_groups.create(lab.name("friends"))
        field.cloud.security_groups.add_rule(field.guard, "tcp", port=WEB, remote_group=friends)
        assert field.soon(lambda: not field.reaches(0, field.addresses[1]))
        cloud.servers.set_security_groups(field.servers[0], [lab.login_group, field.guard, friends])
        assert field.soon(lambda: field.reaches(0, field.addresses[1]))
        cloud.servers.set_security_groups(field.servers[0], [lab.login_group, field.guard])
        assert field.soon(lambda: not field.reaches(0, field.addresses[1]))

    def test_a_rule_for_what_goes_out(self, lab: Lab, cloud: Cloud, field: Field) -> None:
        groups = field.cloud.security_groups
        groups.add_rule(field.guard, "tcp", port=WEB)
        mute = cloud.security_groups.create(lab.name("mute"))
        for rule in mute.rules:
            cloud.security_groups.remove_rule(mute, rule)
        login = cloud.security_groups.create(lab.name("login"))
        for rule in login.rules:
            cloud.security_groups.remove_rule(login, rule)
        cloud.security_groups.add_rule(login, "tcp", port=22)
        cloud.servers.set_security_groups(field.servers[0], [login, mute])
        assert field.soon(lambda: not field.reaches(0, field.addresses[1]))
        cloud.security_groups.add_rule(mute, "tcp", port=WEB, direction="egress")
        assert field.soon(lambda: field.reaches(0, field.addresses[1]))

    def test_a_rule_that_goes_ends_what_it_had_let_in(self, lab: Lab, cloud: Cloud, field: Field) -> None:
        only = cloud.security_groups.create(lab.name("only"))
        rule = cloud.security_groups.add_rule(only, "tcp", port=22)
        cloud.servers.set_security_groups(field.servers[1], [only])
        with lab.shell(field.servers[1]) as shell:
            assert shell.run("echo open").stdout == "open\n"
            cloud.security_groups.remove_rule(only, rule)
            assert field.soon(lambda: is_silent(shell))
            cloud.security_groups.add_rule(only, "tcp", port=22)
        # The old connection may be dead for good: Neutron's Open vSwitch marks it so.
        with lab.shell(field.servers[1]) as shell:
            assert shell.run("echo open again").stdout == "open again\n"

    def test_two_networks_meet_at_a_router_only(self, field: Field) -> None:
        field.cloud.security_groups.add_rule(field.guard, "tcp", port=WEB)
        assert field.soon(lambda: not field.reaches(0, field.addresses[2]))
        for number in (0, 1):
            field.join(number)
        assert field.soon(lambda: field.reaches(0, field.addresses[2]))
        assert field.soon(lambda: field.reaches(2, field.addresses[1]))
        field.cloud.routers.remove_interface(field.router, field.subnet(1))
        assert field.soon(lambda: not field.reaches(0, field.addresses[2]))

    def test_two_routers_do_not_meet(self, lab: Lab, cloud: Cloud, field: Field) -> None:
        field.cloud.security_groups.add_rule(field.guard, "tcp", port=WEB)
        field.join(0)
        cloud.routers.create(lab.name("router"), subnets=[field.subnet(1)])
        assert field.soon(lambda: not field.reaches(0, field.addresses[2]))

    def test_a_floating_ip_leads_in(self, lab: Lab, cloud: Cloud, field: Field) -> None:
        field.join(0)
        taken = cloud.floating_ips.create(external=lab.external, server=field.servers[0])
        # A login goes by whichever address answers first, as long as the cloud is not done.
        assert field.soon(lambda: _entrance(lab, field.servers[0]) == (taken.ip, field.shells[0].host_key))
        cloud.floating_ips.associate(taken, field.servers[1])
        assert field.soon(lambda: _entrance(lab, field.servers[1]) == (taken.ip, field.shells[1].host_key))

    def test_guests_reach_each_other_by_floating_ips(self, lab: Lab, cloud: Cloud, field: Field) -> None:
        for number in (0, 1):
            field.join(number)
        taken = cloud.floating_ips.create(external=lab.external, server=field.servers[1])
        assert field.soon(lambda: not field.reaches(0, taken.ip))
        field.cloud.security_groups.add_rule(field.guard, "tcp", port=WEB)
        # From its own network, and from another one.
        assert field.soon(lambda: field.reaches(0, taken.ip))
        assert field.soon(lambda: field.reaches(2, taken.ip))
        cloud.floating_ips.disassociate(taken)
        assert field.soon(lambda: not field.reaches(2, taken.ip))

    @needs("networks.create:mtu")
    def test_guests_keep_to_their_networks_mtu(self, field: Field) -> None:
        for shell, network in ((field.shells[0], field.networks[0]), (field.shells[2], field.networks[1])):
            assert int(shell.run("cat /sys/class/net/eth0/mtu", check=True).stdout) == network.mtu

    @needs("servers.interfaces")
    def test_an_interface_that_is_plugged_in_leads_to_its_network(self, field: Field) -> None:
        field.cloud.security_groups.add_rule(field.guard, "tcp", port=WEB)
        assert not field.reaches(0, field.addresses[2])
        port = field.cloud.servers.attach_interface(field.servers[0], field.networks[1])
        prefix = ip_network(field.subnet(1).cidr).prefixlen
        address = next(fixed.ip for fixed in port.fixed_ips if ip_address(fixed.ip).version == 4)
        find = f"device=$(grep -l '^{port.mac}$' /sys/class/net/*/address | cut -d/ -f5); test -n \"$device\""
        # Some systems bring up by themselves what they find.
        has_address = f"ip addr show dev $device | grep -q ' {address}/'"
        use = f"ip link set $device up && {{ {has_address} || ip addr add {address}/{prefix} dev $device; }}"
        try:
            field.shells[0].run(
                f"for try in $(seq {PLUG_S}); do {find} && {use} && exit 0; sleep 1; done; ip addr; exit 1",
                sudo=True,
                check=True,
                timeout_s=2 * PLUG_S,
            )
            assert field.soon(lambda: field.reaches(0, field.addresses[2]))
        finally:
            field.cloud.servers.detach_interface(field.servers[0], port)
        assert field.shells[0].run(find).exit_status != 0
        assert field.soon(lambda: not field.reaches(0, field.addresses[2]))

    @needs("subnets.create:ipv6_mode")
    def test_ipv6_neighbours_need_a_rule_of_ipv6(self, field: Field) -> None:
        groups = field.cloud.security_groups
        field.join(0, 6)
        field.await_ipv6(0, 1)
        target = field.addresses6[1]
        assert field.soon(lambda: not field.reaches(0, target))
        groups.add_rule(field.guard, "tcp", port=WEB)
        assert field.soon(lambda: field.reaches(0, field.addresses[1]))
        assert field.soon(lambda: not field.reaches(0, target))
        rule = groups.add_rule(field.guard, "tcp", port=WEB, ip_version=6)
        assert field.soon(lambda: field.reaches(0, target))
        assert field.soon(lambda: not field.pings(0, target))
        groups.add_rule(field.guard, "icmpv6", ip_version=6)
        assert field.soon(lambda: field.pings(0, target))
        assert field.soon(lambda: field.pings(1, field.addresses6[0]))
        groups.remove_rule(field.guard, rule)
        assert field.soon(lambda: not field.reaches(0, target))

    @needs("subnets.create:ipv6_mode")
    def test_ipv6_networks_meet_at_a_router_only(self, field: Field) -> None:
        field.cloud.security_groups.add_rule(field.guard, "tcp", port=WEB, cidr=field.subnet(0, 6).cidr)
        field.join(0, 6)
        field.await_ipv6(0)
        assert field.soon(lambda: not field.reaches(0, field.addresses6[2]))
        field.join(1, 6)
        field.await_ipv6(2)
        assert field.soon(lambda: field.reaches(0, field.addresses6[2]))
        # The rule is for the first network only.
        assert field.soon(lambda: not field.reaches(2, field.addresses6[1]))
        field.cloud.routers.remove_interface(field.router, field.subnet(1, 6))
        assert field.soon(lambda: not field.reaches(0, field.addresses6[2]))

    @pytest.mark.parametrize("version", [4, pytest.param(6, marks=needs("subnets.create:ipv6_mode"))])
    def test_nobody_sends_from_an_address_that_is_not_his(self, field: Field, version: int) -> None:
        field.cloud.security_groups.add_rule(field.guard, "icmp" if version == 4 else "icmpv6", ip_version=version)
        own, target = (field.addresses if version == 4 else field.addresses6)[:2]
        if version == 6:
            field.join(0, 6)
            field.await_ipv6(0, 1)
        subnet = ip_network(field.subnet(0, version).cidr)
        stolen = f"{subnet[200]}/{subnet.prefixlen}"
        assert field.soon(lambda: field.pings(0, target))
        field.shells[0].run(f"ip addr add {stolen} dev eth0", sudo=True, check=True)
        try:
            assert field.soon(lambda: not field.pings(0, target, source=str(subnet[200])))
            assert field.soon(lambda: field.pings(0, target, source=own))
        finally:
            field.shells[0].run(f"ip addr del {stolen} dev eth0", sudo=True, check=True)


def _ipv4(server: Server) -> str:
    return next(address.ip for address in server.addresses if address.version == 4 and not address.floating)


def is_silent(shell: Shell) -> bool:
    """Whether nothing comes back any more."""
    try:
        shell.run("echo closed", timeout_s=ANSWER_S)
    except (WaitTimeout, Unavailable):
        return True
    return False
