"""The examples in the guide's page about testing are tests that pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "testing.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)

pytest_plugins = ["pytester"]


def test_every_example_passes(pytester: pytest.Pytester) -> None:
    files = {f"test_example_{number}": code for number, code in enumerate(EXAMPLES)}
    pytester.makepyfile(**files)
    result = pytester.runpytest("-Werror", "-pno:cacheprovider")
    result.assert_outcomes(passed="".join(EXAMPLES).count("def test_"))
    assert len(EXAMPLES) == 7
