"""``cloudkit host``: keep a cloud alive on the machine that its servers run on.

``install`` has the machine do it by itself: what the cloud needs comes back after a reboot, and after what another
program has changed. ``uninstall`` removes exactly that. ``reconcile`` does it once, now.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "action", choices=("install", "uninstall", "reconcile"), metavar="install|uninstall|reconcile"
    )
    parser.add_argument(
        "--cloud",
        metavar="NAME",
        help="a profile or a URL; by default the configured cloud, else this machine's own libvirt",
    )


def run(args: argparse.Namespace) -> int:
    """Do it, and print what was done."""
    from cloudkit._plugins import missing_extra
    from cloudkit.cli.examination import THIS_MACHINE
    from cloudkit.config import configured_cloud, resolve
    from cloudkit.errors import Unsupported

    name = args.cloud or configured_cloud() or THIS_MACHINE
    profile = resolve(name)
    plugin = profile.plugin
    if plugin.host_upkeep is None:
        raise Unsupported(f"nothing of the cloud {profile.name!r} has to be kept on a host", driver=plugin.name)
    if missing := missing_extra(plugin):
        raise missing
    host = plugin.host_upkeep(profile.request)
    lines: Sequence[str] = ()
    if args.action == "install":
        lines = host.install(_command(name))
    elif args.action == "uninstall":
        lines = host.uninstall() or ["Nothing was installed."]
    else:
        host.reconcile()
    for line in lines:
        print(line)
    return 0


def _command(name: str) -> list[str]:
    """What does ``reconcile`` for the same cloud from anywhere: with this Python and this configuration."""
    from cloudkit._config_files import find_config_file

    # A URL says all; without -P the working folder would be searched for modules.
    file = None if "://" in name else find_config_file()
    setting = [] if file is None else ["env", f"CLOUDKIT_CONFIG={file.path.absolute()}"]
    return [*setting, sys.executable, "-P", "-m", "cloudkit.cli", "host", "reconcile", "--cloud", name]
