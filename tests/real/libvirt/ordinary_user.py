"""Run a command as an ordinary user inside a bed: a uid of its own, a home, and nothing configured.

    nsenter … unshare --mount -- python ordinary_user.py FOLDER KEEP=PATH[:PATH…] COMMAND …

Called by `bed.py`. The user exists in a private /etc/passwd only. What the command needs to read is made reachable
where a folder above it is closed to others, as root's home is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

UID = 54321
NAME = "cloudkit"
# Short, as libvirt's sockets lie below it, and their paths may have 107 characters.
HOME = Path("/run/home")
TEMPORARY = HOME / "tmp"
RUNTIME = Path(f"/run/user/{UID}")
STAGING = Path("/run/staging")
KEPT_VARIABLES = ("CI", "COLUMNS", "LANG", "PATH", "PYTHONPATH", "TERM")


def mount(*arguments: str | Path) -> None:
    """Run mount."""
    subprocess.run(["mount", *arguments], check=True)


def bind(source: Path, target: Path) -> None:
    """Show a file or folder at a place that may not exist yet."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount("--rbind", source, target)


def own_folder(path: Path) -> Path:
    """Make a folder that only the user may use."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    os.chown(path, UID, UID)
    return path


def closed_above(path: Path) -> Path | None:
    """The topmost folder on the way to a path, or the path itself, that others may not enter."""
    for folder in (*reversed(path.parents), path):
        if folder.is_dir() and not folder.stat().st_mode & 0o001:
            return folder
    return None


def reachable(paths: Iterable[Path]) -> None:
    """Put an open folder over each closed one, with only what is wanted in it."""
    wanted: dict[Path, list[Path]] = {}
    for path in paths:
        if closed := closed_above(path):
            wanted.setdefault(closed, []).extend(path.iterdir() if path == closed else [path])
    number = 0
    for closed, inside in wanted.items():
        staged: list[tuple[Path, Path]] = []
        for path in inside:
            number += 1
            staged.append((STAGING / str(number), path))
            bind(path, staged[-1][0])
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", closed)
        for place, path in staged:
            bind(place, path)


def with_line(original: Path, folder: Path, line: str) -> None:
    """Put a copy of a file with one more line over it."""
    copy = folder / original.name
    copy.write_text(f"{original.read_text().rstrip()}\n{line}\n")
    mount("--bind", copy, original)


def environment() -> Iterator[tuple[str, str]]:
    """What a login would set, and what tests are told."""
    yield from {"HOME": str(HOME), "USER": NAME, "LOGNAME": NAME, "XDG_RUNTIME_DIR": str(RUNTIME)}.items()
    yield "TMPDIR", str(TEMPORARY)
    # Nothing is written beside the sources, which may be anybody's.
    yield "PYTHONDONTWRITEBYTECODE", "1"
    for name, value in os.environ.items():
        if name in KEPT_VARIABLES or name.startswith(("CLOUDKIT_TEST_", "LC_")):
            yield name, value


def main(folder: Path, keep: str, command: list[str]) -> None:
    """Make the user and become it."""
    bind(own_folder(folder / "home"), HOME)
    own_folder(TEMPORARY)
    own_folder(RUNTIME)
    with_line(Path("/etc/passwd"), folder / "etc", f"{NAME}:x:{UID}:{UID}::{HOME}:/bin/sh")
    with_line(Path("/etc/group"), folder / "etc", f"{NAME}:x:{UID}:")
    start = os.getcwd()
    reachable(Path(path).resolve() for path in keep.split(":"))
    os.chdir(start)
    identity = [f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    os.execvpe("setpriv", ["setpriv", *identity, "--", *command], dict(environment()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
