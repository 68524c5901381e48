"""The files of this tree, without what tools leave in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PARTS = (".ci", "README.md", "cloudkit", "docs", "drivers", "pyproject.toml", "tests", "tox.ini")


def text_files() -> Iterator[tuple[Path, str]]:
    """Every text file with its content."""
    for part in PARTS:
        path = ROOT / part
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                try:
                    yield file, file.read_text()
                except UnicodeDecodeError:
                    continue
