"""``python -m cloudkit.conformance DIR…``: print the reports of several runs as one matrix."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cloudkit.conformance.matrix import load, table


def main(arguments: list[str] | None = None) -> int:
    """Print the matrix; 1 when a test has failed or a declared capability has none."""
    parser = argparse.ArgumentParser(
        prog="python -m cloudkit.conformance",
        description="Print the matrix of runs with --conformance-report DIR.",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="what --conformance-report named")
    folders: list[Path] = parser.parse_args(arguments).folders
    try:
        columns = {column.name: column for folder in folders for column in load(folder)}
    except ValueError as error:
        parser.error(str(error))
    if not columns:
        parser.error(f"there is no report in {', '.join(map(str, folders))}")
    gaps = [gap for column in columns.values() for gap in column.gaps()]
    sys.stdout.write("\n".join([table(columns.values()), *gaps]) + "\n")
    return int(bool(gaps) or any(column.failed for column in columns.values()))


if __name__ == "__main__":
    sys.exit(main())
