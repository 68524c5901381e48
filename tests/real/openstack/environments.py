"""Virtual environments made once from a lock file and kept in the user's cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from command_line import tool
from layout import HERE

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cloudkit/openstack-bed"


def environment(name: str) -> Path:
    """Return the folder of the virtual environment that `NAME.lock` describes, and make it if it is not there."""
    lock_file = HERE / f"{name}.lock"
    key = hashlib.sha256(lock_file.read_bytes() + repr(sys.version_info).encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{key}"
    complete = folder / "complete"
    with only_one(name):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            tool(sys.executable, "-m", "venv", folder)
            # The lock holds all there is: nothing is resolved.
            pip = [folder / "bin/python", "-m", "pip"]
            tool(*pip, "install", "--quiet", "--no-deps", "--requirement", lock_file)
            complete.touch()
    return folder


@contextmanager
def only_one(name: str) -> Generator[None]:
    """Keep other processes out that would make the same thing in the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.flock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
