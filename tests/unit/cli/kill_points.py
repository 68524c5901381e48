"""Kill the story by SIGKILL at each of its events, then sweep, and tell what is left.

    python kill_points.py CLOUD [EVENT NUMBER …]

Each run is a process of its own, forked from this one, which has imported all but connected to nothing. Prints
one JSON object for each run: the event it was killed at, what the killed run had left, and what the sweep left.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from itertools import count
from typing import Any

import cloudkit
from cloudkit.cli import main, story
from cloudkit.cli.steps import StepStarted
from cloudkit.ssh.paramiko_module import load_paramiko
from cloudkit.types import Kind


def everything(cloud_name: str) -> set[str]:
    """All that the project sees, as KIND/NAME."""
    with cloudkit.connect(cloud_name) as cloud:
        return {
            f"{kind.value}/{value.name or value.id}"
            for kind in Kind
            if hasattr(cloud, kind.value) and _offered(cloud, kind)
            for value in getattr(cloud, kind.value).list()
        }


def _offered(cloud: Any, kind: Kind) -> bool:
    optional = {"server_groups", "routers", "floating_ips", "security_groups", "snapshots", "backups"}
    return kind.value not in optional or cloud.supports(kind.value)


def in_child(work: Callable[[], object]) -> tuple[int, str]:
    """Run in a forked process; returns its wait status and what it returned, as text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.close(reader)
            os.dup2(2, 1)
            with os.fdopen(writer, "w") as pipe:
                json.dump(work(), pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    return os.waitpid(child, 0)[1], answer


def ask(work: Callable[[], object]) -> Any:
    """Run in a forked process that has to succeed."""
    status, answer = in_child(work)
    if status:
        sys.exit(f"a child ended with wait status {status}")
    return json.loads(answer)


def killed_story(cloud_name: str, fatal: int) -> str:
    """Run the story up to its ``fatal``-th event; returns only if there are fewer."""
    numbers = count(1)

    def observe(event: object) -> None:
        if next(numbers) == fatal:
            word = "start of" if isinstance(event, StepStarted) else "end of"
            print(f"killed at the {word} {event.step.title!r}", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    with cloudkit.connect(cloud_name) as cloud:
        story.run_story(cloud, observe)
    return "ended"


def clear_up(cloud_name: str) -> dict[str, Any]:
    """What a killed story has left, and what the sweep leaves of it."""
    crashed = sorted(everything(cloud_name))
    swept = main(["sweep", "--delete", "--cloud", cloud_name])
    return {"crashed": crashed, "sweep_status": swept, "left": sorted(everything(cloud_name))}


def run(cloud_name: str, fatal: int, before: set[str]) -> dict[str, Any] | None:
    """Kill at one event and sweep; None if the story has no such event."""
    status, _ = in_child(lambda: killed_story(cloud_name, fatal))
    if status == 0:
        return None
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        sys.exit(f"the story ended with wait status {status}")
    # In a process of its own: the one that was killed cannot have done it.
    found = ask(lambda: clear_up(cloud_name))
    news = {name: sorted(set(found[name]) - before) for name in ("crashed", "left")}
    return {"event": fatal, "sweep_status": found["sweep_status"], **news}


def run_all(cloud_name: str, numbers: list[int]) -> None:
    """Print one line for each event, up to the last one."""
    before = set(ask(lambda: sorted(everything(cloud_name))))
    for number in numbers or count(1):
        result = run(cloud_name, number, before)
        if result is None:
            return
        print(json.dumps(result), flush=True)


def import_all() -> None:
    """Import what the children will use, once."""
    for name in ("cloudkit._cloud", "cloudkit_fake.driver", "cloudkit_fake.storage", "cloudkit_fake.guests.listener"):
        import_module(name)
    load_paramiko()


if __name__ == "__main__":
    import_all()
    run_all(sys.argv[1], [int(number) for number in sys.argv[2:]])
