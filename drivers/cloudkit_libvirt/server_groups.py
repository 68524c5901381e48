"""Server groups, as far as one host can honour them: together always, apart for one server at most."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

from cloudkit.errors import ResourceFailed
from cloudkit.types import ServerGroup, ServerGroupSpec
from cloudkit_libvirt.bodies import ServerBody, ServerGroupBody, common_of
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.records import Record, Records, View
from cloudkit_libvirt.undo import undoing


class ServerGroups(RecordCollection[ServerGroupBody, ServerGroup]):
    """Servers to be kept together or apart."""

    body_type = ServerGroupBody

    def create(self, spec: ServerGroupSpec) -> ServerGroup:
        """Make one."""
        body = ServerGroupBody(**common_of(spec, self._project_id), policy=spec.policy)
        record = self._context.records.create(str(uuid.uuid4()), body)
        with undoing(lambda: self._context.records.remove(ServerGroupBody, record.id)):
            return self._value(self.finish(record, body), ())

    def delete(self, id: str) -> None:
        """Delete one; its servers stay."""
        self._begin_delete(id)
        self._context.records.remove(ServerGroupBody, id)

    def _values(self, view: View, records: Sequence[Record[ServerGroupBody]]) -> Iterator[ServerGroup]:
        members: dict[str | None, list[str]] = {}
        for server in view.all(ServerBody) if records else ():
            members.setdefault(server.body.server_group_id, []).append(server.id)
        for record in records:
            yield self._value(record, tuple(members.get(record.id, ())))

    def _value(self, record: Record[ServerGroupBody], server_ids: tuple[str, ...]) -> ServerGroup:
        return ServerGroup(**self._fields(record), policy=record.body.policy, server_ids=server_ids)


def join(records: Records, group_id: str, server_id: str) -> None:
    """Place a server by the policy of its group; raises ResourceFailed where no host is left for it."""
    group = records.view().get(ServerGroupBody, group_id)
    # Soft policies are wishes, and affinity is met by any one host.
    if group.body.policy == "anti-affinity" and not records.claim(_claim(group_id), server_id):
        raise ResourceFailed(
            f"the group {group.body.name!r} keeps its servers on different hosts, and there is one host",
            driver="libvirt",
            resource=group_id,
            fault="No valid host was found.",
            hint="Use a group with the policy soft-anti-affinity, or no group.",
        )


def leave(records: Records, group_id: str, server_id: str) -> None:
    """Give the server's host back to its group."""
    records.release(_claim(group_id), server_id)


def _claim(group_id: str) -> str:
    return f"server_group/{group_id}/host"
