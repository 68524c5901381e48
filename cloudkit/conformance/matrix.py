"""Which capability has how many passed tests on which back-end; printed, kept in files, merged."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudkit.conformance.target import Target
from cloudkit.driver import CAPABILITIES

BASICS = "what every driver has"
"""The row of the tests that need no capability."""

FORMAT = "cloudkit-conformance-1"


@dataclass
class Column:
    """What one back-end declares, and the tests behind it.

    Attributes:
        passed: node id of each passed test → the capabilities that it is about.
        failed: the same for the others.
        whole: all of the suite ran; of a part, no cell can be called empty.
    """

    name: str
    declared: frozenset[str]
    never: frozenset[str] = frozenset()
    passed: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    failed: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    whole: bool = False

    def cell(self, row: str) -> str:
        """The number of passed tests, with that of the failed ones if there are any; why there are none."""
        if row != BASICS and row not in self.declared:
            return "never" if row in self.never else "-"
        passed, failed = (sum(row in rows for rows in tests.values()) for tests in (self.passed, self.failed))
        return f"{passed} ({failed} failed)" if failed else str(passed)

    def gaps(self) -> list[str]:
        """What is declared and has no passed test."""
        if not self.whole:
            return []
        tested = {row for rows in self.passed.values() for row in rows}
        return [
            f"{self.name} declares {name}, and no test of it has passed" for name in sorted(self.declared - tested)
        ]


class Matrix:
    """The columns of one run."""

    def __init__(self) -> None:
        self.columns: dict[str, Column] = {}

    def add(self, target: Target, declared: frozenset[str]) -> None:
        """A target that tests are about to run against."""
        self.columns.setdefault(target.name, Column(target.name, declared, target.never))

    def note(self, name: str, test: str, capabilities: Collection[str], passed: bool) -> None:
        """How a test ended; a failure in its clean-up takes back that it passed.

        Those of a lab that is not the plug-in's own have no column.
        """
        column = self.columns.get(name)
        if column is None:
            return
        rows = sorted(capabilities) or [BASICS]
        if passed and test not in column.failed:
            column.passed[test] = rows
        elif not passed:
            column.passed.pop(test, None)
            column.failed[test] = rows

    def join(self, other: Column) -> None:
        """What another process has run, perhaps of the same target."""
        column = self.columns.setdefault(other.name, Column(other.name, other.declared, other.never, whole=True))
        column.passed.update(other.passed)
        column.failed.update(other.failed)
        column.whole &= other.whole

    def gaps(self) -> list[str]:
        """What is declared and has no passed test, over all columns."""
        return [gap for column in self.columns.values() for gap in column.gaps()]

    def table(self) -> str:
        """All columns side by side."""
        return table(self.columns.values())


def table(columns: Iterable[Column]) -> str:
    """Columns side by side, a capability a line; a total below."""
    columns = tuple(columns)
    lines = [["", *(column.name for column in columns)]]
    lines += [[row, *(column.cell(row) for column in columns)] for row in (BASICS, *sorted(CAPABILITIES))]
    lines.append(["tests passed", *(str(len(column.passed)) for column in columns)])
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]).rstrip() for cells in lines
    )


# ---------------------------------------------------------------- as data, and in files


def to_data(column: Column) -> dict[str, Any]:
    """A column as what JSON can hold."""
    return {
        "name": column.name,
        "declared": sorted(column.declared),
        "never": sorted(column.never),
        "passed": column.passed,
        "failed": column.failed,
        "whole": column.whole,
    }


def from_data(data: dict[str, Any]) -> Column:
    """The column of such data."""
    rest = {name: value for name, value in data.items() if name not in ("declared", "never")}
    return Column(declared=frozenset(data["declared"]), never=frozenset(data["never"]), **rest)


def save(column: Column, folder: Path) -> None:
    """Keep a column; a later run of the same target replaces it."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {"format": FORMAT, **to_data(column)}
    (folder / f"{column.name.replace('/', '-')}.json").write_text(json.dumps(data, indent=1))


def load(folder: Path) -> list[Column]:
    """The columns that were kept in a folder; raises ValueError for a file that is none."""
    return [_column(file) for file in sorted(folder.glob("*.json"))]


def _column(file: Path) -> Column:
    try:
        data: dict[str, Any] = json.loads(file.read_text())
        if data.pop("format") != FORMAT:
            raise ValueError("its format is another one")
        return from_data(data)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{file} is no report of a conformance run: {error}") from error
