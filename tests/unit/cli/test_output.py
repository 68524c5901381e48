from __future__ import annotations

import io
import sys

import pytest

from cloudkit.cli.output import step_list, summary
from cloudkit.cli.steps import Step, StepFailed, StepNotOffered, StepNotReached, StepPassed, StepStarted
from cloudkit.errors import CloudError

BAKE = Step("bake", lambda: "")
ENDINGS = (
    StepPassed(BAKE, 1.25, "brown [very]"),
    StepNotOffered(BAKE, ("oven", "flour")),
    StepFailed(BAKE, 0.5, CloudError("burnt", hint="Lower the heat.")),
    StepFailed(BAKE, 0.25, KeyboardInterrupt()),
    StepFailed(BAKE, 0.25, ZeroDivisionError()),
    StepNotReached(BAKE),
)
TOLD = (
    ("passed", "1.25 s", "brown [very]"),
    ("not offered: oven, flour",),
    ("failed", "0.50 s", "burnt", "Lower the heat."),
    ("interrupted", "0.25 s"),
    ("failed", "0.25 s", "ZeroDivisionError"),
    ("not reached",),
)


@pytest.mark.parametrize(("event", "words"), list(zip(ENDINGS, TOLD, strict=True)))
def test_plain_lines(event: StepPassed, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with step_list() as observer:
        observer(StepStarted(BAKE, 1))
        observer(event)
    out = capsys.readouterr().out
    assert all(word in out for word in ("bake", *words))
    assert "\x1b" not in out


@pytest.mark.parametrize(("event", "words"), list(zip(ENDINGS, TOLD, strict=True)))
def test_live_table(event: StepPassed, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich", reason="it comes with the cli extra")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with step_list() as observer:
        observer(StepStarted(BAKE, 1))
        observer(event)
    out = sys.stdout.getvalue()
    assert all(word in out for word in ("1. bake", *words))
    assert "\x1b[" in out


def test_a_terminal_without_rich_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with step_list() as observer:
        observer(ENDINGS[0])
    assert "\x1b" not in capsys.readouterr().out


def test_the_summary_counts_what_was_not_offered_apart() -> None:
    assert summary(ENDINGS) == "1 passed, 3 failed, 1 not offered, 1 not reached, 2.25 s"
    assert summary(ENDINGS[:1]) == "1 passed, 0 failed, 1.25 s"
