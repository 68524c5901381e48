"""How late a wait returns: after libvirt's own event has reached a bare callback in another thread's place.

    python tests/real/libvirt/run.py --shell python tests/benchmarks/wait_lateness.py [ROUNDS]

A server's power is cut by another connection, as virsh would; what is measured is the time from the moment at which a
callback by libvirt-python hears of it to the moment at which ``servers.wait`` returns.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from statistics import median, quantiles
from typing import Any

import libvirt  # type: ignore[import-untyped, unused-ignore]

import cloudkit

BOUND_S = 0.020
ROUNDS = 20
TIMEOUT_S = 60.0


class Listener:
    """When a bare callback heard that a domain stopped."""

    def __init__(self, connection: Any) -> None:
        self.heard = threading.Event()
        self.at = 0.0
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._note, None)

    def _note(self, _connection: Any, _domain: Any, event: int, *_rest: Any) -> None:
        if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
            self.at = time.monotonic()
            self.heard.set()


def main(arguments: list[str] | None = None) -> int:
    rounds = int(arguments[0]) if arguments else ROUNDS
    uri, bed = os.environ["CLOUDKIT_TEST_LIBVIRT_URI"], os.environ["CLOUDKIT_TEST_BED"]
    late: list[float] = []
    with (
        cloudkit.connect(f"libvirt+{uri}", pool_path=f"{bed}/pool", external_cidr="", host_network="off") as cloud,
        cloud.scope("bench") as mine,
    ):
        connection = libvirt.open(uri)
        listener = Listener(connection)
        image = mine.images.upload("bench", data=io.BytesIO(bytes(4096)), disk_format="raw")
        flavor = mine.flavors.create("bench", vcpus=1, ram_mib=32, disk_gib=1)
        server = mine.servers.create("bench", image=image, flavor=flavor, networks="none")
        for _ in range(rounds):
            late.append(lateness_s(mine, server, connection, listener))
            mine.servers.start(server)
        connection.close()
    print(f"a wait by events is late by {median(late) * 1000:.1f} ms, 9 of 10 by at most "
          f"{quantiles(late, n=10)[-1] * 1000:.1f} ms (bound {BOUND_S * 1000:.0f} ms of the median)")  # fmt: skip
    return int(median(late) > BOUND_S)


def lateness_s(cloud: Any, server: Any, connection: Any, listener: Listener) -> float:
    returned: list[float] = []
    looked = threading.Event()

    def wait() -> None:
        cloud.servers.wait(server, "SHUTOFF", timeout_s=TIMEOUT_S, on_progress=lambda _: looked.set())
        returned.append(time.monotonic())

    listener.heard.clear()
    waiting = threading.Thread(target=wait)
    waiting.start()
    looked.wait(TIMEOUT_S)
    # It has looked, and sleeps by now.
    time.sleep(0.05)
    connection.lookupByUUIDString(server.id).destroy()
    waiting.join(TIMEOUT_S)
    listener.heard.wait(TIMEOUT_S)
    # Callbacks are called one after another: ours may be the later one.
    return max(0.0, returned[0] - listener.at)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
