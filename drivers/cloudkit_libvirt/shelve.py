"""Shelving: a server is off, and takes nothing of its host but disks, until it is unshelved.

A client that dies in between leaves a step in the record: ``shelve`` and ``unshelve`` take it up.
"""

from __future__ import annotations

from cloudkit.types import ServerStatus
from cloudkit_libvirt.bodies import Step
from cloudkit_libvirt.server_base import ServerVerbs

S = ServerStatus


class Shelving(ServerVerbs):
    """The verbs of shelving."""

    def shelve(self, id: str) -> None:
        """Power off, and note that it is not to be started but by unshelving it."""
        record, domain = self._fitting(
            id, "shelve", S.ACTIVE, S.SHUTOFF, S.PAUSED, S.SUSPENDED, unfinished=frozenset({Step.SHELVING})
        )
        self._begin(record, Step.SHELVING)
        self._context.set_resumed(domain, False)
        self._power_off(domain)
        self._end(id, Step.SHELVING, Step.SHELVED)

    def unshelve(self, id: str) -> None:
        """Boot it."""
        record, domain = self._fitting(
            id, "unshelve", S.SHELVED_OFFLOADED, unfinished=frozenset({Step.SHELVING, Step.UNSHELVING})
        )
        self._begin(record, Step.UNSHELVING)
        if not domain.isActive():
            self._boot(id, domain)
        self._end(id, Step.UNSHELVING, None)
