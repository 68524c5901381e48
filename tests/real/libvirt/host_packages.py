"""Install the Debian packages that the bed stands on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


class BedError(Exception):
    """The bed could not be built, started or cleaned; the text says why."""


def read_list(path: Path) -> list[str]:
    """Return the words of a file with one item a line and `#` comments."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def missing_packages(names: list[str]) -> list[str]:
    """Return those of `names` that dpkg does not have installed."""
    query = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Abbrev}\n", *names],
        capture_output=True,
        text=True,
        check=False,
    )
    installed = {line.split()[0] for line in query.stdout.splitlines() if line.split()[1:] == ["ii"]}
    return [name for name in names if name not in installed]


def apt_get(*arguments: str, cwd: Path | None = None) -> str:
    """Run apt-get and return its output; a failure carries the end of what it said."""
    done = subprocess.run(
        # apt's own sandbox user could not write into a folder of root's.
        ["apt-get", "--quiet", "--option", "APT::Sandbox::User=root", *arguments],
        cwd=cwd,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BedError(f"apt-get {' '.join(arguments[:3])} … failed:\n{done.stdout[-2000:]}")
    return done.stdout


def install_packages(packages_file: Path = HERE / "packages.txt") -> list[str]:
    """Install what is missing of `packages_file` and return its names; nothing is run when all is there."""
    missing = missing_packages(read_list(packages_file))
    if not missing:
        return []
    if os.geteuid() != 0:
        raise BedError(f"not root, and these packages are missing: {' '.join(missing)}")
    apt_get("update")
    apt_get("install", "--yes", "--no-install-recommends", *missing)
    return missing
