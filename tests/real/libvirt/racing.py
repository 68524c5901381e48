"""Processes that begin at the same moment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def race(scripts: Sequence[Sequence[str]], timeout_s: float) -> list[Any]:
    """Run Python scripts (text and arguments) together; what each printed at its end, as JSON.

    Each prints ``ready`` when it is, and goes on when it reads a line.
    """
    clients = [
        subprocess.Popen([sys.executable, "-c", *script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for script in scripts
    ]
    try:
        for client in clients:
            assert client.stdout is not None
            assert client.stdout.readline() == "ready\n"
        for client in clients:
            assert client.stdin is not None
            client.stdin.write("go\n")
            client.stdin.flush()
        return [json.loads(client.communicate(timeout=timeout_s)[0]) for client in clients]
    finally:
        for client in clients:
            # Which also closes what leads to it.
            with client:
                client.kill()
