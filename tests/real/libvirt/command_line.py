"""What the commands of all beds do alike: tell what is done, run a command to its end, end on signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from host_packages import BedError

# How long an interrupted pytest may take for its fixtures' clean-up.
GRACE_S = 30
# A test that hangs ends the run, with all stacks; the longest takes 3 minutes on an idle machine.
HANGS_AFTER_S = 900
PYTEST = [
    *(sys.executable, "-m", "pytest"),
    "--durations=15",
    *("-o", f"faulthandler_timeout={HANGS_AFTER_S}", "-o", "faulthandler_exit_on_timeout=true"),
]


class Terminated(BaseException):
    """The process was asked to end; not an Exception, for nothing may swallow it."""


@contextmanager
def progress(what: str) -> Generator[None]:
    """Tell on stderr what is done and how long it took."""
    start = time.monotonic()
    yield
    print(f"bed: {what} ({time.monotonic() - start:.1f} s)", file=sys.stderr)


def tool(*argv: str | Path) -> str:
    """Run a command and return what it printed; one that fails is a BedError with all that it said."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise BedError(f"{' '.join(map(str, argv))} failed with {done.returncode}: {done.stdout[-4000:]}")
    return done.stdout.strip()


def run_to_its_end(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command and return its exit status; it is never outlived by this function."""
    # Also where this process is killed, so that nothing goes on in a bed that the next start removes.
    process = subprocess.Popen(["setpriv", "--pdeathsig=KILL", *command], env=environment)
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


def exit_status(work: Callable[[], int]) -> int:
    """Do the work of a command that may be interrupted; return its exit status."""
    # A shell's background jobs are started with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    try:
        return work()
    except BedError as error:
        print(f"bed: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Terminated):
        return 130


def command_of(arguments: Sequence[str], tests: str) -> list[str]:
    """Return the command after --shell, or pytest with the arguments, on all of `tests` if they name none of it."""
    if arguments[:1] == ["--shell"]:
        return [*arguments[1:]] or [os.environ.get("SHELL", "/bin/sh")]
    named = any(argument.startswith(tests) for argument in arguments)
    return [*PYTEST, *([] if named else [tests]), *arguments]


def _await_end(process: subprocess.Popen[bytes]) -> int:
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    return 130


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated
