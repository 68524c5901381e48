"""Domains in libvirt: finding ours, their states, and taking them down."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import libvirt

from cloudkit_libvirt.connection import Connection
from cloudkit_libvirt.domain_xml import libvirt_name
from cloudkit_libvirt.errors import code_of
from cloudkit_libvirt.status import DomainState
from cloudkit_libvirt.xml_tree import Element, parse, to_text

_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
)


class Domains:
    """The domains that belong to servers; all others are foreign and never touched."""

    def __init__(self, connection: Connection) -> None:
        """Use the connection."""
        self._connection = connection

    def find(self, server_id: str) -> libvirt.virDomain | None:
        """A server's domain, or None."""
        try:
            return self._connection.virt.lookupByName(libvirt_name(server_id))
        except libvirt.libvirtError as error:
            if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    def again(self, domain: libvirt.virDomain) -> libvirt.virDomain:
        """The same domain by the connection that there is now: a domain's own may have been lost."""
        return self._connection.virt.lookupByUUID(domain.UUID())

    def states_of(self, server_ids: Sequence[str]) -> Mapping[str, DomainState]:
        """Domain name → state of these servers' domains, as far as there are any.

        All are asked for at once, in two calls, unless it is one server's: for all, libvirt waits for each that is
        being started.
        """
        if len(server_ids) != 1:
            return self._states()
        domain = self.find(server_ids[0])
        if domain is None:
            return {}
        try:
            return {domain.name(): self.state(domain)}
        except libvirt.libvirtError as error:
            if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
                return {}
            raise

    def _states(self) -> dict[str, DomainState]:
        virt = self._connection.virt
        saved = {domain.name() for domain in virt.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)}
        stats = virt.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE)
        return {
            domain.name(): DomainState(values["state.state"], values["state.reason"], domain.name() in saved)
            for domain, values in stats
        }

    def state(self, domain: libvirt.virDomain) -> DomainState:
        """One domain's state."""
        # The binding declares text here; it is a pair of numbers.
        numbers: Any = domain.state()
        return DomainState(numbers[0], numbers[1], bool(domain.hasManagedSaveImage()))

    def define(self, element: Element) -> libvirt.virDomain:
        """Define a domain."""
        return self._connection.virt.defineXML(to_text(element))

    def tree(self, domain: libvirt.virDomain, flags: int = 0) -> Element:
        """The domain as it runs, or as it is defined where it does not run."""
        return parse(domain.XMLDesc(flags))

    def remove(self, server_id: str) -> None:
        """Cut its power and undefine it, as far as there is something to do."""
        domain = self.find(server_id)
        if domain is None:
            return
        with gone_or_off():
            domain.destroy()
        with gone_or_off():
            try:
                domain.undefineFlags(_UNDEFINE)
            except libvirt.libvirtError as error:
                # The test driver knows no flags.
                if code_of(error) != libvirt.VIR_ERR_INVALID_ARG:
                    raise
                domain.undefine()


@contextmanager
def gone_or_off() -> Generator[None]:
    """Pass over that a domain is gone, or that it went off by itself in between."""
    try:
        yield
    except libvirt.libvirtError as error:
        if code_of(error) not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            raise


def live_and_defined(domain: libvirt.virDomain) -> int:
    """Where to plug something in: into a guest that runs, and in any case into what it boots with next."""
    config = libvirt.VIR_DOMAIN_AFFECT_CONFIG
    return int(config | libvirt.VIR_DOMAIN_AFFECT_LIVE if domain.isActive() else config)
