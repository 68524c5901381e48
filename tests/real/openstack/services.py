"""What runs in the bed, and the command that its owner runs inside the pod to start and stop it.

python services.py FOLDER start|stop|kill|status [SERVICE …]

`start` starts what does not run. A service that dies or does not become ready fails the command, with the end of
its log. `status` prints a JSON list: an object, service → megabytes of memory, null when it is down; and how
many all processes of the bed take.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "libvirt"))
from guest_services import GUEST_HOST, GUEST_SERVICES
from host_packages import BedError
from layout import HERE, HOST, PORTS, Layout
from service import Service, memory_mb, pod_memory_mb, ready_file, start, stop

RABBITMQ = Path("/usr/lib/rabbitmq/lib")


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
        # What a bed knows may be lost with the machine, not with a killed process; of such a one the kernel may have
        # written half a page, so that InnoDB's doublewrite stays on.
        "--innodb-flush-log-at-trx-commit=2",
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

    return Service(name, command, lambda layout: ready_file(layout, name).exists())


INFRASTRUCTURE = (
    Service("mariadb", _mariadb, _listens("mariadb")),
    Service("rabbitmq", _rabbitmq, _listens("rabbitmq"), _rabbitmq_variables),
)
APIS = tuple(map(_python_service, ("keystone", "glance", "placement", "nova", "neutron", "cinder")))
WORKERS = tuple(map(_python_service, ("cinder-volume", "cinder-scheduler", "cinder-backup")))


def stages(layout: Layout) -> Sequence[Sequence[Service]]:
    """Return all services of the bed, in groups that are started one after the other."""
    if layout.guests:
        return ((*INFRASTRUCTURE, *GUEST_HOST), (*APIS, *WORKERS, *GUEST_SERVICES))
    return (INFRASTRUCTURE, (*APIS, *WORKERS))


def start_all(layout: Layout, names: Sequence[str] = ()) -> None:
    """Start database and message bus, then all that stands on them; or only the named."""
    for stage in stages(layout):
        start(layout, _chosen(stage, names))


def stop_all(layout: Layout, names: Sequence[str] = (), number: signal.Signals = signal.SIGTERM) -> None:
    """Stop in the order that lets the database end last."""
    for stage in reversed(stages(layout)):
        stop(layout, _chosen(stage, names), number)


def status(layout: Layout) -> dict[str, int | None]:
    """Return how much memory the first process of each service takes, in MB; None for those that do not run."""
    return {service.name: memory_mb(layout, service) for stage in stages(layout) for service in stage}


def _chosen(stage: Sequence[Service], names: Sequence[str]) -> list[Service]:
    return [service for service in stage if not names or service.name in names]


def main(arguments: list[str]) -> int:
    """Do one verb; see the module's text."""
    folder, verb, *names = arguments
    layout = Layout.load(Path(folder))
    try:
        unknown = set(names) - set(status(layout))
        if unknown:
            raise BedError(f"no such service: {', '.join(sorted(unknown))}")
        if verb == "start":
            start_all(layout, names)
        elif verb == "stop":
            stop_all(layout, names)
        elif verb == "kill":
            stop_all(layout, names, signal.SIGKILL)
        else:
            print(json.dumps([status(layout), pod_memory_mb()]))
    except BedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
