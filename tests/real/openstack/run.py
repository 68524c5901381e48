"""Run the tests on a real OpenStack: install what it needs, start a new bed, run them as its client, remove it.

python tests/real/openstack/run.py [--guests] [--beds N] [PYTEST ARGUMENTS]
python tests/real/openstack/run.py [--guests] --shell COMMAND …      any command as a client of the bed

Servers are those of Nova's fake driver, or with --guests machines under libvirt and QEMU's emulation; with them, and
without arguments, those tests are run that need them. Of several beds each has a process of pytest for itself: what
is public, or of all projects, is seen by all tests on one bed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "libvirt"))
from command_line import command_of, exit_status, progress, run_to_its_end
from openstack_bed import OpenStackBed, run_client
from processes import alone_in, start_time

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
# Not the temporary folder of the environment: stale beds must be found whatever TMPDIR says, and disks need space.
PARENT = Path("/var/tmp")
PREFIX = "cloudkit-openstack-"
BEDS = "CLOUDKIT_TEST_BEDS"
"""The folders of the beds, for conftest.py."""
GUEST_TESTS = "guests"
"""pytest's marker of the tests that need machines."""


def run_in_new_beds(command: Sequence[str], guests: bool, count: int) -> int:
    """Start the beds, run `command` as their client, remove them; a service that died makes success a failure."""
    remove_stale()
    beds = [OpenStackBed(Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=PARENT))) for _ in range(count)]
    # A bed ends with the thread that has started it.
    with ThreadPoolExecutor(count) as starters:
        try:
            for started in [starters.submit(bed.start, guests=guests, ends_with_us=True) for bed in beds]:
                started.result()
            for bed in beds:
                print(f"bed: OpenStack runs in {bed.folder}", file=sys.stderr)
            return run_client(beds[0], command) if count == 1 else _run_on_each(beds, command)
        finally:
            with progress("removed"):
                for bed in beds:
                    bed.reset()


def _run_on_each(beds: Sequence[OpenStackBed], command: Sequence[str]) -> int:
    folders = json.dumps([str(bed.folder) for bed in beds])
    parallel = [f"--numprocesses={len(beds)}", "--dist=loadscope"]
    status = run_to_its_end([*command, *parallel], {**os.environ, BEDS: folders})
    for bed in beds:
        bed.check()
    return status


def remove_stale(parent: Path = PARENT) -> None:
    """Remove the beds below `parent` whose owner is dead; runs that start at the same time take turns."""
    with alone_in(parent):
        for folder in parent.glob(f"{PREFIX}*"):
            owner = int(folder.name.removeprefix(PREFIX).partition("-")[0])
            # Where the pid was given away the bed, which ended with its owner, stays until that process ends.
            if start_time(owner) is None:
                OpenStackBed(folder).reset()


def main(arguments: list[str]) -> int:
    """Run pytest, or the command after --shell, as a client of a new bed."""
    guests = arguments[:1] == ["--guests"]
    arguments = arguments[int(guests) :]
    count = 1
    if arguments[:1] == ["--beds"]:
        count, arguments = int(arguments[1]), arguments[2:]
    if guests and not arguments:
        arguments = ["-m", GUEST_TESTS]
    command = command_of(arguments, str(HERE.relative_to(REPOSITORY)))
    if arguments[:1] != ["--shell"]:
        os.chdir(REPOSITORY)
    return exit_status(lambda: run_in_new_beds(command, guests, count))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
