"""The bed's processes, started, stopped and looked after from inside its pod.

python services.py FOLDER start|stop|kill|status [SERVICE …]

`start` starts what does not run. A service that dies or does not become ready fails the command, with the end of
its log. `status` prints one JSON object: service → megabytes of memory, null when it is down.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "libvirt"))
from host_packages import BedError
from layout import HERE, HOST, PORTS, Layout
from processes import Process

READY_S = 240
"""How long a service may take to become ready: a cold start beside other work."""
STOP_S = 30
LOG_TAIL = 4000
RABBITMQ = Path("/usr/lib/rabbitmq/lib")


@dataclass(frozen=True)
class Service:
    """One process of the bed."""

    name: str
    command: Callable[[Layout], Sequence[str | Path]]
    ready: Callable[[Layout], bool]
    variables: Callable[[Layout], Mapping[str, str]]


def start(layout: Layout, services: Iterable[Service]) -> None:
    """Start those that do not run, at once, and wait until all are ready."""
    down = [service for service in services if not running(layout, service)]
    for service in down:
        _ready_file(layout, service.name).unlink(missing_ok=True)
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
        time.sleep(0.05)


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
    """Return the proportional set size of the service's process; None when it does not run."""
    process = _process(layout, service)
    if process is None or not process.alive:
        return None
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) // 1024


def _launch(layout: Layout, service: Service) -> subprocess.Popen[bytes]:
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
    (layout / f"run/{service.name}.json").write_text(json.dumps(mark))
    return process


def _process(layout: Layout, service: Service) -> Process | None:
    with suppress(FileNotFoundError):
        return Process(**json.loads((layout / f"run/{service.name}.json").read_text()))
    return None


def _log(layout: Layout, service: Service) -> Path:
    return layout / f"log/{service.name}.log"


def _ready_file(layout: Layout, name: str) -> Path:
    return layout / f"run/{name}.ready"


# -- what there is


def _listens(name: str) -> Callable[[Layout], bool]:
    def ready(_layout: Layout) -> bool:
        try:
            socket.create_connection((HOST, PORTS[name]), 1).close()
        except OSError:
            return False
        return True

    return ready


def _mariadb(layout: Layout) -> Sequence[str | Path]:
    return [
        "/usr/sbin/mariadbd",
        "--no-defaults",
        "--user=root",
        f"--datadir={layout / 'mysql'}",
        f"--socket={layout.socket}",
        f"--pid-file={layout / 'run/mariadb.pid'}",
        f"--bind-address={HOST}",
        f"--port={PORTS['mariadb']}",
        "--skip-name-resolve",
        "--max-connections=1000",
        "--performance-schema=OFF",
        "--character-set-server=utf8mb4",
        "--collation-server=utf8mb4_general_ci",
        "--innodb-buffer-pool-size=192M",
        "--innodb-log-file-size=64M",
        # What a bed knows may be lost with the machine, not with a killed process.
        "--innodb-flush-log-at-trx-commit=2",
        "--innodb-doublewrite=0",
        "--innodb-flush-method=nosync",
        "--skip-log-bin",
        "--innodb-lock-wait-timeout=20",
    ]


def _rabbitmq(_layout: Layout) -> Sequence[str | Path]:
    return [max(RABBITMQ.glob("rabbitmq_server-*")) / "sbin/rabbitmq-server"]


def _rabbitmq_variables(layout: Layout) -> Mapping[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(layout / "rabbit"),
        "RABBITMQ_NODENAME": "bed@localhost",
        "RABBITMQ_CONFIG_FILE": str(layout / "etc/rabbitmq/rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(layout / "etc/rabbitmq/enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(layout / "rabbit/mnesia"),
        "RABBITMQ_LOG_BASE": str(layout / "rabbit/log"),
        # Then its script becomes the server, instead of staying as its parent.
        "RUNNING_UNDER_SYSTEMD": "1",
        "RABBITMQ_PID_FILE": str(layout / "run/rabbitmq.pid"),
        "ERL_EPMD_ADDRESS": HOST,
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
        ),
    }


def _python_service(name: str) -> Service:
    def command(layout: Layout) -> Sequence[str | Path]:
        return [layout.python, HERE / "serve.py", layout.folder, name]

    return Service(name, command, lambda layout: _ready_file(layout, name).exists(), Layout.variables)


INFRASTRUCTURE = (
    Service("mariadb", _mariadb, _listens("mariadb"), Layout.variables),
    Service("rabbitmq", _rabbitmq, _listens("rabbitmq"), _rabbitmq_variables),
)
APIS = tuple(map(_python_service, ("keystone", "glance", "placement", "nova", "neutron", "cinder")))
WORKERS = tuple(map(_python_service, ("cinder-volume", "cinder-scheduler")))
SERVICES = (*INFRASTRUCTURE, *APIS, *WORKERS)


def start_all(layout: Layout, services: Sequence[Service] = SERVICES) -> None:
    """Start database and message bus, then all that stands on them."""
    start(layout, [service for service in services if service in INFRASTRUCTURE])
    start(layout, [service for service in services if service not in INFRASTRUCTURE])


def stop_all(layout: Layout, services: Sequence[Service] = SERVICES) -> None:
    """Stop in the order that lets the database end last."""
    stop(layout, [service for service in services if service not in INFRASTRUCTURE])
    stop(layout, [service for service in services if service in INFRASTRUCTURE])


def status(layout: Layout) -> dict[str, int | None]:
    """Return how much memory each service takes, in MB; None for those that do not run."""
    return {service.name: memory_mb(layout, service) for service in SERVICES}


def main(arguments: list[str]) -> int:
    """Do one verb; see the module's text."""
    folder, verb, *names = arguments
    layout = Layout.load(Path(folder))
    chosen = [service for service in SERVICES if not names or service.name in names]
    unknown = set(names) - {service.name for service in SERVICES}
    try:
        if unknown:
            raise BedError(f"no such service: {', '.join(sorted(unknown))}")
        if verb == "start":
            start_all(layout, chosen)
        elif verb == "stop":
            stop_all(layout, chosen)
        elif verb == "kill":
            stop(layout, chosen, signal.SIGKILL)
        else:
            print(json.dumps(status(layout)))
    except BedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
