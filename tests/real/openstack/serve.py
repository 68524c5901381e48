"""One service of the bed as a process: python serve.py FOLDER SERVICE, in the services' virtual environment.

An API is its WSGI application under cheroot; a worker is a service object of its project. Nova's conductor and
scheduler, and its compute service where it is the fake one, run as threads beside its API, for each process more
would take 120 MB. `run/SERVICE.ready` appears when it is ready. A program of the guests tier is what its package
installs; it is executed once what it talks to at its start is there.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from layout import HOST, PORTS, Layout

THREADS = 8
MAX_THREADS = 64
BACKLOG = 128
PEER_S = 240
"""How long to wait for another service of the bed."""


# -- APIs


def keystone(layout: Layout) -> Any:
    sys.argv = ["keystone", "--config-file", str(layout / "etc/keystone/keystone.conf")]
    from keystone.server import wsgi

    return wsgi.initialize_public_application()


def glance(layout: Layout) -> Any:
    sys.argv = ["glance-api", "--config-file", str(layout / "etc/glance/glance-api.conf")]
    from glance.common import wsgi_app

    return wsgi_app.init_app()


def placement(_layout: Layout) -> Any:
    sys.argv = ["placement"]
    from placement import wsgi

    return wsgi.init_application()


def nova(layout: Layout) -> Any:
    sys.argv = ["nova-api", "--config-file", str(layout / "etc/nova/nova.conf")]
    from nova import monkey_patch

    monkey_patch.patch(backend="threading")
    from nova.api.openstack import wsgi_app

    application = wsgi_app.init_application("osapi_compute", "nova-api")
    _start_nova_workers(layout)
    return application


def neutron(_layout: Layout) -> Any:
    sys.argv = ["neutron-server"]
    from neutron import server
    from neutron.server import api

    return server.boot_server(api.api_server, prog="neutron-api")


def cinder(layout: Layout) -> Any:
    sys.argv = ["cinder-api", "--config-file", str(layout / "etc/cinder/cinder.conf")]
    from cinder import monkey_patch

    monkey_patch.patch()
    from cinder.wsgi import wsgi

    return wsgi.initialize_application()


# -- workers


def _start_nova_workers(layout: Layout) -> None:
    await_peers(layout, "keystone", "placement", "neutron")
    import os_vif
    from nova import context, objects, service
    from nova.compute import rpcapi
    from nova.objects import host_mapping

    objects.register_all()
    os_vif.initialize()
    service.Service.create(binary="nova-conductor", topic="conductor").start()
    service.Service.create(binary="nova-scheduler", topic="scheduler").start()
    if layout.guests is not None:
        return
    import cloudkit_bed.compute

    # Nova loads no driver but of its own package.
    sys.modules["nova.virt.bed"] = cloudkit_bed.compute
    # Long calls (a resize) come over a second topic.
    compute = service.Service.create(binary="nova-compute", topic="compute", topic_alt=rpcapi.RPC_TOPIC_ALT)
    compute.start()
    # Nova does so after five seconds only; until then a scheduler that knows the host from before takes it for down.
    compute.service_ref.report_count += 1
    compute.service_ref.save()
    host_mapping.discover_hosts(context.get_admin_context())


def cinder_volume(layout: Layout) -> Any:
    service = _cinder_worker(layout, "cinder-volume")
    from oslo_config import cfg

    cfg.CONF.register_opt(cfg.StrOpt("backend_host"), group="file")
    host = f"{cfg.CONF.host}@file"
    return service.create(host=host, service_name="file", binary="cinder-volume", coordination=True)


def cinder_scheduler(layout: Layout) -> Any:
    # Started before the first report of a volume service, it would wait in vain for a minute.
    await_peers(layout, "cinder-volume")
    return _cinder_worker(layout, "cinder-scheduler").create(binary="cinder-scheduler")


def cinder_backup(layout: Layout) -> Any:
    service = _cinder_worker(layout, "cinder-backup")
    from cinder import utils
    from cinder.cmd import backup  # noqa: F401 - registers options

    semaphore = utils.semaphore_factory(0, 1)
    return service.create(
        binary="cinder-backup", coordination=True, service_name="backup", process_number=1, semaphore=semaphore
    )


def _cinder_worker(layout: Layout, name: str) -> Any:
    sys.argv = [name, "--config-file", str(layout / "etc/cinder/cinder.conf")]
    from cinder import monkey_patch

    monkey_patch.patch()
    import os_brick
    from cinder import i18n, objects, rpc, service, version
    from cinder.common import config  # noqa: F401 - registers options
    from oslo_config import cfg
    from oslo_log import log

    i18n.enable_lazy()
    objects.register_all()
    cfg.CONF(sys.argv[1:], project="cinder", version=version.version_string())
    log.setup(cfg.CONF, "cinder")
    rpc.init(cfg.CONF)
    os_brick.setup(cfg.CONF)
    return service.Service


# -- programs


def execute(layout: Layout, name: str) -> None:
    """Become the program that a package installs."""
    await_peers(layout, "keystone", "placement", "nova", "neutron")
    if name.endswith("-agent"):
        await_queues(layout, "neutron", ("q-plugin", "q-reports-plugin", "q-l3-plugin"))
    program = [str(layout.environment / "bin" / name)]
    if name == "nova-compute":
        program = [sys.executable, "-m", "cloudkit_bed.guests_compute"]
    os.execv(program[0], [*program, *(f"--config-file={layout / file}" for file in PROGRAMS[name])])


def await_queues(layout: Layout, vhost: str, queues: tuple[str, ...]) -> None:
    """Wait until somebody listens: a call to a queue that is not there is dropped, and its caller waits a minute."""
    import amqp

    def consumers(queue: str) -> int:
        host = f"{HOST}:{PORTS['rabbitmq']}"
        try:
            with amqp.Connection(host, userid="bed", password=layout.secret, virtual_host=vhost) as connection:
                return connection.channel().queue_declare(queue, passive=True).consumer_count
        except (amqp.exceptions.AMQPError, OSError):
            return 0

    deadline = time.monotonic() + PEER_S
    for queue in queues:
        while not consumers(queue):
            if time.monotonic() > deadline:
                sys.exit(f"nobody listened to {queue} within {PEER_S} s")
            time.sleep(0.3)


# -- serving


class UnclosedInput:
    """A request's body that stays open.

    webob closes that of a chunked upload; cheroot would answer 500 to the connection's next request.
    """

    def __init__(self, body: Any) -> None:
        self._body = body

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def __iter__(self) -> Any:
        return iter(self._body)

    def close(self) -> None:
        pass


def serve(application: Callable[..., Any], port: int, ready: Callable[[], None]) -> None:
    """Answer requests until the process ends."""
    from cheroot import wsgi

    def with_open_body(environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input"] = UnclosedInput(environ["wsgi.input"])
        return application(environ, start_response)

    server = wsgi.Server(
        (HOST, port),
        with_open_body,
        numthreads=THREADS,
        max=MAX_THREADS,
        request_queue_size=BACKLOG,
        server_name="bed",
    )
    server.max_request_body_size = 0
    server.prepare()
    ready()
    server.serve()


def await_peers(layout: Layout, *names: str) -> None:
    """Wait until other services are ready, or else end this process."""
    deadline = time.monotonic() + PEER_S
    for name in names:
        while not _ready_file(layout, name).exists():
            if time.monotonic() > deadline:
                sys.exit(f"{name} was not ready within {PEER_S} s")
            time.sleep(0.05)


def _ready_file(layout: Layout, name: str) -> Path:
    return layout / f"run/{name}.ready"


APIS = {function.__name__: function for function in (keystone, glance, placement, nova, neutron, cinder)}
PROGRAMS = {
    "nova-compute": ("etc/nova/nova.conf",),
    "neutron-rpc-server": ("etc/neutron/neutron.conf",),
    "neutron-periodic-workers": ("etc/neutron/neutron.conf",),
    "neutron-openvswitch-agent": ("etc/neutron/agent.conf",),
    "neutron-dhcp-agent": ("etc/neutron/agent.conf",),
    "neutron-l3-agent": ("etc/neutron/agent.conf",),
}
WORKERS = {"cinder-volume": cinder_volume, "cinder-scheduler": cinder_scheduler, "cinder-backup": cinder_backup}


def main(folder: str, name: str) -> None:
    """Run one service until a signal ends it; nothing is in the air that a bed could lose."""
    layout = Layout.load(Path(folder))

    def ready() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
        _ready_file(layout, name).write_text("")

    if name in PROGRAMS:
        execute(layout, name)
    elif name in APIS:
        serve(APIS[name](layout), PORTS[name], ready)
    else:
        WORKERS[name](layout).start()
        ready()
        while True:
            signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
