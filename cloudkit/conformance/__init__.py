"""The suite that every driver passes, as a pytest plug-in.

A driver joins with ``pytest_plugins = ["cloudkit.conformance"]`` in its tests' top conftest.py, and a test module:

    import pytest

    import cloudkit
    from cloudkit.conformance import Target
    from cloudkit.conformance.suite import *

    @pytest.fixture(scope="session")
    def conformance_target():
        return Target(name="toy", connect=lambda: cloudkit.connect("toy://"))

What the driver declares decides which tests run: a test is skipped for an undeclared capability and for nothing
else. At the end of the run the matrix is printed; a capability that is declared and has no passed test fails the run.

PYTEST_DONT_REWRITE: this module may be imported before pytest sees that it is a plug-in; those below are rewritten.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cloudkit.conformance.matrix import Matrix, from_data, save, to_data
from cloudkit.conformance.target import IDLE_IMAGE, Target

__all__ = ["IDLE_IMAGE", "Target"]

_LAB = "conformance_lab"
_MATRIX = pytest.StashKey[Matrix]()
_COLUMNS = "cloudkit_conformance"
_PARTIAL = pytest.StashKey[bool]()
"""Whether only a part of the suite was asked for."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The folder for reports."""
    group = parser.getgroup("cloudkit conformance")
    group.addoption(
        "--conformance-report",
        metavar="DIR",
        type=Path,
        help="write each back-end's column of the matrix to DIR; `python -m cloudkit.conformance DIR` prints them",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker, and an empty matrix."""
    config.addinivalue_line("markers", "capability(*names): needs a driver that declares all of these")
    config.stash[_MATRIX] = Matrix()
    config.stash[_PARTIAL] = any("::" in argument for argument in config.args)


@pytest.fixture(scope="module")
def conformance_lab(
    conformance_target: Target, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Any]:
    """What the tests of one target share; at its end the target is as it was before."""
    from cloudkit.conformance.lab import Lab

    with Lab(conformance_target, tmp_path_factory.mktemp("conformance")) as lab:
        request.config.stash[_MATRIX].add(conformance_target, lab.capabilities)
        yield lab


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Note that a part of the suite does not run."""
    for item in items:
        if _LAB in getattr(item, "fixturenames", ()):
            item.config.stash[_PARTIAL] = True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how a test ended."""
    report = yield
    lab = getattr(item, "funcargs", {}).get(_LAB)
    if lab is not None and not report.skipped and (report.failed or report.when == "call"):
        capabilities = {str(name) for marker in item.iter_markers("capability") for name in marker.args}
        item.config.stash[_MATRIX].note(lab.target.name, item.nodeid, capabilities, report.passed)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A declared capability without a passed test fails the run."""
    matrix = session.config.stash[_MATRIX]
    is_partial = bool(session.config.stash[_PARTIAL] or session.shouldfail or session.shouldstop)
    # Columns from processes of pytest-xdist were judged there, too.
    joined = session.config.pluginmanager.hasplugin("dsession")
    for column in matrix.columns.values():
        column.whole = not is_partial and (column.whole or not joined)
    told: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if told is not None:
        told[_COLUMNS] = [to_data(column) for column in matrix.columns.values()]
        return
    if exitstatus == pytest.ExitCode.OK and matrix.gaps():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    folder: Path | None = session.config.getoption("--conformance-report")
    if folder is not None:
        for column in matrix.columns.values():
            save(column, folder)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a process of pytest-xdist has run."""
    for data in getattr(node, "workeroutput", {}).get(_COLUMNS, ()):
        node.config.stash[_MATRIX].join(from_data(data))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the matrix."""
    matrix = config.stash[_MATRIX]
    if matrix.columns:
        terminalreporter.section("conformance: tests passed by capability and back-end")
        terminalreporter.write_line(matrix.table())
        for gap in matrix.gaps():
            terminalreporter.write_line(gap, red=True)
