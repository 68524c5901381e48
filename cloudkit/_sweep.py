"""Deleting what scopes have made: at a scope's end, and by the sweep after a crash."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cloudkit._kinds import COLLECTIONS
from cloudkit._scope_mark import ScopeInfo, owner_is_dead, parse_scope
from cloudkit._volume import Volumes
from cloudkit.errors import CloudError, Conflict, NotFound
from cloudkit.types import Kind, Resource, Volume

if TYPE_CHECKING:
    from cloudkit._context import Context

ORDER = (
    Kind.FLOATING_IP,
    Kind.SERVER,
    Kind.SERVER_GROUP,
    Kind.BACKUP,
    Kind.SNAPSHOT,
    Kind.VOLUME,
    Kind.IMAGE,
    Kind.ROUTER,
    Kind.PORT,
    Kind.SUBNET,
    Kind.NETWORK,
    Kind.SECURITY_GROUP,
    Kind.KEY_PAIR,
    Kind.FLAVOR,
)
"""What uses comes before what is used."""

ALONG_WITH = {Kind.SERVER: {Kind.PORT}, Kind.NETWORK: {Kind.SUBNET}, Kind.ROUTER: {Kind.PORT}}
"""What the back-end may make together with a kind, under the same mark."""

PASSES = 5
PASS_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Leftover:
    """A thing that a scope has left.

    Attributes:
        removable: the scope has expired, its owner is dead, or it was named.
        reason: why it is removable, or why not.
        deleted: it is gone.
        error: why it could not be deleted.
    """

    value: Resource
    scope: ScopeInfo
    removable: bool
    reason: str
    deleted: bool = False
    error: CloudError | None = None


def sweep(context: Context, delete: bool, names: Collection[str]) -> list[Leftover]:
    """See :meth:`Cloud.sweep`."""
    found = [_judge(value, scope, names) for value, scope in _marked(context, ORDER)]
    if not delete:
        return found
    errors = _delete_all(context, [leftover.value for leftover in found if leftover.removable])
    return [
        replace(leftover, deleted=leftover.removable and error is None, error=error)
        for leftover in found
        for error in [errors.get(_key(leftover.value))]
    ]


def end_scope(context: Context, scope: ScopeInfo) -> list[tuple[Resource, CloudError]]:
    """Delete all that one scope has made; returns what could not be deleted, and why."""
    touched = set(context.touched)
    kinds = [kind for kind in ORDER if kind in touched.union(*(ALONG_WITH.get(kind, set()) for kind in touched))]
    mine = [*_unmarked(context), *(value for value, other in _marked(context, kinds) if other.id == scope.id)]
    mine.sort(key=lambda value: ORDER.index(value.kind))
    errors = _delete_all(context, mine)
    return [(value, errors[_key(value)]) for value in mine if _key(value) in errors]


def _unmarked(context: Context) -> Iterator[Resource]:
    """What is left of the things that no mark tells from others: this process has to know them itself."""
    for kind, id in context.unmarked:
        try:
            yield COLLECTIONS[kind](context).get(id)
        except NotFound:
            continue


def _judge(value: Resource, scope: ScopeInfo, names: Collection[str]) -> Leftover:
    if scope.name in names:
        return Leftover(value, scope, True, "its scope was named")
    if scope.expires_at <= datetime.now(UTC):
        return Leftover(value, scope, True, "its scope has expired")
    if owner_is_dead(scope.owner):
        return Leftover(value, scope, True, "the process that opened its scope is dead")
    return Leftover(value, scope, False, "its scope may be in use")


def _marked(context: Context, kinds: Collection[Kind]) -> Iterator[tuple[Resource, ScopeInfo]]:
    for kind in kinds:
        collection = COLLECTIONS[kind](context)
        # Where a kind cannot be deleted by itself, what there is of it goes with something else.
        if not collection.deletable:
            continue
        for value in collection.list():
            scope = parse_scope(value.mark.scope) if value.mark is not None and value.mark.scope else None
            if scope is not None and value.project_id == context.driver.project_id:
                yield value, scope


def _delete_all(context: Context, values: list[Resource]) -> dict[tuple[Kind, str], CloudError]:
    """Delete in order; conflicts again while that helps. Returns the errors that stay."""
    errors: dict[tuple[Kind, str], CloudError] = {}
    left = values
    for _ in range(PASSES):
        failed = {_key(value): error for value in left if (error := _delete_one(context, value)) is not None}
        errors = {key: error for key, error in errors.items() if not isinstance(error, Conflict)} | failed
        again = [value for value in left if isinstance(failed.get(_key(value)), Conflict)]
        if not again or (len(again) == len(left) and not any(failed[_key(value)].retryable for value in again)):
            break
        # Deleted things are given back a moment later: a port to its network, a disk to its volume.
        context.call(context.driver.wait_change, again[0].kind, PASS_PAUSE_S)
        left = again
    return errors


def _key(value: Resource) -> tuple[Kind, str]:
    return value.kind, value.id


def _delete_one(context: Context, value: Resource) -> CloudError | None:
    collection = COLLECTIONS[value.kind](context)
    try:
        if isinstance(value, Volume):
            _unplug(context, value)
        collection.clear_away(value.id)
    except NotFound:
        return None
    except CloudError as error:
        return error
    return None


def _unplug(context: Context, volume: Volume) -> None:
    """Take a volume out of servers that stay."""
    volumes = Volumes(context)
    for attachment in volumes.get(volume).attachments:
        volumes.detach(volume, attachment.server_id)
