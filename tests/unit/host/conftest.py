from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from machines import Files, Record, Recorded, write


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Lays a machine out and gives it to look at."""

    def record(files: Files, **options: Any) -> Recorded:
        return Recorded(write(tmp_path / "machine", files), **options)

    return record
