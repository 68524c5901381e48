"""Opening a cloud: openstacksdk reads the configuration and logs in; what it found becomes a driver."""

from __future__ import annotations

import logging
import re
import threading
import uuid
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import openstack.config
from keystoneauth1.identity.base import BaseIdentityPlugin
from openstack.config.loader import SECURE_FILES
from openstack.connection import Connection

from cloudkit._config_files import find_clouds_yaml
from cloudkit.driver import Driver, OpenRequest
from cloudkit.errors import ConfigError
from cloudkit_openstack.context import ADMIN_ROLE, Context, Project
from cloudkit_openstack.driver import OpenStackDriver
from cloudkit_openstack.errors import DRIVER, translate
from cloudkit_openstack.http_session import HttpSession

ENVIRONMENT = "envvars"
"""openstacksdk's name for the cloud that OS_* variables describe."""

TIMEOUT_S = 60.0
"""How long an answer may take to begin, where clouds.yaml has no api_timeout."""

_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CLOUD = uuid.UUID("6b1c6a56-7f2f-5f6c-9b5e-0f8f3a1d9c44")


def open_driver(request: OpenRequest) -> Driver:
    """Log in.

    Raises:
        ConfigError: there is no such cloud, its settings are incomplete, or they name no project.
        Unauthenticated, Unavailable: Keystone refused the credentials, or does not answer.
    """
    opener = Opener(request)
    try:
        return opener.driver_for(request.project_id)
    except BaseException:
        opener.close()
        raise


class Opener:
    """Opens projects with one configuration, and closes them all."""

    def __init__(self, request: OpenRequest) -> None:
        """``request.address`` is the name in clouds.yaml; without one, OS_* variables describe the cloud."""
        self._request = request
        self._log = logging.getLogger(f"cloudkit.{DRIVER}")
        self._lock = threading.Lock()
        self._connections: list[Connection] = []
        self._drivers: dict[str | None, OpenStackDriver] = {}

    def driver_for(self, project_id: str | None) -> OpenStackDriver:
        """The driver that acts in a project (an id, or a name in the user's domain); None for the configured one."""
        with self._lock:
            if project_id not in self._drivers:
                try:
                    self._drivers[project_id] = self._open(project_id)
                except Exception as error:
                    raise translate(error) from error
            return self._drivers[project_id]

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for connection in self._connections:
                connection.session.session.close()
                connection.close()
            self._connections.clear()

    def _open(self, project_id: str | None) -> OpenStackDriver:
        connection = Connection(config=self._region())
        if project_id is not None:
            scope = {"project_id": project_id} if _ID.fullmatch(project_id) else {"project_name": project_id}
            with _without_warnings():
                connection = connection.connect_as(**scope)
        self._connections.append(connection)
        _prepare(connection)
        context = Context(connection, _project(connection), self._log, self._request.options["physical_network"])
        context.extensions = frozenset(each["alias"] for each in context.network.get("/extensions")["extensions"])
        return OpenStackDriver(context, self)

    def _region(self) -> Any:
        options = self._request.options
        auth = {"password": options["password"]} if options["password"] else {}
        settings: dict[str, Any] = {"region_name": options["region"], "interface": options["interface"], "auth": auth}
        with _without_warnings():
            return openstack.config.OpenStackConfig(app_name="cloudkit", **_files()).get_one(
                cloud=self._request.address.removeprefix("://").strip("/") or ENVIRONMENT,
                **{name: value for name, value in settings.items() if value},
            )


def _files() -> dict[str, Any]:
    """The files that cloudkit has found: openstacksdk looks in the folder that it was imported in."""
    found = find_clouds_yaml()
    if found is None:
        return {}
    beside = [str(found.with_name(f"secure.{suffix}")) for suffix in ("yaml", "yml")]
    return {"config_files": [str(found)], "secure_files": [*beside, *SECURE_FILES]}


@contextmanager
def _without_warnings() -> Generator[None]:
    """Openstacksdk warns of options of its own that are to go, whether one has set them or not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"openstack\.")
        yield


def _prepare(connection: Connection) -> None:
    session = connection.session
    session.timeout = session.timeout or TIMEOUT_S
    session.session = HttpSession()


def _project(connection: Connection) -> Project:
    plugin = connection.session.auth
    if not isinstance(plugin, BaseIdentityPlugin):
        raise ConfigError(
            f"the authentication type {connection.config.config.get('auth_type')!r} has no catalog",
            driver=DRIVER,
            hint="Use password, a token, or an application credential.",
        )
    access = plugin.get_access(connection.session)
    if access.project_id is None:
        raise ConfigError(
            "the credentials name no project",
            driver=DRIVER,
            hint="Set project_name or project_id in clouds.yaml (OS_PROJECT_NAME), or pass project=.",
        )
    region = connection.config.get_region_name()
    cloud_id = str(uuid.uuid5(_CLOUD, f"{_address(plugin.auth_url)} {region or ''}"))
    return Project(access.project_id, cloud_id, ADMIN_ROLE in (access.role_names or ()))


def _address(auth_url: str | None) -> str:
    """Keystone's address without the version, which one may write or leave out."""
    return re.sub(r"/v3$", "", (auth_url or "").rstrip("/"))
