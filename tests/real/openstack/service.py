"""Processes of the bed, started, stopped and looked after from inside its pod, where a pid is the pod's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from host_packages import BedError
from layout import Layout
from processes import Process

READY_S = 300
"""How long a service may take to become ready: a cold start beside other work."""
STOP_S = 30
POLL_S = 0.2
LOG_TAIL = 4000


def _nothing(_layout: Layout) -> None:
    """What most services need done before they start."""


@dataclass(frozen=True)
class Service:
    """One process of the bed."""

    name: str
    command: Callable[[Layout], Sequence[str | Path]]
    ready: Callable[[Layout], bool]
    variables: Callable[[Layout], Mapping[str, str]] = Layout.variables
    prepare: Callable[[Layout], None] = _nothing


def start(layout: Layout, services: Iterable[Service]) -> None:
    """Start those that do not run, at once, and wait until all are ready."""
    down = [service for service in services if not running(layout, service)]
    for service in down:
        ready_file(layout, service.name).unlink(missing_ok=True)
    started = {service: _launch(layout, service) for service in down}
    deadline = time.monotonic() + READY_S
    waiting = dict(started)
    while waiting:
        for service, process in list(waiting.items()):
            if process.poll() is not None:
                raise BedError(
                    f"{service.name} ended with {process.returncode} at its start:\n{tail(layout, service)}"
                )
            if service.ready(layout):
                del waiting[service]
        if waiting and time.monotonic() > deadline:
            names = ", ".join(service.name for service in waiting)
            raise BedError(f"not ready after {READY_S} s: {names}\n{tail(layout, next(iter(waiting)))}")
        time.sleep(POLL_S)


def stop(layout: Layout, services: Iterable[Service], number: signal.Signals = signal.SIGTERM) -> None:
    """Ask them to end, wait for it, and kill those that do not."""
    processes = [process for service in services if (process := _process(layout, service)) and process.alive]
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
    deadline = time.monotonic() + STOP_S
    while any(process.alive for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in processes:
        process.kill()


def running(layout: Layout, service: Service) -> bool:
    """Whether the service's process is alive."""
    process = _process(layout, service)
    return process is not None and process.alive


def tail(layout: Layout, service: Service) -> str:
    """Return the end of a service's log."""
    with suppress(FileNotFoundError):
        return _log(layout, service).read_text(errors="replace")[-LOG_TAIL:]
    return "it has no log"


def memory_mb(layout: Layout, service: Service) -> int | None:
    """Return how much the service's first process takes; None when it does not run."""
    process = _process(layout, service)
    return _set_size_mb(process.pid) if process is not None and process.alive else None


def pod_memory_mb() -> int:
    """Return how much all processes of the pod take."""
    return sum(_set_size_mb(int(entry.name)) for entry in Path("/proc").glob("[0-9]*"))


def _set_size_mb(pid: int) -> int:
    """Return the proportional set size of a process, which counts shared pages once; 0 when it has gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) // 1024


def _launch(layout: Layout, service: Service) -> subprocess.Popen[bytes]:
    service.prepare(layout)
    with _log(layout, service).open("a") as log:
        process = subprocess.Popen(
            [str(word) for word in service.command(layout)],
            env=dict(service.variables(layout)),
            cwd=layout / "run",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    mark = asdict(Process.current(process.pid))
    _mark_file(layout, service.name).write_text(json.dumps(mark))
    return process


def _process(layout: Layout, service: Service) -> Process | None:
    with suppress(FileNotFoundError):
        return Process(**json.loads(_mark_file(layout, service.name).read_text()))
    return None


def launched_at(layout: Layout, name: str) -> float:
    """Return when a service was started last, in seconds since the epoch."""
    return _mark_file(layout, name).stat().st_mtime


def _mark_file(layout: Layout, name: str) -> Path:
    return layout / f"run/{name}.json"


def _log(layout: Layout, service: Service) -> Path:
    return layout / f"log/{service.name}.log"


def ready_file(layout: Layout, name: str) -> Path:
    """Return the file by whose appearance some services tell that they are ready."""
    return layout / f"run/{name}.ready"
