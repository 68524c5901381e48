"""What no file of this tree may say."""

from __future__ import annotations

import re

import pytest
from sources import ROOT, text_files

FORBIDDEN = {
    # The name without -sdk is somebody else's distribution, with the same import name.
    "another product's name": r"pip install (?:-\S+ |['\"])*cloudkit(?!-sdk)",
    "a path of the machine it was written on": rf"{re.escape(str(ROOT))}/|/wor[k]/|/opt/ckven[v]",
    "a package index's host": r"\b(?:pypi|pythonhosted)\.org\b",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file, text in text_files()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_the_files_are_found() -> None:
    names = {file.relative_to(ROOT).as_posix() for file, _ in text_files()}
    assert {"pyproject.toml", "cloudkit/driver.py", "tests/packaging/test_text.py"} <= names
