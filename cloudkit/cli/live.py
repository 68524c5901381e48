"""The step list that rich draws: a spinner beside the running step, the table of results above it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cloudkit.cli.output import describe
from cloudkit.cli.steps import Observer, Outcome, StepStarted

_STYLES = {"passed": "green", "failed": "bold red", "interrupted": "bold red"}


@contextmanager
def live_list() -> Generator[Observer]:
    """An observer that redraws the list at every event; the last state stays on the screen."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("step", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("")

    def show(event: StepStarted | Outcome) -> None:
        running: list[RenderableType] = []
        if isinstance(event, StepStarted):
            running = [Spinner("dots", Text(f"{event.number}. {event.step.title}"))]
        else:
            word, duration, detail = describe(event)
            # Text, as a detail may hold square brackets, which are markup in a plain string.
            table.add_row(
                Text(word, _STYLES.get(word, "yellow")),
                event.step.title,
                duration,
                Text(detail, "dim", overflow="fold"),
            )
        live.update(Group(table, *running), refresh=True)

    with Live(table, refresh_per_second=10) as live:
        yield show
