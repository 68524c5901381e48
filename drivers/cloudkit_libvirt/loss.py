"""When libvirt goes away in the middle of a verb: the verb is called once more, when libvirt is back.

That is right for each of them by the order in which things are written. A read changes nothing. A create takes back
what it made before it raises. A delete goes on from wherever it stopped. A verb that leads to a status, and is
refused the second time because of the status, was done the first time: whether it was is seen by the portable layer,
which waits for that status in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial, wraps
from typing import Any, TypeVar, cast

import libvirt

from cloudkit.driver import GROUPS
from cloudkit.errors import CloudError, InvalidRequest, InvalidState, NotFound, Unavailable
from cloudkit.types import VolumeStatus
from cloudkit_libvirt import errors
from cloudkit_libvirt.patience import patiently
from cloudkit_libvirt.undo import left_something

F = TypeVar("F", bound=Callable[..., Any])

VERBS = frozenset({"list", "get", "create", "delete", "start", "stop", "reboot"}).union(
    *(group.methods for group in GROUPS.values())
)
"""What the portable layer calls on a collection."""
READS = frozenset({"list", "get", "console_log", "endpoints", "download", "samples"})
"""The verbs that change nothing. All others wait for libvirt to come back, if it went away after they had begun."""

_DONE: Mapping[str, type[CloudError]] = {
    "delete": NotFound,
    "extend": InvalidRequest,
    **dict.fromkeys(
        (
            "start",
            "stop",
            "reboot",
            "pause",
            "unpause",
            "suspend",
            "resume",
            "shelve",
            "unshelve",
            "resize",
            "confirm_resize",
            "revert_resize",
            "rescue",
            "unrescue",
            "detach",
            "detach_interface",
        ),
        InvalidState,
    ),
}
"""Verb → what it raises the second time where the first time did it."""


def surviving(verb: F) -> F:
    """A verb of a collection, that survives it when libvirt goes away and comes back."""
    name = verb.__name__

    @wraps(verb)
    def called(self: Any, *arguments: Any, **options: Any) -> Any:
        return _see_through(self, name, partial(verb, self, *arguments, **options), arguments)

    @wraps(verb)
    def listed(self: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
        # Made as a whole before any of it is given away.
        yield from _see_through(self, name, lambda: tuple(verb(self, *arguments, **options)), arguments)

    return cast("F", listed if name == "list" else called)


def _see_through(collection: Any, name: str, call: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
    connection = collection._context.connection
    begun = connection.is_alive
    try:
        with patiently() if begun and name not in READS else nullcontext():
            return call()
    except (libvirt.libvirtError, Unavailable) as error:
        if not (errors.is_unreachable(error) or (begun and not connection.is_alive)):
            raise
        lost = errors.unreachable(error)
        if lost is not error:
            lost.__cause__ = error
        # What was read of a stream cannot be read again.
        once = not begun or left_something(error) or any(hasattr(each, "read") for each in arguments)
    if once:
        raise lost
    if name in READS:
        return call()
    with patiently():
        try:
            return call()
        except (CloudError, libvirt.libvirtError) as error:
            refusal = errors.translate(error, lambda: None)
            if isinstance(refusal, _DONE.get(name, ())):
                return None
            if name == "attach" and isinstance(refusal, InvalidState):
                return _attachment(collection, lost, *arguments)
            raise


def _attachment(volumes: Any, lost: CloudError, id: str, server_id: str) -> Any:
    volume = volumes.get(id)
    found = [each for each in volume.attachments if each.server_id == server_id]
    if not found or volume.status is not VolumeStatus.IN_USE:
        raise lost
    return found[0]
