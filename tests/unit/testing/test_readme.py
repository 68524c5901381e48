from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[3] / "README.md"


def test_the_readmes_script_runs_again_and_again(tmp_path: Path) -> None:
    found = re.search(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", found[1]], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Disk /dev/vdb: 1 GiB")
    assert list(tmp_path.iterdir()) == []
