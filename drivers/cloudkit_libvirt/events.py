"""libvirt's events: one loop a process, and a way to wait for a change without asking again and again."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable

import libvirt

from cloudkit.errors import Unavailable
from cloudkit.types import Kind

_log = logging.getLogger("cloudkit.libvirt")

_PAUSE_S = 0.1

_loop_lock = threading.Lock()
_loop: threading.Thread | None = None


def ensure_event_loop() -> None:
    """Start the process' event loop; must be called before the first connection is opened.

    libvirt has one event implementation a process and no way to take it back, hence the one thing here that is
    global.
    """
    global _loop
    with _loop_lock:
        if _loop is not None and not _loop.is_alive():
            # Only a fork ends it. The child has the parent's connections in its own event loop, and no way to be
            # rid of them.
            raise Unavailable(
                "libvirt cannot be used in a process that was forked from one that uses it",
                driver="libvirt",
                retryable=False,
                hint="Start processes by spawn, as multiprocessing.get_context('spawn') does.",
            )
        if _loop is None:
            # Otherwise the library prints every error to stderr, also those that are expected.
            libvirt.registerErrorHandler(_ignore, None)
            libvirt.virEventRegisterDefaultImpl()
            _loop = threading.Thread(target=_run_loop, name="cloudkit-libvirt-events", daemon=True)
            _loop.start()


def _ignore(_context: object, _error: object) -> None:
    pass


def _run_loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            # Were this thread to end, no wait and no keepalive would ever hear of anything again.
            _log.exception("libvirt's event loop stumbled")
            time.sleep(_PAUSE_S)


class Changes:
    """Counts changes by kind; callbacks of libvirt tell it, waits read it. No call into libvirt is made here."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._counts: Counter[Kind] = Counter()
        self._seen = threading.local()

    def note(self, kinds: Iterable[Kind]) -> None:
        """Something of these kinds may have changed."""
        with self._condition:
            self._counts.update(kinds)
            self._condition.notify_all()

    def wait(self, kind: Kind, timeout_s: float) -> None:
        """Return when something changed since this thread's last wait for the kind, or after ``timeout_s``."""
        seen: dict[Kind, int] = self._seen.__dict__.setdefault("counts", {})
        deadline = time.monotonic() + timeout_s
        with self._condition:
            while self._counts[kind] == seen.get(kind, 0):
                left = deadline - time.monotonic()
                if left <= 0 or not self._condition.wait(left):
                    break
            seen[kind] = self._counts[kind]
