"""Taking back what a failed create has made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager

_log = logging.getLogger("cloudkit.libvirt")


@contextmanager
def undoing(undo: Callable[[], object]) -> Generator[None]:
    """Call ``undo`` when the body fails or is interrupted, and let the body's own error go on.

    Where ``undo`` fails too, what is left has a record: list shows it, and delete removes it.
    """
    try:
        yield
    except BaseException as error:
        try:
            undo()
        except Exception as failure:
            error.add_note(f"taking back what was made failed as well: {failure}")
            _log.warning("taking back what a failed create made has failed: %s", failure)
        raise
