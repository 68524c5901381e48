"""``connect`` and ``Cloud``: one project in one region of one back-end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from cloudkit import _checks as checks
from cloudkit._backup import Backups
from cloudkit._compute import Flavors, KeyPairs, ServerGroups
from cloudkit._context import Context, Lifetime, Verb
from cloudkit._image import Images
from cloudkit._kinds import COLLECTIONS
from cloudkit._network import Networks, Ports, Subnets
from cloudkit._routing import FloatingIps, Routers
from cloudkit._scope_mark import ScopeInfo, new_scope
from cloudkit._security_groups import SecurityGroups
from cloudkit._servers import Servers
from cloudkit._sweep import Leftover, end_scope, sweep
from cloudkit._volume import Snapshots, Volumes
from cloudkit.driver import CAPABILITIES, ConsoleLog, Driver, Limits, Ssh
from cloudkit.errors import CloudError, InvalidRequest
from cloudkit.types import Quota, Resource, Server

if TYPE_CHECKING:
    import os

    from cloudkit.ssh import Shell

DAY_S = 24 * 3600.0
MAX_SCOPE_NAME = 64


def connect(cloud: str | None = None, *, project: str | None = None, **options: Any) -> Cloud:
    """Open a cloud.

    Args:
        cloud: a profile of cloudkit.toml, a name of clouds.yaml, or a URL as ``fake://``; None for the configured
            one (``CLOUDKIT_CLOUD``, ``OS_CLOUD``, the default of cloudkit.toml).
        project: the project to act in, instead of the profile's.
        options: the driver's, over those of the profile.

    Raises:
        ConfigError: no cloud is named, or its settings are wrong.
        MissingExtra: its driver needs an extra of cloudkit-sdk that is not installed.
        Unavailable, Unauthenticated: it cannot be reached, or refused the credentials.
    """
    from cloudkit._plugins import open_driver
    from cloudkit.config import resolve

    profile = resolve(cloud, project=project, options=options)
    driver = open_driver(profile.plugin, profile.request)
    return Cloud(Context(driver, Lifetime()), profile.name, profile.story)


class Cloud:
    """One project of one cloud. Thread-safe, a context manager, and of use in the process that opened it only.

    Attributes:
        name: the profile's, or the URL without its query.
        story: what the demo uses here.
    """

    def __init__(self, context: Context, name: str, story: Mapping[str, Any]) -> None:
        """Applications call :func:`connect`."""
        self._context = context
        self.name = name
        self.story = story
        self.servers = Servers(context)
        self.flavors = Flavors(context)
        self.key_pairs = KeyPairs(context)
        self.server_groups = ServerGroups(context)
        self.images = Images(context)
        self.networks = Networks(context)
        self.subnets = Subnets(context)
        self.ports = Ports(context)
        self.routers = Routers(context)
        self.floating_ips = FloatingIps(context)
        self.security_groups = SecurityGroups(context)
        self.volumes = Volumes(context)
        self.snapshots = Snapshots(context)
        self.backups = Backups(context)

    # ---------------------------------------------------------------- what it is

    @property
    def driver_name(self) -> str:
        """The driver's name: "fake", "libvirt", "openstack" …"""
        return self._driver.name

    @property
    def project_id(self) -> str:
        """The project that it acts in."""
        return self._driver.project_id

    @property
    def cloud_id(self) -> str:
        """Tells this cloud from every other one, in every process."""
        return self._driver.cloud_id

    @property
    def capabilities(self) -> frozenset[str]:
        """What the back-end offers: groups of verbs (``servers.pause``) and options (``servers.create:tags``)."""
        return self._driver.capabilities

    def supports(self, capability: str) -> bool:
        """Whether the back-end offers this; raises InvalidRequest for what is no capability at all."""
        checks.one_of(capability, CAPABILITIES, "capability")
        return capability in self._driver.capabilities

    @property
    def native(self) -> Any:
        """The driver's own client, for what is not portable."""
        self._context.lifetime.check()
        return self._driver.native

    def raw(self, value: Resource) -> Any:
        """The back-end's own description of a thing, fetched anew; raises NotFound."""
        with Verb(self._context, "raw", value):
            if not isinstance(value, Resource):  # pyright: ignore[reportUnnecessaryIsInstance]
                checks.wrong("value", "a value that this cloud gave", value)
            id = COLLECTIONS[value.kind](self._context).ref_id(value)
            return self._context.call(self._driver.raw, value.kind, id)

    def limits(self) -> Mapping[str, Quota]:
        """Quota and use of the project, by name: servers, vcpus, ram_mib, volumes, volume_gib, …"""
        with Verb(self._context, "limits"):
            self._context.require("limits")
            return self._context.call(cast(Limits, self._driver).limits)

    # ---------------------------------------------------------------- other views

    def for_project(self, project_id: str) -> Cloud:
        """The same connection, acting in another project; closing this Cloud closes that one too."""
        with Verb(self._context, "for_project", project_id):
            driver = self._context.call(self._driver.for_project, checks.name(project_id, "project_id"))
            return Cloud(Context(driver, Lifetime(self._context.lifetime)), self.name, self.story)

    def scope(self, name: str, *, expires_in_s: float = DAY_S) -> Scope:
        """A context manager for a Cloud whose things belong together and are deleted at its end.

        Args:
            name: what the sweep calls it.
            expires_in_s: after how many seconds the sweep may delete what a crash has left, even if it cannot tell
                whether this process lives.
        """
        with Verb(self._context, "scope", name):
            if len(checks.name(name)) > MAX_SCOPE_NAME:
                # Nova takes 255 characters for the whole mark.
                raise InvalidRequest(f"name: a scope's has at most {MAX_SCOPE_NAME} characters")
            seconds = checks.seconds(expires_in_s, "expires_in_s")
            driver, parent = self._driver, self._context.lifetime
            context = Context(driver, Lifetime(parent), new_scope(name, seconds))
            return Scope(self, context, Context(driver, Lifetime(parent)))

    def sweep(self, *, delete: bool = False, names: Collection[str] = ()) -> list[Leftover]:
        """What scopes have left behind in this project; what has no mark of a scope is never touched.

        Args:
            delete: delete what is removable: of a scope that has expired, or whose process is known to be dead.
            names: scopes whose things are removable whatever else.
        """
        with Verb(self._context, "sweep"):
            checked = tuple(checks.name(each, "names") for each in checks.items(names, "names"))
            return sweep(self._context, checks.flag(delete, "delete"), checked)

    # ---------------------------------------------------------------- into servers

    def ssh(
        self,
        server: Server | str,
        *,
        user: str,
        key: str | os.PathLike[str] | Any = None,
        host_key: str | None = None,
        timeout_s: float = 120.0,
        port: int = 22,
    ) -> Shell:
        """Wait until a server answers SSH, verify its host key, and log in.

        Args:
            key: path of an unencrypted private key, a ``paramiko.PKey``, or None for the SSH agent's keys.
            host_key: the one to expect, where neither the server's record nor its console tells it.
            timeout_s: how long all this may take, in real seconds.

        Raises:
            HostKeyChanged, HostKeyUnknown: nobody was logged in to.
            SshAuthFailed: the key or the user was refused.
            WaitTimeout: nothing spoke SSH in time; the console's tail is told.
            MissingExtra: paramiko is not installed.
        """
        from cloudkit.ssh import open_shell

        with Verb(self._context, "ssh", server):
            self._context.require("servers.ssh")
            found = self.servers.get(server)
            part = self._driver.compute.servers
            number = checks.integer(port, "port", 1, 65535)
            console = None
            if self.supports("servers.console_log"):
                console = lambda: self._context.call(cast(ConsoleLog, part).console_log, found.id, None)  # noqa: E731
            return open_shell(
                server=found,
                endpoints=lambda: self._context.call(cast(Ssh, part).endpoints, found.id, number),
                console_log=console,
                user=checks.text(user, "user"),
                key=key,
                host_key=host_key,
                timeout_s=checks.seconds(timeout_s),
            )

    # ---------------------------------------------------------------- its end

    def close(self) -> None:
        """Give back connections and threads; calling it again does nothing.

        A Cloud that was made from another one (``for_project``, ``scope``) leaves that one open. In a child process
        the parent's connection is left alone.
        """
        lifetime = self._context.lifetime
        if lifetime.end() and lifetime.is_root and not lifetime.forked:
            try:
                self._driver.close()
            except CloudError:
                raise
            except Exception as error:
                raise self._driver.translate(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Cloud {self.name} ({self.driver_name}), project {self.project_id}>"

    @property
    def _driver(self) -> Driver:
        return self._context.driver


class Scope:
    """A context manager: gives a Cloud whose things are deleted at the end, whatever happens in between.

    Attributes:
        info: its name, id, owner and expiry, as its things are marked with.
    """

    def __init__(self, cloud: Cloud, context: Context, cleaner: Context) -> None:
        """``context`` is for the Cloud that is handed out; whatever becomes of it, ``cleaner`` can still delete."""
        self._cloud = cloud
        self._context = context
        self._cleaner = cleaner
        self._cleaner.touched, self._cleaner.unmarked = context.touched, context.unmarked
        assert context.scope is not None
        self.info: ScopeInfo = context.scope

    def __enter__(self) -> Cloud:
        return Cloud(self._context, self._cloud.name, self._cloud.story)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete; what cannot be deleted is raised, or noted with the error that is on its way."""
        try:
            with Verb(self._cleaner, "scope.end", self.info.name):
                failures = end_scope(self._cleaner, self.info)
                if failures:
                    raise self._failure(failures)
        except CloudError as failure:
            if error is None:
                raise
            error.add_note(str(failure))
            self._context.log.warning("%s", failure)
        finally:
            self._context.lifetime.end()

    def _failure(self, failures: list[tuple[Resource, CloudError]]) -> CloudError:
        what = ", ".join(f"{value.kind.noun} {value.name or value.id}" for value, _ in failures)
        error = CloudError(
            f"{len(failures)} things of the scope {self.info.name!r} could not be deleted: {what}",
            fault=failures[0][1].message,
            hint=f"Later: cloudkit sweep --name {self.info.name} --delete",
        )
        error.__cause__ = failures[0][1] if len(failures) == 1 else ExceptionGroup("", [each for _, each in failures])
        return error
