"""The bed itself, where its runs meet."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bed import PREFIX, remove_stale


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
