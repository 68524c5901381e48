"""Make the databases, keys, accounts, catalog, flavors and external network of a new bed.

python initialise.py FOLDER, inside the pod, once the settings are written. It leaves all services running.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from layout import DATABASES, HERE, HOST, REGION, Layout, write_private
from services import APIS, BedError, stages, start, start_all


def initialise(layout: Layout) -> None:
    """Do all of it, from an empty folder with settings."""
    _run(layout, "mariadb-install-db", *_mariadb_options(layout))
    start(layout, stages(layout)[0])
    _run(layout, "mariadb", "--no-defaults", "--user=root", f"--socket={layout.socket}", stdin=_sql(layout))
    for name in ("fernet-keys", "credential-keys"):
        for number in "01":
            key = base64.urlsafe_b64encode(os.urandom(32)).decode()
            write_private(layout / f"etc/keystone/{name}/{number}", key)
    # Longest first; more at once than there are processors would gain nothing.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda sync: sync(layout), (_nova, _keystone, _cinder, _glance, _neutron, _placement)))
    start(layout, [service for service in APIS if service.name == "keystone"])
    _run(layout, layout.python, HERE / "seed.py", layout.folder, "accounts")
    start_all(layout)
    _run(layout, layout.python, HERE / "seed.py", layout.folder, "resources")


def _mariadb_options(layout: Layout) -> list[str]:
    return [
        "--no-defaults",
        "--user=root",
        f"--datadir={layout / 'mysql'}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]


def _sql(layout: Layout) -> str:
    databases = (f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;" for name in DATABASES)
    user = f"CREATE USER bed@'{HOST}' IDENTIFIED BY '{layout.secret}'; GRANT ALL ON *.* TO bed@'{HOST}';"
    return "".join([*databases, user])


# -- schemas


def _keystone(layout: Layout) -> None:
    manage = ["keystone-manage", "--config-file", layout / "etc/keystone/keystone.conf"]
    _run(layout, *manage, "db_sync")
    interfaces = [f"--bootstrap-{name}-url={layout.url('keystone')}/v3" for name in ("admin", "internal", "public")]
    secret = {"OS_BOOTSTRAP_PASSWORD": layout.secret}
    _run(layout, *manage, "bootstrap", f"--bootstrap-region-id={REGION}", *interfaces, more=secret)


def _glance(layout: Layout) -> None:
    _run(layout, "glance-manage", "--config-file", layout / "etc/glance/glance-api.conf", "db_sync")


def _placement(layout: Layout) -> None:
    _run(layout, "placement-manage", "--config-file", layout / "etc/placement/placement.conf", "db", "sync")


def _nova(layout: Layout) -> None:
    manage = ["nova-manage", "--config-file", layout / "etc/nova/nova.conf"]
    _run(layout, *manage, "api_db", "sync")
    _run(layout, *manage, "cell_v2", "map_cell0", "--database_connection", layout.database("nova_cell0"))
    # Without options it takes the database and the bus of the configuration file.
    _run(layout, *manage, "cell_v2", "create_cell", "--name", "cell1")
    _run(layout, *manage, "db", "sync")


def _neutron(layout: Layout) -> None:
    # Its create_all makes another schema than its migrations do.
    _run(layout, "neutron-db-manage", "--config-file", layout / "etc/neutron/neutron.conf", "upgrade", "heads")


def _cinder(layout: Layout) -> None:
    _run(layout, "cinder-manage", "--config-file", layout / "etc/cinder/cinder.conf", "db", "sync")


def _run(layout: Layout, *argv: str | Path, stdin: str | None = None, more: dict[str, str] | None = None) -> None:
    variables = {**layout.variables(), **(more or {})}
    done = subprocess.run(
        _resolved(argv, variables["PATH"]),
        input=stdin or "",
        env=variables,
        cwd=layout / "run",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BedError(f"{argv[0]} failed with {done.returncode}:\n{done.stdout[-4000:]}")


def _resolved(argv: Sequence[str | Path], path: str) -> list[str | Path]:
    return [shutil.which(argv[0], path=path) or argv[0], *argv[1:]]


def main(folder: str) -> int:
    """Initialise one bed."""
    try:
        initialise(Layout.load(Path(folder)))
    except BedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
