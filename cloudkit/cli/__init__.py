"""The ``cloudkit`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cloudkit.cli import demo, doctor, endpoints, host, sweep, token, topology

INTERRUPTED = 130
"""What shells report for a program that Ctrl-C ended: 128 + SIGINT."""

_COMMANDS = {
    "demo": (demo, "run the story on a cloud and show each step"),
    "doctor": (doctor, "check whether this machine, or a cloud, can do what is needed"),
    "endpoints": (endpoints, "show the services of an OpenStack cloud and where they are"),
    "host": (host, "keep a libvirt host's network alive over reboots and other programs' changes"),
    "sweep": (sweep, "list what scopes have left behind, and delete it"),
    "token": (token, "print a token of an OpenStack cloud, for use with curl"),
    "topology": (topology, "show the networks of a cloud, and the routers and servers on them"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        args = _parser().parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    if args.verbose:
        _log_to_stderr(args.verbose)

    from cloudkit.errors import CloudError

    try:
        return int(args.run(args))
    except CloudError as error:
        if args.debug:
            raise
        print(f"cloudkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cloudkit: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cloudkit", description="One cloud API over a fake, libvirt and OpenStack.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (command, text) in _COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=command.__doc__)
        command.add_arguments(sub)
        sub.add_argument("-v", "--verbose", action="count", default=0, help="log to stderr; twice: each request")
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.set_defaults(run=command.run)
    return parser


class _Version(argparse.Action):
    """Reads the version only when it is asked for: importlib.metadata takes longer than all the rest."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"cloudkit {version('cloudkit-sdk')}")
        parser.exit()


def _log_to_stderr(verbosity: int) -> None:
    import logging

    # Only cloudkit's own loggers: what libraries say at DEBUG is nobody's promise about secrets.
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("cloudkit").setLevel(logging.DEBUG if verbosity > 1 else logging.INFO)
