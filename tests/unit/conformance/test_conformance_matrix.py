"""The matrix: counted, shown, kept in files, merged."""

from __future__ import annotations

from pathlib import Path

import pytest

import cloudkit
from cloudkit.conformance import Target
from cloudkit.conformance.__main__ import main
from cloudkit.conformance.attempts import ATTEMPTS
from cloudkit.conformance.matrix import BASICS, Column, Matrix, load, save, table
from cloudkit.driver import CAPABILITIES

PAUSE, SUSPEND = "servers.pause", "servers.suspend"


@pytest.fixture
def matrix() -> Matrix:
    matrix = Matrix()
    target = Target(name="toy", connect=lambda: cloudkit.connect("fake://"), never=frozenset({"routers"}))
    matrix.add(target, frozenset({PAUSE, SUSPEND}))
    return matrix


def line(text: str, row: str) -> list[str]:
    (found,) = [line for line in text.splitlines() if line.startswith(f"{row} ")]
    return found.removeprefix(row).split()


def test_a_cell_counts_the_passed_tests_of_a_capability(matrix: Matrix) -> None:
    matrix.note("toy", "one", {PAUSE}, passed=True)
    matrix.note("toy", "two", {PAUSE, SUSPEND}, passed=True)
    matrix.note("toy", "three", set(), passed=True)
    text = matrix.table()
    assert [line(text, row) for row in (PAUSE, SUSPEND, BASICS, "tests passed")] == [["2"], ["1"], ["1"], ["3"]]


def test_a_cell_tells_what_has_failed(matrix: Matrix) -> None:
    matrix.note("toy", "one", {PAUSE}, passed=True)
    matrix.note("toy", "two", {PAUSE}, passed=False)
    assert line(matrix.table(), PAUSE) == ["1", "(1", "failed)"]


def test_a_failure_in_the_clean_up_takes_back_that_it_passed(matrix: Matrix) -> None:
    matrix.note("toy", "one", {PAUSE}, passed=True)
    matrix.note("toy", "one", {PAUSE}, passed=False)
    matrix.note("toy", "one", {PAUSE}, passed=True)
    assert line(matrix.table(), PAUSE) == ["0", "(1", "failed)"]


def test_what_is_not_declared_is_told_from_what_can_never_be(matrix: Matrix) -> None:
    assert line(matrix.table(), "limits") == ["-"]
    assert line(matrix.table(), "routers") == ["never"]


def test_every_capability_has_a_line() -> None:
    first_words = [text.split("  ")[0].strip() for text in table([Column("toy", frozenset())]).splitlines()]
    assert first_words[1:] == [BASICS, *sorted(CAPABILITIES), "tests passed"]


def test_a_declared_capability_without_a_passed_test_is_a_gap(matrix: Matrix) -> None:
    matrix.note("toy", "one", {PAUSE}, passed=True)
    matrix.note("toy", "two", {SUSPEND}, passed=False)
    matrix.columns["toy"].whole = True
    assert matrix.gaps() == ["toy declares servers.suspend, and no test of it has passed"]


def test_a_part_of_the_suite_has_no_gaps(matrix: Matrix) -> None:
    assert matrix.gaps() == []


def test_columns_of_several_runs_are_shown_side_by_side(
    matrix: Matrix, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    matrix.note("toy", "one", {PAUSE}, passed=True)
    save(matrix.columns["toy"], tmp_path / "first")
    other = Column("a/b", frozenset({SUSPEND}), passed={"one": [SUSPEND], "two": [SUSPEND]}, whole=True)
    save(other, tmp_path / "second")
    assert load(tmp_path / "second") == [other]
    assert main([str(tmp_path / "first"), str(tmp_path / "second")]) == 0
    printed = capsys.readouterr().out
    assert [line(printed, row) for row in (PAUSE, SUSPEND)] == [["1", "-"], ["0", "2"]]


def test_a_later_run_of_a_target_replaces_the_earlier_one(tmp_path: Path) -> None:
    for count in (1, 2):
        save(Column("toy", frozenset({PAUSE}), passed={str(test): [PAUSE] for test in range(count)}), tmp_path)
    (column,) = load(tmp_path)
    assert len(column.passed) == 2


@pytest.mark.parametrize(
    "column",
    [
        Column("toy", frozenset({PAUSE}), whole=True),
        Column("toy", frozenset({PAUSE}), passed={"one": [PAUSE]}, failed={"two": [PAUSE]}),
    ],
    ids=["gap", "failure"],
)
def test_the_command_tells_by_its_status_that_something_is_wrong(
    column: Column, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(column, tmp_path)
    assert main([str(tmp_path)]) == 1
    assert ("no test of it has passed" in capsys.readouterr().out) is column.whole


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"format": "another"}'])
def test_the_command_refuses_what_is_no_report(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "report" in capsys.readouterr().err


def test_every_capability_can_be_attempted() -> None:
    assert ATTEMPTS.keys() == CAPABILITIES


def test_tests_of_a_lab_that_was_not_told_of_are_in_no_column(matrix: Matrix) -> None:
    matrix.note("another", "one", {PAUSE}, passed=True)
    assert list(matrix.columns) == ["toy"]
