"""Virtual environments made once from a lock file and kept in the user's cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from host_packages import BedError
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
            _run([sys.executable, "-m", "venv", folder])
            # The lock holds all there is: nothing is resolved.
            _run([folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", lock_file])
            complete.touch()
    return folder


@contextmanager
def only_one(name: str) -> Generator[None]:
    """Keep other processes out that would make the same thing in the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.flock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(argv: list[str | Path]) -> None:
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise BedError(f"{' '.join(map(str, argv))} failed with {done.returncode}:\n{done.stdout[-4000:]}")
