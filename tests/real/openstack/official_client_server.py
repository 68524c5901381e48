"""The `openstack` command without its second of imports: run by the client's interpreter, one JSON line a command.

Each command is a process of its own, as when typed: forked once everything is loaded. The answer's line is
[exit status, standard output, standard error].
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import IO

import openstack.connection  # noqa: F401 - loaded once instead of by each command
from openstackclient import shell


def run(argv: list[str]) -> tuple[int, str, str]:
    """Run one command in a forked process."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        pid = os.fork()
        if pid == 0:
            _be_the_command(argv, output, errors)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), _all_of(output), _all_of(errors)


def _be_the_command(argv: list[str], output: IO[str], errors: IO[str]) -> None:
    for file, number in ((output, 1), (errors, 2)):
        os.dup2(file.fileno(), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    status = 1
    try:
        status = shell.main(argv) or 0
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _all_of(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
