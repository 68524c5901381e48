"""Who waits for a libvirt that went away: threads in the middle of a change, and no others.

A read, or a change that has not begun, is told at once that libvirt does not answer. A change that has begun is worth
some seconds: services that crash are mostly started again.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

PATIENCE_S = 15.0
"""How long after libvirt went away a change that has begun still waits for it."""

_thread = threading.local()


@contextmanager
def patiently() -> Generator[None]:
    """In the body, this thread waits for libvirt where it has gone away."""
    outer = is_patient()
    _thread.patient = True
    try:
        yield
    finally:
        _thread.patient = outer


def is_patient() -> bool:
    """Whether this thread is in the middle of a change."""
    return bool(getattr(_thread, "patient", False))
