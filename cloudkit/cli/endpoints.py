"""``cloudkit endpoints``: the services of an OpenStack cloud and where they are, as its catalog tells them.

Those of the cloud's region and interface are what cloudkit uses; ``--all`` shows the others too.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudkit import Cloud

_COLUMNS = ("type", "name", "region", "interface", "url")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--cloud", metavar="NAME", help="a profile or a URL; by default the configured cloud")
    parser.add_argument("--all", action="store_true", help="those of other regions and interfaces too")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from cloudkit import connect

    with connect(args.cloud) as cloud:
        rows = catalog(cloud, args.all)
    if args.json:
        import json

        print(json.dumps(rows, indent=2))
        return 0
    lines = [tuple(name.upper() for name in _COLUMNS), *(tuple(row[name] for name in _COLUMNS) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    for line in lines:
        print(*(cell.ljust(width) for cell, width in zip(line, widths, strict=True)), sep="  ")
    return 0


def access(cloud: Cloud) -> Any:
    """What Keystone has granted; raises Unsupported for another driver's cloud."""
    from cloudkit.errors import Unsupported

    if cloud.driver_name != "openstack":
        raise Unsupported(
            f"the driver {cloud.driver_name!r} has no catalog and no tokens",
            driver=cloud.driver_name,
            hint="Name a cloud of OpenStack: --cloud NAME.",
        )
    session = cloud.native.session
    return session.auth.get_access(session)


def catalog(cloud: Cloud, everything: bool) -> list[dict[str, str]]:
    """The endpoints, by type."""
    granted = access(cloud)
    config = cloud.native.config
    wanted = None if everything else (config.get_region_name(), config.get_interface() or "public")
    rows: list[dict[str, str]] = []
    for service in granted.service_catalog.catalog:
        for endpoint in service["endpoints"]:
            region = endpoint.get("region") or ""
            if wanted is not None and (region, endpoint["interface"]) != (wanted[0] or region, wanted[1]):
                continue
            values = (service["type"], service.get("name") or "", region, endpoint["interface"], endpoint["url"])
            rows.append(dict(zip(_COLUMNS, map(str, values), strict=True)))
    return sorted(rows, key=lambda row: tuple(row[name] for name in _COLUMNS))
