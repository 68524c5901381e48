"""What the tests of one target share: two projects, an image, a flavor, a network, a server that has booted."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from cloudkit import Cloud, Flavor, Image, KeyPair, Kind, Network, SecurityGroup, Server, Shell, Volume
from cloudkit.conformance.target import Target
from cloudkit.driver import GROUPS

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHKmwvsL05wFGH0CUi6IOObT2xzEmGWBgXDHtyExvCvh conformance"
"""For key pairs that nobody logs in with."""


class Lab:
    """Shared things are made when they are first asked for, and deleted at the end.

    Attributes:
        cloud: the project that the suite works in.
        other: another project of the same cloud.
        folder: for files.
    """

    def __init__(self, target: Target, folder: Path) -> None:
        self.target = target
        self.folder = folder
        self._exit = ExitStack()
        self._subnets = itertools.cycle(ip_network(target.cidr).subnets(new_prefix=24))
        first, last = target.vlan_ids
        self._vlan_ids = itertools.cycle(range(first, last + 1))

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self.cloud: Cloud = undo.enter_context(self.target.connect())
            self.other: Cloud = self.cloud.for_project(self.target.other_project)
            self._found = self.inventory()
            undo.push(self._check_inventory)
            self.shared: Cloud = undo.enter_context(self.cloud.scope("conformance-shared"))
            self._exit = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.__exit__(kind, error, trace)

    # ---------------------------------------------------------------- what there is

    @property
    def capabilities(self) -> frozenset[str]:
        """What the driver declares."""
        return self.cloud.capabilities

    def inventory(self, *kinds: Kind) -> frozenset[tuple[str, Kind, str]]:
        """All that both projects see; or what the suite's own sees of some kinds, by a tenth of the requests."""
        clouds = (self.cloud,) if kinds else (self.cloud, self.other)
        return frozenset(
            (cloud.project_id, kind, value.id)
            for cloud in clouds
            for kind, value in things(cloud, kinds or tuple(Kind))
        )

    def name(self, prefix: str = "conformance") -> str:
        """A name that nothing has yet."""
        return f"{prefix}-{secrets.token_hex(4)}"

    def cidr(self) -> str:
        """A range of addresses that nothing has, unless it was given out 255 ranges ago."""
        return str(next(self._subnets))

    def vlan_id(self) -> int:
        """A VLAN that nothing has, unless it was given out as many times ago as there are."""
        return next(self._vlan_ids)

    def cidr6(self) -> str:
        """The same of IPv6, of unique local addresses (RFC 4193)."""
        number = int(ip_network(self.cidr()).network_address) >> 8
        return f"fdc1:{number >> 16:x}:{number & 0xFFFF:x}::/64"

    @cached_property
    def image(self) -> Image:
        """What servers boot that nobody logs in to."""
        idle = self.target.idle_image
        return self.login_image if idle is None else self._uploaded(idle)

    @cached_property
    def login_image(self) -> Image:
        """What servers boot whose guest is to answer."""
        image = self.target.image
        return self.cloud.images.get(image) if isinstance(image, str) else self._uploaded(image)

    def _uploaded(self, image: Path | bytes) -> Image:
        name = self.name("image")
        if isinstance(image, Path):
            return self.shared.images.upload(name, path=image, visibility="public")
        return self.shared.images.upload(name, data=image, visibility="public")

    @cached_property
    def flavor(self) -> Flavor:
        """The size of servers."""
        return self.flavor_of(self.shared)

    @cached_property
    def network(self) -> Network:
        """A network with a subnet."""
        if self.target.network is not None:
            return self.cloud.networks.get(self.target.network)
        network = self.shared.networks.create(self.name("network"), cidr=self.cidr())
        self.join(self.shared, network)
        return network

    def join(self, cloud: Cloud, network: Network) -> None:
        """Make sure that servers on a network can be logged in to."""
        if self.target.join is not None and self._can_log_in:
            self.target.join(cloud, network)

    @cached_property
    def key_path(self) -> Path:
        """The private half of ``key_pair``."""
        return self.folder / "id_ed25519"

    @cached_property
    def key_pair(self) -> KeyPair:
        """What ``booted`` lets in."""
        return self.shared.key_pairs.generate(self.name("key"), self.key_path)

    @cached_property
    def login_group(self) -> SecurityGroup:
        """What lets logins through to servers that ``key_pair`` opens."""
        group = self.shared.security_groups.create(self.name("login"))
        self.shared.security_groups.add_rule(group, "tcp", port=22)
        return group

    @property
    def _can_log_in(self) -> bool:
        return "servers.ssh" in self.capabilities

    @cached_property
    def _guest(self) -> Server:
        if self._can_log_in:
            return self.server(self.shared, networks=[self.network], key_pair=self.key_pair)
        return self.server(self.shared)

    def booted(self) -> Server:
        """A server whose guest has booted, as far as that can be told by a login, whatever a test has done to it."""
        server = self.shared.servers.get(self._guest)
        if server.status == "RESCUE":
            server = self.shared.servers.unrescue(server)
        if server.status == "SHUTOFF":
            server = self.shared.servers.start(server)
        if self._can_log_in:
            self.shell(server).close()
        return server

    def shell(self, server: Server) -> Shell:
        """A login to a server that has ``key_pair``."""
        return self.cloud.ssh(server, user=self.target.user, key=self.key_path, timeout_s=self.target.login_timeout_s)

    def soon(self, probe: Callable[[], bool]) -> bool:
        """Whether it is true once the cloud has done what it has said that it does."""
        deadline = time.monotonic() + self.target.settle_s
        while not probe():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.2)
        return True

    @contextmanager
    def closing(self) -> Generator[list[Shell]]:
        """A list of shells, which are closed at the end."""
        shells: list[Shell] = []
        try:
            yield shells
        finally:
            for shell in shells:
                shell.close()

    @property
    def external(self) -> Network:
        """The network that floating IPs are from."""
        if self.target.external_network is not None:
            return self.cloud.networks.get(self.target.external_network)
        (network,) = self.cloud.networks.list(external=True)
        return network

    # ---------------------------------------------------------------- what tests make

    def make(self, cloud: Cloud, kind: Kind, name: str | None = None, **options: Any) -> Any:
        """A thing of any kind."""
        things: Any = getattr(cloud, kind.value)
        create = things.upload if kind is Kind.IMAGE else things.create
        arguments = {**self.arguments(cloud, kind), **options}
        if kind is not Kind.FLOATING_IP:
            arguments["name"] = self.name(kind.value) if name is None else name
        return create(**arguments)

    def arguments(self, cloud: Cloud, kind: Kind) -> dict[str, Any]:
        """What a create needs besides the name."""
        match kind:
            case Kind.SERVER:
                return {"image": self.image, "flavor": self.flavor, "networks": "none"}
            case Kind.FLAVOR:
                return {"vcpus": 1, "ram_mib": self.target.ram_mib, "disk_gib": self.target.disk_gib}
            case Kind.KEY_PAIR:
                return {"public_key": PUBLIC_KEY}
            case Kind.SERVER_GROUP:
                return {"policy": "affinity"}
            case Kind.IMAGE:
                return {"data": bytes(4096)}
            case Kind.SUBNET:
                return {"network": self.make(cloud, Kind.NETWORK), "cidr": self.cidr()}
            case Kind.PORT:
                return {"network": self.make(cloud, Kind.NETWORK, cidr=self.cidr())}
            case Kind.FLOATING_IP:
                return {"external": self.external}
            case Kind.VOLUME:
                return {"size_gib": 1}
            case Kind.SNAPSHOT | Kind.BACKUP:
                return {"volume": self.volume(cloud)}
            case Kind.NETWORK | Kind.ROUTER | Kind.SECURITY_GROUP:
                return {}

    def server(self, cloud: Cloud, **options: Any) -> Server:
        """A server, without an interface unless told otherwise; one with a key pair can be logged in to."""
        if "key_pair" in options:
            options.setdefault("image", self.login_image)
            if "servers.create:security_group_ids" in self.capabilities:
                options.setdefault("security_groups", [self.login_group])
        return cast(Server, self.make(cloud, Kind.SERVER, **options))

    def volume(self, cloud: Cloud, **options: Any) -> Volume:
        """A volume, of 1 GiB unless told otherwise."""
        return cast(Volume, self.make(cloud, Kind.VOLUME, **options))

    def flavor_of(self, cloud: Cloud, **options: Any) -> Flavor:
        """A flavor, of the target's size unless told otherwise."""
        return cast(Flavor, self.make(cloud, Kind.FLAVOR, **options))

    def _check_inventory(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        del kind, error, trace
        left, lost = self.inventory() - self._found, self._found - self.inventory()
        assert not left, f"the tests have left behind: {sorted(map(str, left))}"
        assert not lost, f"the tests have deleted what is not theirs: {sorted(map(str, lost))}"
        return False


def things(cloud: Cloud, kinds: Iterable[Kind] = tuple(Kind)) -> Iterator[tuple[Kind, Any]]:
    """All that a project sees, of those of the kinds that there are."""
    for kind in kinds:
        if kind.value not in GROUPS or kind.value in cloud.capabilities:
            for value in getattr(cloud, kind.value).list():
                yield kind, value
