"""``cloudkit token``: print a token of an OpenStack cloud, for use with curl.

    curl -H "X-Auth-Token: $(cloudkit token)" URL

Whoever has it can do what you can do until it expires: do not print it into logs.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--cloud", metavar="NAME", help="a profile or a URL; by default the configured cloud")
    parser.add_argument("--json", action="store_true", help="print what it is for and until when, too")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    from cloudkit import connect
    from cloudkit.cli.endpoints import access

    with connect(args.cloud) as cloud:
        granted = access(cloud)
    if args.json:
        import json

        about = {
            "token": granted.auth_token,
            "expires_at": granted.expires.isoformat(timespec="seconds"),
            "project_id": granted.project_id,
            "user_id": granted.user_id,
            "roles": sorted(granted.role_names or ()),
        }
        print(json.dumps(about, indent=2))
    else:
        print(granted.auth_token)
    return 0
