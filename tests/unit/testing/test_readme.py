from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[3] / "README.md"


def test_the_readmes_script_runs_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = re.search(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    for _ in range(2):
        names: dict[str, object] = {}
        exec(compile(found[1], "README.md", "exec"), names)
        names["folder"].cleanup()  # type: ignore[attr-defined]
        assert capsys.readouterr().out.startswith("Disk /dev/vdb: 1 GiB")
    assert list(tmp_path.iterdir()) == []
