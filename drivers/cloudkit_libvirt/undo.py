"""Taking back what a failed create has made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from cloudkit_libvirt.errors import is_unreachable
from cloudkit_libvirt.patience import patiently

_log = logging.getLogger("cloudkit.libvirt")

R = TypeVar("R")

_LEFT = "_cloudkit_left_something"


@contextmanager
def undoing(undo: Callable[[], object]) -> Generator[None]:
    """Call ``undo`` when the body fails or is interrupted, and let the body's own error go on.

    Where libvirt has gone away, it is waited for. Where ``undo`` fails too, what is left has a record: list shows it,
    and delete removes it.
    """
    try:
        yield
    except BaseException as error:
        try:
            insisting(undo)
        except Exception as failure:
            setattr(error, _LEFT, True)
            error.add_note(f"taking back what was made failed as well: {failure}")
            _log.warning("taking back what a failed create made has failed: %s", failure)
        raise


def left_something(error: BaseException) -> bool:
    """Whether not all could be taken back that was made before the error."""
    return bool(getattr(error, _LEFT, False))


def insisting(call: Callable[[], R]) -> R:
    """Make a call that may be made twice; the second time where libvirt went away during the first, and came back."""
    with patiently():
        try:
            return call()
        except Exception as error:
            if not is_unreachable(error):
                raise
        return call()
