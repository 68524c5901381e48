"""QEMU's monitor while no libvirt is connected to it, for what befalls a guest meanwhile."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from bed import LibvirtBed

TIMEOUT_S = 10


@contextmanager
def monitor(bed: LibvirtBed, domain_name: str) -> Generator[Callable[..., Any]]:
    """A function that gives a command to a domain's QEMU, and returns its answer."""
    # libvirt names the folder by the beginning of the domain's name.
    (path,) = bed.folder.glob(f"lib/qemu/domain-*-{domain_name[:20]}*/monitor.sock")
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT_S)
            # The socket's whole path may be longer than an address can be.
            client.connect(f"/proc/self/fd/{folder}/{path.name}")
            with client.makefile("rw") as lines:

                def command(name: str, **arguments: Any) -> Any:
                    lines.write(json.dumps({"execute": name, "arguments": arguments}))
                    lines.flush()
                    while True:
                        answer = json.loads(lines.readline())
                        # Greeting and events come in between.
                        assert "error" not in answer, answer
                        if "return" in answer:
                            return answer["return"]

                command("qmp_capabilities")
                yield command
    finally:
        os.close(folder)
