"""libvirtd killed between each two steps of what the driver does: nothing is left over, and a second try works.

The steps are not listed here but counted: each verb is done once without a fault, then again with the daemon killed
before its first step, before its second …; then with it killed after each step whose answer is lost.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from bed import LibvirtBed
from libvirt_faults import Faults, inventory
from saved_guest import connect, deleting_all

from cloudkit import Cloud
from cloudkit.errors import CloudError, Unavailable
from cloudkit_libvirt import connection, records

NEVER = 10_000
ROWS: list[Row] = []


@dataclass
class Row:
    """One line of the table."""

    verb: str
    fault: str
    runs: int = 0
    done: int = 0
    told: Counter[str] = field(default_factory=Counter[str])
    left: Counter[str] = field(default_factory=Counter[str])
    second_try: int = 0

    def __str__(self) -> str:
        told = ", ".join(f"{name} {count}" for name, count in sorted(self.told.items())) or "–"
        return (
            f"{self.verb:<22} {self.fault:<32} {self.runs:>4} {self.done:>5} {told:<20} "
            f"{self.left.total():>5} {self.second_try:>11}"
        )


class Table:
    """Prints the rows at the end of the run, where nothing is captured."""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        header = f"{'verb':<22} {'libvirtd is killed':<32} {'runs':>4} {'done':>5} {'told':<20} "
        header += f"{'left':>5} {'second try':>11}"
        for line in ("", header, "-" * len(header), *map(str, ROWS)):
            terminalreporter.write_line(line)


@pytest.fixture(scope="module", autouse=True)
def table(request: pytest.FixtureRequest) -> None:
    request.config.pluginmanager.register(Table())


@pytest.fixture(scope="module")
def bench() -> Generator[Bench]:
    """A cloud with what all verbs need; made once, as it is only looked at."""
    from bare_driver import current_bed

    bed = current_bed()
    with Faults(bed).installed() as faults, connect(bed) as cloud, deleting_all(cloud):
        cloud.networks.create("net", cidr="172.16.1.0/24")
        cloud.images.upload("blank", data=io.BytesIO(bytes(4096)), disk_format="raw")
        cloud.flavors.create("small", vcpus=1, ram_mib=32, disk_gib=1)
        cloud.flavors.create("large", vcpus=1, ram_mib=48, disk_gib=2)
        yield Bench(bed, cloud, faults)
    assert bed.leftovers() == []


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    # A writer that died is waited for, and so is a daemon that does not come back: neither lives longer here.
    monkeypatch.setattr(records, "UNFINISHED_S", 0.3)
    monkeypatch.setattr(connection, "PATIENCE_S", 5.0)


@dataclass(frozen=True)
class Bench:
    bed: LibvirtBed
    cloud: Cloud
    faults: Faults

    def server(self, **options: Any) -> Any:
        spec = {"image": "blank", "flavor": "small", "networks": "none", **options}
        return self.cloud.servers.create("server", **spec)


@dataclass(frozen=True)
class Task:
    """A verb on trial.

    Attributes:
        prepare: makes what the verb needs, before any fault; its result is handed to ``act``.
        act: the verb.
    """

    name: str
    prepare: Callable[[Bench], Any]
    act: Callable[[Bench, Any], object]


def _stopped_server_and_volume(bench: Bench) -> tuple[Any, Any]:
    server = bench.cloud.servers.stop(bench.server(), hard=True)
    return server, bench.cloud.volumes.create("volume", size_gib=1)


def _running_server_and_volume(bench: Bench) -> tuple[Any, Any]:
    return bench.server(), bench.cloud.volumes.create("volume", size_gib=1)


def _attached(bench: Bench) -> Any:
    server, volume = _running_server_and_volume(bench)
    bench.cloud.volumes.attach(volume, server)
    return volume


TASKS = (
    Task("create a port", lambda _: None, lambda bench, _: bench.cloud.ports.create("port", network="net")),
    Task(
        "delete a port",
        lambda bench: bench.cloud.ports.create("port", network="net"),
        lambda bench, port: bench.cloud.ports.delete(port),
    ),
    Task("create a server", lambda _: None, lambda bench, _: bench.server()),
    Task("delete a server", lambda bench: bench.server(), lambda bench, server: bench.cloud.servers.delete(server)),
    Task(
        "stop a server",
        lambda bench: bench.server(),
        lambda bench, server: bench.cloud.servers.stop(server, hard=True),
    ),
    Task(
        "start a server",
        lambda bench: bench.cloud.servers.stop(bench.server(), hard=True),
        lambda bench, server: bench.cloud.servers.start(server),
    ),
    Task(
        "attach a volume",
        _stopped_server_and_volume,
        lambda bench, pair: bench.cloud.volumes.attach(pair[1], pair[0]),
    ),
    Task(
        "attach to a running one",
        _running_server_and_volume,
        lambda bench, pair: bench.cloud.volumes.attach(pair[1], pair[0]),
    ),
    # A running one would be asked to shut down first, and has no system that could.
    Task(
        "resize a server",
        lambda bench: bench.cloud.servers.stop(bench.server(), hard=True),
        lambda bench, server: bench.cloud.servers.resize(server, "large"),
    ),
    Task(
        "create a snapshot",
        lambda bench: bench.cloud.volumes.create("volume", size_gib=1),
        lambda bench, volume: bench.cloud.snapshots.create("snapshot", volume=volume),
    ),
    Task(
        "snapshot of what runs",
        _attached,
        lambda bench, volume: bench.cloud.snapshots.create("snapshot", volume=volume, force=True),
    ),
)


@contextmanager
def clean(bench: Bench) -> Iterator[None]:
    """Delete what a run makes beyond what the bench has."""
    cloud = bench.cloud
    try:
        yield
    finally:
        for collection in (cloud.servers, cloud.snapshots, cloud.volumes, cloud.ports):
            for value in list(collection.list()):
                collection.delete(value, missing_ok=True)


@pytest.mark.parametrize("lose_answer", [False, True], ids=["between-steps", "answer-lost"])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name.replace(" ", "-"))
def test_the_daemon_is_killed_and_started_again(bench: Bench, task: Task, lose_answer: bool) -> None:
    row = Row(task.name, "after a step, unanswered" if lose_answer else "before a step")
    ROWS.append(row)
    with clean(bench):
        argument = task.prepare(bench)
        with bench.faults.armed(NEVER):
            task.act(bench, argument)
        steps, done = list(bench.faults.steps), inventory(bench.bed)
    empty = inventory(bench.bed)
    for at, step in enumerate(steps):
        if lose_answer and step in ("StorageVol.upload", "Stream.send"):
            # What a lost answer of an upload leaves is what a kill before the next step leaves.
            continue
        row.runs += 1
        with clean(bench):
            argument = task.prepare(bench)
            before = inventory(bench.bed)
            try:
                with bench.faults.armed(at, lose_answer=lose_answer):
                    task.act(bench, argument)
            except CloudError as error:
                row.told[type(error).__name__] += 1
                assert isinstance(error, Unavailable), f"at {at} {step}: {error!r}"
                row.left += inventory(bench.bed) - before
                task.act(bench, argument)
                row.second_try += 1
            else:
                row.done += 1
            row.left += inventory(bench.bed) - done
            row.left += done - inventory(bench.bed)
            assert not row.left, f"at {at} {step}: {row}\n{row.left}"
        assert inventory(bench.bed) == empty, f"at {at} {step}"
    assert row.runs
