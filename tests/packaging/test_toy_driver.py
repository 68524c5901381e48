"""A third party's driver, in a distribution of its own, joins by one entry point and one fixture."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest
from sources import ROOT

TOY = Path(__file__).parent / "toy_driver"


@pytest.fixture(scope="module")
def toy_venv(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with the wheel, the toy's distribution, and pytest from the one that runs this."""
    folder = tmp_path_factory.mktemp("toy")
    source = folder / "toy_driver"
    shutil.copytree(TOY, source, ignore=shutil.ignore_patterns("__pycache__"))
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", venv], check=True)
    # What the surrounding environment has beyond the standard library: pytest, hatchling.
    site = next(path for path in sys.path if path.endswith("site-packages"))
    (path,) = venv.glob("lib/*/site-packages")
    (path / "surrounding.pth").write_text(f"{site}\n")
    (wheel,) = built.glob("*.whl")
    for what in (wheel, source):
        pip = [venv / "bin/python", "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
        done = subprocess.run([*pip, "--force-reinstall", what], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return venv


def test_the_suite_passes_on_the_toy(toy_venv: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            toy_venv / "bin/python",
            "-m",
            "pytest",
            "-q",
            "-rs",
            "-p",
            "no:cacheprovider",
            toy_venv.parent / "toy_driver/tests",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 100
    assert "failed" not in done.stdout.splitlines()[-1]
    reasons = re.findall(r"^SKIPPED .*?: (.*)$", done.stdout, re.MULTILINE)
    fine = ("is not declared", "its guests send no packets")
    assert [reason for reason in reasons if not reason.endswith(fine)] == []


def test_the_guides_examples_are_the_toys() -> None:
    code = without_blank_lines("\n".join(file.read_text() for file in (*TOY.rglob("*.py"), TOY / "pyproject.toml")))
    guide = (ROOT / "docs/guide/drivers.md").read_text()
    examples = re.findall(r"^```(?:python|toml)\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert len(examples) > 8
    for example in map(without_blank_lines, examples):
        # Methods are shown without their class.
        assert example in code or indent(example, "    ") in code


def without_blank_lines(text: str) -> str:
    return re.sub(r"\n\n+", "\n", text)
