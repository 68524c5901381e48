"""Run the real libvirt tests: install what they need, build the guest, start the bed, tear all down.

python tests/real/libvirt/run.py [OPTIONS] [--system | --session] [PYTEST ARGUMENTS]
python tests/real/libvirt/run.py [OPTIONS] --shell COMMAND …      any command inside the bed
python tests/real/libvirt/run.py [OPTIONS] --user-shell COMMAND … the same as an ordinary user

Tests whose files are named ``test_*_session.py`` are run in a second pytest, by an ordinary user: these alone are run
with --session, all but these with --system.

OPTIONS, before all else: with --beds N there are so many beds, each with a process of pytest for itself. With
--debian, or where CI is set, a Debian with cloud-init is built too, for the test that boots it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bed import LibvirtBed
from command_line import PYTEST, command_of, exit_status, progress, run_on_each, run_to_its_end
from debian_image import debian_image
from guest_image import guest_image
from host_packages import install_packages

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
TESTS = str(HERE.relative_to(REPOSITORY))


def _tests(*names: str) -> list[str]:
    return [str(path.relative_to(REPOSITORY)) for name in names for path in sorted(HERE.glob(f"test_{name}.py"))]


DEBIAN = {*_tests("cloud_init")}
SESSION = _tests("*_session")
SUITE = _tests("conformance_real")
SYSTEM = [path for path in _tests("*") if path not in {*SESSION, *SUITE}] + SUITE
"""On several beds a module has one, as has a class of the suite: these are the shortest, and fill what is left."""
NOTHING_SELECTED = 5
"""pytest's exit status where no test was collected."""


@dataclass(frozen=True)
class Run:
    """A command for the inside of the bed, and whether an ordinary user runs it."""

    command: Sequence[str]
    by_user: bool = False


def run_in_new_beds(runs: Sequence[Run], count: int, with_debian: bool) -> int:
    """Start the beds, run the commands in them, remove them; a leftover makes success a failure."""
    with progress("packages are installed"):
        install_packages()
    with progress("guest image is built"):
        images = {"CLOUDKIT_TEST_GUEST_IMAGE": str(guest_image())}
    if with_debian:
        with progress("Debian image is built"):
            images["CLOUDKIT_TEST_DEBIAN_IMAGE"] = str(debian_image())
    environment = {**os.environ, **images}
    readable = [sys.prefix, sys.base_prefix, REPOSITORY, *images.values()]
    with progress("removed"), ExitStack() as stack:
        beds = [stack.enter_context(LibvirtBed.start()) for _ in range(count)]
        for bed in beds:
            print(f"bed: libvirtd runs in {bed.folder}", file=sys.stderr)
        status = worst([_run(run, beds, environment, readable) for run in runs])
        left = [each for bed in beds for each in bed.leftovers()]
        crashes = [each for bed in beds for each in bed.crashes()]
    if crashes:
        print("bed: CRASHED (libvirtd is started again, as by systemd):", *crashes, sep="\n    ", file=sys.stderr)
    if left:
        print("bed: THE TESTS LEFT BEHIND:", *left, sep="\n    ", file=sys.stderr)
    return status or int(bool(left))


def _run(run: Run, beds: Sequence[LibvirtBed], environment: Mapping[str, str], readable: Sequence[str | Path]) -> int:
    bed = beds[0]
    if run.by_user:
        return run_to_its_end(bed.user_command(run.command, readable), {**environment, **bed.variables()})
    if len(beds) == 1:
        return run_to_its_end(bed.command(run.command), {**environment, **bed.variables()})
    return run_on_each([bed.folder for bed in beds], [*run.command, "--no-loadscope-reorder"], environment)


def worst(statuses: Sequence[int]) -> int:
    """The worst exit status; that nothing was selected is told only where no pytest ran anything."""
    return max((status for status in statuses if status != NOTHING_SELECTED), default=NOTHING_SELECTED)


def runs_of(arguments: Sequence[str]) -> list[Run]:
    """The command after --shell or --user-shell; else the administrator's tests and the user's, as asked for."""
    if arguments[:1] in (["--shell"], ["--user-shell"]):
        return [Run(command_of(["--shell", *arguments[1:]], TESTS), by_user=arguments[0] == "--user-shell")]
    whole = [*SYSTEM, *SESSION]
    if arguments[:1] in (["--system"], ["--session"]):
        whole = SYSTEM if arguments[0] == "--system" else SESSION
        arguments = arguments[1:]
    named = [argument for argument in arguments if HERE in Path(argument.partition("::")[0]).resolve().parents]
    options = [argument for argument in arguments if argument not in named]
    paths = named or whole
    of_user = [path for path in paths if path.partition("::")[0].endswith("_session.py")]
    others = [path for path in paths if path not in of_user]
    runs: list[Run] = []
    if others:
        runs.append(Run([*PYTEST, *others, *options]))
    if of_user:
        # The sources may be another's, so that nothing is kept beside them.
        runs.append(Run([*PYTEST, "-p", "no:cacheprovider", *of_user, *options], by_user=True))
    return runs


def main(arguments: list[str]) -> int:
    """Run pytest, or the command after --shell, inside new beds."""
    with_debian, count = bool(os.environ.get("CI")), 1
    while arguments[:1] in (["--debian"], ["--beds"]):
        if arguments[0] == "--debian":
            with_debian, arguments = True, arguments[1:]
        else:
            count, arguments = int(arguments[1]), arguments[2:]
    if arguments[:1] not in (["--shell"], ["--user-shell"]):
        os.chdir(REPOSITORY)
    runs = runs_of(arguments)
    boots_debian = any(DEBIAN.issubset(run.command) for run in runs)
    return exit_status(lambda: run_in_new_beds(runs, count, with_debian and boots_debian))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
