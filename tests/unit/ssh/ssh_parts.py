"""What tests of SSH share besides fixtures."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import paramiko

from cloudkit._keys import generate_key_pair
from cloudkit.types import Server, ServerStatus


def new_key() -> Any:
    return paramiko.Ed25519Key(file_obj=io.StringIO(generate_key_pair()[0]))


def public_line(key: Any) -> str:
    return f"{key.get_name()} {key.get_base64()}"


class Clock:
    """Real time, in which sleeping takes none; ``on_sleep`` is called before each sleep."""

    def __init__(self) -> None:
        self.sleeps: list[float] = []
        self.on_sleep: Callable[[], object] = lambda: None
        self._ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def sleep(self, seconds: float) -> None:
        self.on_sleep()
        self.sleeps.append(seconds)
        self._ahead += seconds


def a_server(**fields: Any) -> Server:
    return Server(
        id="5f1e", name="web", project_id="p", cloud_id="c", created_at=datetime(2026, 1, 1, tzinfo=UTC),
        status=ServerStatus.ACTIVE, native_status="ACTIVE", **fields,
    )  # fmt: skip
