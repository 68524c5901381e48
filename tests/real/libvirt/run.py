"""Run the real libvirt tests: install what they need, build the guest, start the bed, tear all down.

python tests/real/libvirt/run.py [PYTEST ARGUMENTS]
python tests/real/libvirt/run.py --part PART [PYTEST ARGUMENTS]
python tests/real/libvirt/run.py --parts [PYTEST ARGUMENTS]   all parts at the same time
python tests/real/libvirt/run.py --shell COMMAND …      any command inside the bed
python tests/real/libvirt/run.py --user-shell COMMAND … the same as an ordinary user

Tests whose files are named ``test_*_session.py`` are run in a second pytest, by an ordinary user. Without a path
among the arguments all are run. Each part is run in a bed of its own: ``suite`` is the conformance suite, ``session``
what the ordinary user runs, ``host`` what befalls a host (faults, kills) and a whole Debian, ``network`` the
host's network and what befalls it, ``traffic`` the packets of guests through all of that, ``driver`` all the rest.

With --debian before all else, or where CI is set, a Debian with cloud-init is built too, for the test that boots it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bed import LibvirtBed
from command_line import PYTEST, command_of, exit_status, progress, run_to_its_end
from debian_image import debian_image
from guest_image import guest_image
from host_packages import install_packages

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
TESTS = str(HERE.relative_to(REPOSITORY))


def _tests(*names: str) -> list[str]:
    return [str(path.relative_to(REPOSITORY)) for name in names for path in sorted(HERE.glob(f"test_{name}.py"))]


SUITE = _tests("conformance_real")
SESSION = _tests("*_session")
HOST = _tests("cloud_init", "fault*", "story_kill")
NETWORK = _tests("host_*", "vlans_real")
TRAFFIC = _tests("traffic")
PARTS = {
    "suite": SUITE,
    "session": SESSION,
    "host": HOST,
    "network": NETWORK,
    "traffic": TRAFFIC,
    "driver": [f"--ignore={path}" for path in (*SUITE, *SESSION, *HOST, *NETWORK, *TRAFFIC)],
}
WITHOUT_BED = "tests/drivers/libvirt"
"""The tests that need no more than libvirt's library, and its hypervisor for tests."""

NOTHING_SELECTED = 5
"""pytest's exit status where no test was collected."""

KILLED_BY = 128
"""As a shell tells of a process that a signal ended, of which Python gives the number as a negative one."""


@dataclass(frozen=True)
class Run:
    """A command for the inside of the bed, and whether an ordinary user runs it."""

    command: Sequence[str]
    by_user: bool = False


def run_in_new_bed(runs: Sequence[Run], with_debian: bool) -> int:
    """Start a bed, run the commands in it, remove the bed; a leftover makes success a failure."""
    with progress("packages are installed"):
        install_packages()
    with progress("guest image is built"):
        images = {"CLOUDKIT_TEST_GUEST_IMAGE": str(guest_image())}
    if with_debian:
        with progress("Debian image is built"):
            images["CLOUDKIT_TEST_DEBIAN_IMAGE"] = str(debian_image())
    with progress("removed"), LibvirtBed.start() as bed:
        print(f"bed: libvirtd runs in {bed.folder}", file=sys.stderr)
        environment = {
            **os.environ,
            **images,
            **bed.open_vswitch.environment,
            "CLOUDKIT_TEST_LIBVIRT_URI": bed.uri,
            "CLOUDKIT_TEST_BED": str(bed.folder),
        }
        readable = [sys.prefix, sys.base_prefix, REPOSITORY, *images.values()]
        status = worst(
            [
                run_to_its_end(
                    bed.user_command(run.command, readable) if run.by_user else bed.command(run.command), environment
                )
                for run in runs
            ]
        )
        left, crashes = bed.leftovers(), bed.crashes()
    if crashes:
        print("bed: CRASHED (libvirtd is started again, as by systemd):", *crashes, sep="\n    ", file=sys.stderr)
    if left:
        print("bed: THE TESTS LEFT BEHIND:", *left, sep="\n    ", file=sys.stderr)
    return status or int(bool(left))


def run_all_parts(arguments: Sequence[str]) -> int:
    """Run every part in a process of its own, at the same time; what one says is told in one piece.

    Parts that failed come last: of a long log the end is what is read, and kept.
    """
    # More at once than there are cores: what most tests wait for is not the processor.
    commands = {part: [sys.executable, __file__, "--part", part, *arguments] for part in PARTS}
    commands[WITHOUT_BED] = [*PYTEST, WITHOUT_BED, *arguments]
    with ExitStack() as running:
        parts = {part: running.enter_context(_in_background(command)) for part, command in commands.items()}
        statuses = {part: process.wait() for part, (process, _) in parts.items()}
        for part in sorted(parts, key=lambda part: statuses[part] not in (0, NOTHING_SELECTED)):
            _, output = parts[part]
            output.seek(0)
            print(f"\n=== {part}: exit status {statuses[part]}", output.read(), sep="\n", flush=True)
    return worst([*statuses.values()])


@contextmanager
def _in_background(command: Sequence[str]) -> Generator[tuple[subprocess.Popen[bytes], IO[str]]]:
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        # However this process ends: the part is told once, and removes its bed before it ends.
        command = ["setpriv", "--pdeathsig=TERM", *command]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield process, output
        finally:
            process.terminate()
            process.wait()


def worst(statuses: Sequence[int]) -> int:
    """The worst exit status; that nothing was selected is told only where no pytest ran anything."""
    ended = (KILLED_BY - status if status < 0 else status for status in statuses)
    return max((status for status in ended if status != NOTHING_SELECTED), default=NOTHING_SELECTED)


def runs_of(arguments: Sequence[str]) -> list[Run]:
    """The command after --shell or --user-shell; else the administrator's tests and the user's, as asked for."""
    if arguments[:1] in (["--shell"], ["--user-shell"]):
        return [Run(command_of(["--shell", *arguments[1:]], TESTS), by_user=arguments[0] == "--user-shell")]
    with_user = True
    if arguments[:1] == ["--part"]:
        part, *arguments = arguments[1:]
        arguments, with_user = [*PARTS[part], *arguments], part == "session"
    paths = [argument for argument in arguments if HERE in Path(argument.partition("::")[0]).resolve().parents]
    options = [argument for argument in arguments if argument not in paths]
    of_user = [path for path in paths if path.partition("::")[0].endswith("_session.py")]
    others = [path for path in paths if path not in of_user]
    runs: list[Run] = []
    if others or not paths:
        runs.append(Run([*PYTEST, *(others or [TESTS]), *options]))
    if of_user or (with_user and not paths):
        # The sources may be another's, so that nothing is kept beside them.
        runs.append(Run([*PYTEST, "-p", "no:cacheprovider", *(of_user or [TESTS]), *options], by_user=True))
    return runs


def main(arguments: list[str]) -> int:
    """Run pytest, or the command after --shell, inside a new bed."""
    with_debian = bool(os.environ.get("CI")) and (arguments[:1] != ["--part"] or arguments[1] == "host")
    if arguments[:1] == ["--parts"]:
        os.chdir(REPOSITORY)
        return exit_status(lambda: run_all_parts(arguments[1:]))
    if arguments[:1] == ["--debian"]:
        with_debian, arguments = True, arguments[1:]
    if arguments[:1] not in (["--shell"], ["--user-shell"]):
        os.chdir(REPOSITORY)
    runs = runs_of(arguments)
    return exit_status(lambda: run_in_new_bed(runs, with_debian))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
