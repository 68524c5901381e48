"""``cloudkit sweep``: list what scopes have left behind; with ``--delete``, delete what may go.

A thing may go when its scope has expired, when the process that opened the scope is dead, or when the scope is
named. What cloudkit has not marked is never listed and never touched.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudkit import Leftover

_HEADINGS = ("KIND", "NAME", "ID", "SCOPE", "OWNER", "EXPIRES", "STATE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--cloud", metavar="NAME", help="a profile or a URL; by default the configured cloud")
    parser.add_argument("--delete", action="store_true", help="delete what is removable")
    parser.add_argument(
        "--name", metavar="SCOPE", action="append", default=[], help="count this scope as removable (repeatable)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """List or delete; 0 unless a deletion failed."""
    from cloudkit import connect
    from cloudkit.cli.story import remove_folders

    with connect(args.cloud) as cloud:
        leftovers = cloud.sweep(delete=args.delete, names=tuple(args.name))
    if args.delete:
        remove_folders(args.name)
    rows = [_row(leftover) for leftover in leftovers]
    if args.json:
        import json

        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows, args.delete)
    return 1 if any(leftover.error for leftover in leftovers) else 0


def _row(leftover: Leftover) -> dict[str, Any]:
    value, scope = leftover.value, leftover.scope
    return {
        "kind": value.kind.value,
        "name": value.name,
        "id": value.id,
        "scope": scope.name,
        "owner": scope.owner,
        "expires_at": scope.expires_at.isoformat(timespec="seconds"),
        "removable": leftover.removable,
        "reason": leftover.reason,
        "deleted": leftover.deleted,
        "error": str(leftover.error) if leftover.error else None,
    }


def _print_table(rows: Sequence[dict[str, Any]], delete: bool) -> None:
    if not rows:
        print("Nothing is left.")
        return
    lines = [_HEADINGS, *((*(row[key] or "-" for key in _COLUMNS), _state(row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS) - 1)]
    for line in lines:
        print(*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1], sep="  ")
    removable = sum(row["removable"] and not row["deleted"] for row in rows)
    if delete:
        deleted = sum(row["deleted"] for row in rows)
        print(f"\n{deleted} deleted, {len(rows) - deleted} left.")
    elif removable:
        print(f"\n{removable} of {len(rows)} can be deleted by --delete.")


_COLUMNS = ("kind", "name", "id", "scope", "owner", "expires_at")


def _state(row: dict[str, Any]) -> str:
    if row["deleted"]:
        return "deleted"
    if row["error"]:
        return f"not deleted: {row['error'].splitlines()[0]}"
    return f"{'removable' if row['removable'] else 'kept'}: {row['reason']}"
