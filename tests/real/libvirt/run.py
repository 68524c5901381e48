"""Run the real libvirt tests: install what they need, build the guest, start the bed, tear all down.

python tests/real/libvirt/run.py [PYTEST ARGUMENTS]
python tests/real/libvirt/run.py --shell COMMAND …      any command inside the bed
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from bed import LibvirtBed
from guest_image import guest_image
from host_packages import BedError, install_packages

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
# How long an interrupted pytest may take for its fixtures' clean-up.
GRACE_S = 30


class Terminated(BaseException):
    """The process was asked to end; not an Exception, for nothing may swallow it."""


@contextmanager
def progress(what: str) -> Generator[None]:
    """Tell on stderr what is done and how long it took."""
    start = time.monotonic()
    yield
    print(f"bed: {what} ({time.monotonic() - start:.1f} s)", file=sys.stderr)


def run_inside(bed: LibvirtBed, command: Sequence[str], image: Path) -> int:
    """Run `command` inside the bed and return its exit status; it is never outlived by this function."""
    env = {
        **os.environ,
        "CLOUDKIT_TEST_LIBVIRT_URI": bed.uri,
        "CLOUDKIT_TEST_GUEST_IMAGE": str(image),
        "CLOUDKIT_TEST_BED": str(bed.folder),
    }
    # Also where this process is killed, so that nothing goes on in a bed that the next start removes.
    process = subprocess.Popen(["setpriv", "--pdeathsig=KILL", *bed.command(command)], env=env)
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal has sent the same to the child.
        return _await_end(process)
    except Terminated:
        process.send_signal(signal.SIGINT)
        return _await_end(process)
    finally:
        process.kill()
        process.wait()


def _await_end(process: subprocess.Popen[bytes]) -> int:
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    return 130


def run_in_new_bed(command: Sequence[str]) -> int:
    """Start a bed, run `command` in it, remove the bed; a leftover makes success a failure."""
    with progress("packages are installed"):
        install_packages()
    with progress("guest image is built"):
        image = guest_image()
    with progress("removed"), LibvirtBed.start() as bed:
        print(f"bed: libvirtd runs in {bed.folder}", file=sys.stderr)
        status = run_inside(bed, command, image)
        left = bed.leftovers()
    if left:
        print("bed: THE TESTS LEFT BEHIND:", *left, sep="\n    ", file=sys.stderr)
    return status or int(bool(left))


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


def main(arguments: list[str]) -> int:
    """Run pytest, or the command after --shell, inside a new bed."""
    # A shell's background jobs are started with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    if arguments[:1] == ["--shell"]:
        command = arguments[1:] or [os.environ.get("SHELL", "/bin/sh")]
    else:
        command = [sys.executable, "-m", "pytest", str(HERE.relative_to(REPOSITORY)), *arguments]
        os.chdir(REPOSITORY)
    try:
        return run_in_new_bed(command)
    except BedError as error:
        print(f"bed: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Terminated):
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
