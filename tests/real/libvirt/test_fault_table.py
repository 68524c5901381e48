"""libvirtd killed between each two steps of what the driver does: nothing is left over, and a second try works.

The steps are not listed here but counted: each verb is done once without a fault, then again with the daemon killed
before its first step, before its second …; then with it killed after each step whose answer is lost.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from bed import LibvirtBed
from libvirt_faults import Faults, inventory
from saved_guest import connect, deleting_all

from cloudkit import Cloud
from cloudkit.errors import CloudError, Unavailable
from cloudkit_libvirt import connection, records, server_base

NEVER = 10_000
UPLOAD = ("StorageVol.upload", "Stream.send")
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
    # No guest here hears the power button.
    monkeypatch.setattr(server_base, "SHUTDOWN_S", 0.0)


@dataclass(frozen=True)
class Bench:
    bed: LibvirtBed
    cloud: Cloud
    faults: Faults

    def delete_all(self) -> None:
        """Delete what a task makes beyond what the bench has."""
        cloud = self.cloud
        for collection in (cloud.servers, cloud.snapshots, cloud.backups, cloud.volumes, cloud.ports):
            for value in list(collection.list()):
                collection.delete(value, missing_ok=True)

    @contextmanager
    def deleting_all(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.delete_all()

    @contextmanager
    def network(self) -> Iterator[None]:
        """A network: with one, libvirtd takes half a second longer to start."""
        network = self.cloud.networks.create("net", cidr="172.16.1.0/24")
        try:
            yield
        finally:
            self.cloud.networks.delete(network)


@dataclass(frozen=True)
class Task:
    """A verb on trial.

    Attributes:
        prepare: makes what the verb needs, before any fault; its result is handed to ``act`` and ``undo``.
        act: the verb.
        undo: leads back to what ``prepare`` has made; without it, that is deleted and made anew.
        on_network: whether they need a network.
    """

    name: str
    prepare: Callable[[Bench], Any]
    act: Callable[[Bench, Any], object]
    undo: Callable[[Bench, Any], object] | None = None
    on_network: bool = False

    def put_back(self, bench: Bench, argument: Any) -> Any:
        """What ``act`` is called with the next time."""
        if self.undo is not None:
            self.undo(bench, argument)
            return argument
        bench.delete_all()
        return self.prepare(bench)


def _nothing(*_: Any) -> None:
    pass


def _port(bench: Bench) -> Any:
    return bench.cloud.ports.create("port", network="net")


def _server(bench: Bench) -> Any:
    return bench.cloud.servers.create("server", image="blank", flavor="small", networks="none")


def _stopped(bench: Bench) -> Any:
    return bench.cloud.servers.stop(_server(bench), hard=True)


def _volume(bench: Bench) -> Any:
    return bench.cloud.volumes.create("volume", size_gib=1)


def _plugged(bench: Bench, server: Any) -> Any:
    volume = _volume(bench)
    bench.cloud.volumes.attach(volume, server)
    return volume


def _with_interface(bench: Bench) -> Any:
    return bench.cloud.servers.attach_interface(_stopped(bench), "net")


def _backup(bench: Bench) -> Any:
    return bench.cloud.backups.create("backup", volume=_volume(bench))


# A running one would be asked to shut down first, or to let go of a disk, and has no system that could.
TASKS = (
    Task("create a port", _nothing, lambda bench, _: _port(bench), on_network=True),
    Task("delete a port", _port, lambda bench, port: bench.cloud.ports.delete(port), on_network=True),
    Task("create a server", _nothing, lambda bench, _: _server(bench)),
    Task("delete a server", _server, lambda bench, server: bench.cloud.servers.delete(server)),
    Task(
        "stop a server",
        _server,
        lambda bench, server: bench.cloud.servers.stop(server, hard=True),
        lambda bench, server: bench.cloud.servers.start(server),
    ),
    Task(
        "start a server",
        _stopped,
        lambda bench, server: bench.cloud.servers.start(server),
        lambda bench, server: bench.cloud.servers.stop(server, hard=True),
    ),
    Task(
        "resize a server",
        _stopped,
        lambda bench, server: bench.cloud.servers.resize(server, "large", confirm=False),
        lambda bench, server: bench.cloud.servers.revert_resize(server),
    ),
    Task(
        "confirm a resize",
        lambda bench: bench.cloud.servers.resize(_stopped(bench), "large", confirm=False),
        lambda bench, server: bench.cloud.servers.confirm_resize(server),
    ),
    Task(
        "rebuild a server",
        _stopped,
        lambda bench, server: bench.cloud.servers.rebuild(server, "blank"),
        _nothing,
    ),
    Task(
        "rescue a server",
        _stopped,
        lambda bench, server: bench.cloud.servers.rescue(server),
        lambda bench, server: bench.cloud.servers.stop(bench.cloud.servers.unrescue(server), hard=True),
    ),
    Task(
        "unrescue a server",
        lambda bench: bench.cloud.servers.rescue(_stopped(bench)),
        lambda bench, server: bench.cloud.servers.unrescue(server),
        lambda bench, server: bench.cloud.servers.rescue(server),
    ),
    Task(
        "attach a volume",
        lambda bench: (_volume(bench), _stopped(bench)),
        lambda bench, pair: bench.cloud.volumes.attach(*pair),
        lambda bench, pair: bench.cloud.volumes.detach(pair[0]),
    ),
    Task(
        "detach a volume",
        lambda bench: _plugged(bench, _stopped(bench)),
        lambda bench, volume: bench.cloud.volumes.detach(volume),
        lambda bench, volume: bench.cloud.volumes.attach(volume, "server"),
    ),
    Task(
        "attach to a running one",
        lambda bench: (_volume(bench), _server(bench)),
        lambda bench, pair: bench.cloud.volumes.attach(*pair),
    ),
    Task(
        "attach an interface",
        _server,
        lambda bench, server: bench.cloud.servers.attach_interface(server, "net"),
        on_network=True,
    ),
    Task(
        "detach an interface",
        _with_interface,
        lambda bench, port: bench.cloud.servers.detach_interface("server", port),
        on_network=True,
    ),
    Task("extend a volume", _volume, lambda bench, volume: bench.cloud.volumes.extend(volume, 2)),
    Task(
        "extend what runs",
        lambda bench: _plugged(bench, _server(bench)),
        lambda bench, volume: bench.cloud.volumes.extend(volume, bench.cloud.volumes.get(volume).size_gib + 1),
        _nothing,
    ),
    Task(
        "create a snapshot",
        _volume,
        lambda bench, volume: bench.cloud.snapshots.create("snapshot", volume=volume),
        lambda bench, _: bench.cloud.snapshots.delete("snapshot"),
    ),
    Task(
        "snapshot of what runs",
        lambda bench: _plugged(bench, _server(bench)),
        lambda bench, volume: bench.cloud.snapshots.create("snapshot", volume=volume, force=True),
        lambda bench, _: bench.cloud.snapshots.delete("snapshot"),
    ),
    Task(
        "create a backup",
        _volume,
        lambda bench, volume: bench.cloud.backups.create("backup", volume=volume),
        lambda bench, _: bench.cloud.backups.delete("backup"),
    ),
    Task(
        "restore a backup",
        _backup,
        lambda bench, backup: bench.cloud.backups.restore(backup, "volume"),
    ),
)


@pytest.mark.parametrize("lose_answer", [False, True], ids=["between-steps", "answer-lost"])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name.replace(" ", "-"))
def test_the_daemon_is_killed_and_started_again(bench: Bench, task: Task, lose_answer: bool) -> None:
    row = Row(task.name, "after a step, unanswered" if lose_answer else "before a step")
    ROWS.append(row)
    with bench.network() if task.on_network else nullcontext():
        _kill_at_each_step(bench, task, row, lose_answer)
    assert row.runs


def _kill_at_each_step(bench: Bench, task: Task, row: Row, lose_answer: bool) -> None:
    empty = inventory(bench.bed)
    with bench.deleting_all():
        argument = task.prepare(bench)
        before = inventory(bench.bed)
        with bench.faults.armed(NEVER):
            task.act(bench, argument)
        steps, done = list(bench.faults.steps), inventory(bench.bed)
        for at, step in enumerate(steps):
            # What a lost answer of an upload leaves is what a kill before the next step leaves; and of uploads in a
            # row the first one stands for all.
            if step in UPLOAD and (lose_answer or (step in steps[max(0, at - 2) : at] and steps[at - 1] in UPLOAD)):
                continue
            argument = task.put_back(bench, argument)
            assert inventory(bench.bed) == before, f"before {at} {step}"
            row.runs += 1
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
            after = inventory(bench.bed)
            row.left += (after - done) + (done - after)
            assert not row.left, f"at {at} {step}: {row}\n{row.left}"
    assert inventory(bench.bed) == empty
