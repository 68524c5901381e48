"""Where everything of one OpenStack bed is: folders, ports, addresses, the bed's secret.

Used on both sides of the pod's wall and by the services themselves, so the standard library is all it needs.
Ports are the services' own, for a bed listens only in its own network namespace.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
REGION = "RegionOne"
NODE = "bed"
"""The one host that the services run on, as they call it."""
PORTS = {
    "mariadb": 3306,
    "rabbitmq": 5672,
    "keystone": 5000,
    "glance": 9292,
    "placement": 8778,
    "nova": 8774,
    "neutron": 9696,
    "cinder": 8776,
}
OVSDB_PORT = 6640
PUBLIC_CIDR, PUBLIC_GATEWAY = "203.0.113.0/24", "203.0.113.1"
"""The external network's addresses are nobody's: TEST-NET-3 of RFC 5737."""
DATABASES = ("keystone", "glance", "placement", "nova_api", "nova", "nova_cell0", "neutron", "cinder")
MESSAGE_USERS = ("nova", "neutron", "cinder")
"""Services that talk over the message bus, each in a vhost of its own name."""
PRIVATE_FOLDERS = {
    "libvirt/etc": "/etc/libvirt",
    "libvirt/lib": "/var/lib/libvirt",
    "libvirt/cache": "/var/cache/libvirt",
    "libvirt/log": "/var/log/libvirt",
}
"""Folders of a bed with guests → which of the host's they hide in the pod."""
FOLDERS = (
    "etc",
    "log",
    "run",
    "rabbit/log",
    "data/glance",
    "data/glance-staging",
    "data/glance-tasks",
    "data/nova/instances",
    "data/cinder/backups",
    "data/cinder/volumes",
    "data/neutron",
    "data/locks",
)


@dataclass(frozen=True)
class Layout:
    """One bed's folder, the virtual environment that its services run in, and its one secret.

    `guests` is the environment with libvirt's Python binding, for a bed whose servers are machines, else None.
    """

    folder: Path
    environment: Path
    secret: str
    guests: Path | None = None

    @classmethod
    def create(
        cls, folder: Path, environment: Path, guests: Path | None = None, *, secret: str | None = None
    ) -> Layout:
        """Make the folders of a new bed, and write what `load` reads."""
        layout = cls(folder, environment, secret or secrets.token_hex(16), guests)
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        stored = {
            "environment": str(environment),
            "secret": layout.secret,
            "guests": None if guests is None else str(guests),
        }
        write_private(folder / "layout.json", json.dumps(stored))
        return layout

    @classmethod
    def load(cls, folder: Path) -> Layout:
        """Return the layout of an existing bed; FileNotFoundError when there is none."""
        stored = json.loads((folder / "layout.json").read_text())
        guests = stored["guests"]
        return cls(folder, Path(stored["environment"]), stored["secret"], Path(guests) if guests else None)

    def __truediv__(self, path: str) -> Path:
        return self.folder / path

    @property
    def python(self) -> Path:
        """The interpreter of the services' virtual environment."""
        return self.environment / "bin/python"

    @property
    def socket(self) -> Path:
        """The database's socket, over which root needs no password."""
        return self / "run/mariadb.sock"

    @property
    def clouds_yaml(self) -> Path:
        """The configuration file for clients."""
        return self / "clouds.yaml"

    def url(self, service: str) -> str:
        """Return the base URL of an API."""
        return f"http://{HOST}:{PORTS[service]}"

    def database(self, name: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"mysql+pymysql://bed:{self.secret}@{HOST}:{PORTS['mariadb']}/{name}?charset=utf8mb4"

    def transport(self, vhost: str) -> str:
        """Return the message bus's URL for one service."""
        return f"rabbit://bed:{self.secret}@{HOST}:{PORTS['rabbitmq']}/{vhost}"

    def packaged(self, path: str) -> Path:
        """Return a configuration file that a service's own package brings."""
        return self.environment / "etc" / path

    def variables(self) -> dict[str, str]:
        """Return the environment that services and administration commands run with."""
        return {
            "PATH": os.pathsep.join([str(HERE / "bin"), str(self.environment / "bin"), os.environ["PATH"]]),
            "HOME": str(self / "run"),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join([str(HERE / "plugins"), str(HERE), *self._more_packages()]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MALLOC_ARENA_MAX": "2",
            "OS_NOVA_CONFIG_DIR": str(self / "etc/nova"),
            "OS_PLACEMENT_CONFIG_DIR": str(self / "etc/placement"),
            "OS_GLANCE_CONFIG_DIR": str(self / "etc/glance"),
            "OS_NEUTRON_CONFIG_FILES": str(self / "etc/neutron/neutron.conf"),
            # Eventlet's locks cannot be notified by the threads that these services are run with.
            "OS_NOVA_DISABLE_EVENTLET_PATCHING": "true",
            "OS_CINDER_DISABLE_EVENTLET_PATCHING": "true",
        }

    def _more_packages(self) -> list[str]:
        if self.guests is None:
            return []
        return [str(path) for path in self.guests.glob("lib/python*/site-packages")]


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
