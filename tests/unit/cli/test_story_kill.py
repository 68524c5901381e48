from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("kill_points.py")


def test_whatever_a_killed_story_leaves_the_sweep_deletes(store: str, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    done = subprocess.run([sys.executable, SCRIPT, store], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    # A start and an end for each step; each of them a point to be killed at.
    assert len(results) >= 28, done.stderr
    assert [result for result in results if result["left"] or result["sweep_status"]] == []
    # Private keys were in there.
    assert list(temporary.iterdir()) == []
    # The test would also hold if nothing had ever been made.
    most = max(len(result["crashed"]) for result in results)
    assert most >= 8
