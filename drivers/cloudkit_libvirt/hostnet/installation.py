"""What ``cloudkit host install`` puts on a libvirt host: hooks, and what they restore.

libvirt runs the hooks (https://libvirt.org/hooks.html) when it starts, when a network has started and before a guest
does. A hook must not ask libvirt anything, which waits for it. So it restores what was written last, and leaves the
rest to a process of its own: one at a time, and of those that wait only one, as it sees what all of them were to see.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cloudkit.errors import AlreadyExists
from cloudkit_libvirt.hostnet.rules import TABLE

HOOKS = ("daemon", "network", "qemu")
_MARKER = "# Written by `cloudkit host install`; `cloudkit host uninstall` removes it."
_RULES, _LINKS, _LOG = "rules.nft", "links.ip", "reconcile.log"

_HOOK = """\
#!/bin/sh
{marker}
case "$1/$2" in
-/start | ck-*/prepare | ck-*/started) ;;
*) exit 0 ;;
esac
PATH="$PATH:/usr/sbin:/sbin"
missing=
nft -t list table inet {table} >/dev/null 2>&1 || missing=yes
if [ "$missing" ] && ! nft -f {rules} && [ "$2" = prepare ]; then
    echo "cloudkit: the guest would run without its filters" >&2
    exit 1
fi
# The filters of a guest that starts are there before it does.
[ "$2$missing" != prepare ] || exit 0
# Not all of the devices need be there.
ip -force -batch {links} >/dev/null 2>&1
(
    # Who waits already will see what is there now.
    flock -n 8 || exit 0
    flock 9
    exec 8>&-
    exec setsid {command} >{log} 2>&1
) 8>{folder}/waiting 9>{folder}/running </dev/null >/dev/null 2>&1 &
exit 0
"""
_MODULES = "{marker}\nbr_netfilter\n"


class Installation:
    """The files. ``root`` is where the machine's are."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Nothing is looked at before it is asked for."""
        self.folder = root / "var/lib/cloudkit/hostnet"
        self.log = self.folder / _LOG
        self._hooks = root / "etc/libvirt/hooks"
        self._modules = root / "etc/modules-load.d/cloudkit.conf"

    @property
    def files(self) -> tuple[Path, ...]:
        """What it consists of, beside the folder."""
        return (*(self._hooks / f"{name}.d/cloudkit" for name in HOOKS), self._modules)

    @property
    def missing(self) -> list[Path]:
        """What is not there, or not ours."""
        return [path for path in self.files if not _is_ours(path)]

    @property
    def complaint(self) -> str:
        """The last line that the command printed when it ran last, if it printed any and this process may read it."""
        try:
            lines = self.log.read_text(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def install(self, command: Sequence[str]) -> None:
        """Write all; ``command`` is what the hooks start. Before ``keep`` was called they restore nothing.

        Raises:
            AlreadyExists: a file is there that is not ours; nothing is written then.
        """
        for path in self.files:
            if path.exists() and not _is_ours(path):
                raise AlreadyExists(
                    f"{path} is there and was not written by cloudkit",
                    driver="libvirt",
                    hint="Nothing was changed. Move it away, and try again.",
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        for path in self.files:
            path.parent.mkdir(parents=True, exist_ok=True)
        *hooks, modules = self.files
        _write(modules, _MODULES.format(marker=_MARKER), 0o644)
        for path in hooks:
            _write(path, self._hook(command), 0o755)

    def uninstall(self) -> list[Path]:
        """Remove what ``install`` has written; returns what that was."""
        removed = [path for path in self.files if _is_ours(path)]
        for path in removed:
            path.unlink()
            if path != self._modules:
                _remove_empty(path.parent)
        if self.folder.is_dir():
            shutil.rmtree(self.folder)
            removed.append(self.folder)
            _remove_empty(self.folder.parent)
        return removed

    def keep(self, rules: str, links: str) -> None:
        """Have the hooks restore this from now on, where there are hooks and this process may write for them.

        Where it may not, they restore what is older, which lets no guest through that it does not know.
        """
        if not os.access(self.folder, os.W_OK):
            return
        # The folder may be removed at the same time.
        with suppress(FileNotFoundError):
            _write(self.folder / _LINKS, links, 0o600)
            _write(self.folder / _RULES, rules, 0o600)

    def _hook(self, command: Sequence[str]) -> str:
        return _HOOK.format(
            marker=_MARKER,
            table=TABLE,
            command=shlex.join(command),
            **{
                name: shlex.quote(str(path))
                for name, path in {
                    "rules": self.folder / _RULES,
                    "links": self.folder / _LINKS,
                    "log": self.log,
                    "folder": self.folder,
                }.items()
            },
        )


def _is_ours(path: Path) -> bool:
    try:
        return _MARKER in path.read_text(errors="replace").splitlines()
    except OSError:
        return False


def _remove_empty(folder: Path) -> None:
    """Remove a folder unless something is in it."""
    with suppress(OSError):
        folder.rmdir()


def _write(path: Path, text: str, mode: int) -> None:
    """All of it or, where that fails, nothing."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(unfinished, "w", opener=_private) as file:
            file.write(text)
        unfinished.chmod(mode)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
