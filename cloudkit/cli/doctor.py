"""``cloudkit doctor``: can this machine, or this cloud, do what is needed; and what to do where it cannot.

Each line is ok, warn, fail or info. What the cloud cannot do without fails, and makes the exit status 1. For the
fake and for clouds on other hosts nothing of this machine matters, so that nothing of it is shown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudkit.cli.examination import Examination
    from cloudkit.host import Check

_NAME_WIDTH = 18
_INDENT = " " * (_NAME_WIDTH + 7)
_LEAST_WIDTH = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "--cloud",
        metavar="NAME",
        help="a profile or a URL; by default the configured cloud, else this machine's own libvirt",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    """Look; 0 unless something that the cloud needs fails."""
    from cloudkit.cli.examination import examine_cloud

    found = examine_cloud(args.cloud)
    if args.json:
        import json

        print(json.dumps(found.as_dict(), indent=2))
    else:
        _print(found)
    sys.stdout.flush()
    return 0 if found.ok else 1


def _print(found: Examination) -> None:
    print(f"{found.title}\n")
    for check in found.checks:
        _print_check(check)
    print(f"\n{_verdict(found)}")


def _print_check(check: Check) -> None:
    first, *others = _wrapped(check.summary)
    print(f"{check.level.value:<5} {check.name:<{_NAME_WIDTH}} {first}")
    for line in others:
        print(f"{_INDENT}{line}")
    for number, line in enumerate(_wrapped(check.hint) if check.hint else ()):
        print(f"{_INDENT}{'→ ' if number == 0 else '  '}{line}")


def _wrapped(text: str) -> Sequence[str]:
    """As lines that fit the terminal; where there is none, one line, for programs like grep."""
    if not sys.stdout.isatty():
        return [text]
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns - len(_INDENT) - 2
    return textwrap.wrap(text, max(width, _LEAST_WIDTH), break_long_words=False, break_on_hyphens=False) or [""]


def _verdict(found: Examination) -> str:
    failed = [check.name for check in found.checks if check.level == "fail"]
    if failed:
        return f"{found.name} cannot be used as it is: {', '.join(failed)}."
    warned = [check.name for check in found.checks if check.level == "warn"]
    return f"{found.name} can be used." + (f" Warnings: {', '.join(warned)}." if warned else "")
