"""The bed itself, where its runs meet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import libvirt  # type: ignore[import-untyped, unused-ignore]
from bare_driver import until
from bed import PREFIX, LibvirtBed, remove_stale
from run import NOTHING_SELECTED, worst


def test_runs_at_the_same_time_remove_the_same_stale_beds(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for number in range(20):
        folder = tmp_path / f"{PREFIX}{ended.pid}-{number}"
        folder.mkdir()
        for file in range(50):
            (folder / str(file)).touch()
    with ThreadPoolExecutor(4) as runs:
        for removed in [runs.submit(remove_stale, tmp_path) for _ in range(4)]:
            removed.result()
    assert list(tmp_path.iterdir()) == []


def test_a_crashed_libvirtd_is_started_again() -> None:
    with LibvirtBed.start() as bed:
        crashed = bed.libvirtd_pid()
        os.kill(crashed, signal.SIGSEGV)
        until(lambda: bed.libvirtd_pid() not in (None, crashed), "libvirtd is there again")
        until(lambda: _answers(bed), "it answers")
        assert bed.crashes() == ["libvirtd crashed by SIGSEGV"]


def _answers(bed: LibvirtBed) -> bool:
    try:
        return bed.leftovers() == []
    except libvirt.libvirtError:
        return False


def test_a_part_that_a_signal_ended_has_failed() -> None:
    assert worst([0, -signal.SIGSEGV, NOTHING_SELECTED]) == 128 + signal.SIGSEGV
    assert worst([0, NOTHING_SELECTED]) == 0
    assert worst([NOTHING_SELECTED]) == NOTHING_SELECTED
