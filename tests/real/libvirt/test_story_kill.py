"""A story that is killed leaves only what the sweep finds and deletes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bed import LibvirtBed

SCRIPT = Path(__file__).parents[2] / "unit/cli/kill_points.py"

# Among the events of the story here, the end of each step that passes, and the start of the last one.
EVENTS = ("2", "5", "7", "9", "12", "14", "16", "19", "22", "23")


def test_whatever_a_killed_story_leaves_the_sweep_deletes(profile: str, bed: LibvirtBed) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, profile, *EVENTS], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.stderr.count("killed at the end of") == 9, done.stderr
    assert done.stderr.count("killed at the start of 'delete all'") == 1, done.stderr
    assert len(results) == len(EVENTS)
    assert [result for result in results if result["left"] or result["sweep_status"]] == []
    # The test would also hold if nothing had ever been made.
    assert len(results[-1]["crashed"]) >= 8
    assert bed.leftovers() == []
