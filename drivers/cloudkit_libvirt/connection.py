"""One connection to libvirt, shared by all projects and threads, opened again when the daemon was restarted."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import libvirt

from cloudkit.errors import Closed, InvalidRequest, NotFound, Unavailable
from cloudkit.types import Endpoint, Kind
from cloudkit_libvirt.errors import code_of, is_pool_busy, is_unreachable, silent
from cloudkit_libvirt.events import Changes
from cloudkit_libvirt.hypervisors import refuse_hypervisor
from cloudkit_libvirt.opening import Attempt, opened, optional
from cloudkit_libvirt.patience import PATIENCE_S, is_patient
from cloudkit_libvirt.read_only import refused
from cloudkit_libvirt.uri import endpoint, is_session
from cloudkit_libvirt.xml_tree import node, parse, to_text

_log = logging.getLogger("cloudkit.libvirt")

_RETRY_S = 0.1
_TAKING_OVER_S = 10.0
"""How long a libvirt that is back may still look which guests are there; of those that are not it sends no event."""
_TAKING_OVER_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class _Session:
    virt: libvirt.virConnect
    pool: libvirt.virStoragePool
    folder: str
    endings: tuple[Callable[[], object], ...]
    volumes: dict[str, libvirt.virStorageVol] = field(default_factory=dict[str, libvirt.virStorageVol])

    @property
    def is_alive(self) -> bool:
        """Whether it has not been seen to end; False also where another thread has closed it meanwhile."""
        try:
            return bool(self.virt.isAlive())
        except libvirt.libvirtError:
            return False

    def close(self) -> None:
        """Close; a callback that is still registered would keep the connection open, and so would a volume."""
        self.volumes.clear()
        for end in self.endings:
            with suppress(libvirt.libvirtError):
                end()
        with suppress(libvirt.libvirtError):
            self.virt.close()


class Connection:
    """The way to libvirt and to the pool. Thread-safe."""

    def __init__(self, uri: str, pool_name: str, pool_path: str, read_only: bool = False) -> None:
        """Remember where to connect; nothing happens before the first use.

        With ``read_only`` a pool is neither made nor started.
        """
        self.uri = uri
        self.changes = Changes()
        self._pool_name = pool_name
        self._pool_path = pool_path
        self._read_only = read_only
        self._lock = threading.Lock()
        self._session: _Session | None = None
        self._attempt: Attempt[_Session] | None = None
        self._lost_at: float | None = None
        self._back_at = -math.inf
        self._closed = False

    @property
    def is_alive(self) -> bool:
        """Whether libvirt answered the last time, and has not been seen to go away since."""
        session = self._session
        return session is not None and session.is_alive

    @property
    def virt(self) -> libvirt.virConnect:
        """Libvirt's own connection, alive as far as is known."""
        return self._alive().virt

    @property
    def pool(self) -> libvirt.virStoragePool:
        """The pool that holds records, images and disks."""
        return self._alive().pool

    @property
    def folder(self) -> str:
        """The pool's folder on libvirt's host, asked for once: libvirt moves no pool that is in use."""
        return self._alive().folder

    @property
    def volumes(self) -> dict[str, libvirt.virStorageVol]:
        """The pool's volumes by name, as they were last seen: any may be gone."""
        return self._alive().volumes

    def other_pool(self, name: str) -> libvirt.virStoragePool:
        """A pool that somebody has made, started where it is not; raises NotFound."""
        try:
            pool = self.virt.storagePoolLookupByName(name)
        except libvirt.libvirtError as error:
            if code_of(error) != libvirt.VIR_ERR_NO_STORAGE_POOL:
                raise
            raise NotFound(
                f"there is no storage pool {name!r}",
                driver="libvirt",
                resource=name,
                hint="`virsh pool-list --all` shows what there is.",
            ) from error
        if not pool.isActive():
            if self._read_only:
                raise refused(f"starting the pool {name!r}")
            pool.create()
        return pool

    @property
    def host(self) -> str | None:
        """The remote host in the URI, or None when libvirt runs on this one."""
        return urlsplit(self.uri).hostname

    def endpoint(self, host: str, port: int) -> Endpoint:
        """A port as libvirt's host reaches it."""
        return endpoint(self.uri, host, port)

    def close(self) -> None:
        """Close for good; harmless when done already."""
        with self._lock:
            self._closed = True
            session, self._session = self._session, None
            if session is not None:
                session.close()

    def wait_change(self, kind: Kind, timeout_s: float) -> None:
        """Return when something of the kind may have changed, or after ``timeout_s``.

        While libvirt is away there are no events: then this returns soon, for the next look to try it again. Nor are
        there all when it has just come back.
        """
        if not self.is_alive:
            timeout_s = min(timeout_s, _RETRY_S)
        elif time.monotonic() < self._back_at + _TAKING_OVER_S:
            timeout_s = min(timeout_s, _TAKING_OVER_LOOK_S)
        self.changes.wait(kind, timeout_s)

    def _alive(self) -> _Session:
        while True:
            session = self._session
            if session is not None and session.is_alive:
                return session
            try:
                return self._reopened()
            except (libvirt.libvirtError, Unavailable) as error:
                if not is_unreachable(error) or not self._may_come_back():
                    raise
            time.sleep(_RETRY_S)

    def _reopened(self) -> _Session:
        with self._lock:
            if self._closed:
                raise Closed("the connection to libvirt was closed", driver="libvirt")
            if self._session is None or not self._session.is_alive:
                dead, self._session = self._session, None
                if dead is not None:
                    self._lost_at = time.monotonic()
                    dead.close()
                self._session = self._open_in_time()
                if self._lost_at is not None:
                    self._lost_at, self._back_at = None, time.monotonic()
                # Nobody told of what happened meanwhile.
                self.changes.note(Kind)
            return self._session

    def _open_in_time(self) -> _Session:
        """Open; raises Unavailable where libvirt accepts the connection and then says nothing.

        The attempt goes on, and whoever asks next gets what comes of it.
        """
        if self._attempt is None:
            self._attempt = Attempt(self._open)
            self._attempt.add_done_callback(self._close_if_late)
        try:
            session = self._attempt.in_time()
        except TimeoutError:
            raise silent() from None
        except BaseException:
            if self._attempt.done():
                self._attempt = None
            raise
        self._attempt = None
        return session

    def _close_if_late(self, attempt: Future[_Session]) -> None:
        if self._closed and attempt.exception() is None:
            attempt.result().close()

    def _may_come_back(self) -> bool:
        lost_at = self._lost_at
        return is_patient() and lost_at is not None and time.monotonic() < lost_at + PATIENCE_S

    def _open(self) -> _Session:
        virt = opened(self.uri)
        try:
            refuse_hypervisor(virt.getType())
            pool = self._open_pool(virt)
            endings = self._listen(virt)
        except BaseException:
            virt.close()
            raise
        _log.debug("connected to %s, pool %s", urlsplit(self.uri)._replace(query="").geturl(), self._pool_name)
        return _Session(virt, pool, folder_of(pool), endings)

    def _open_pool(self, virt: libvirt.virConnect) -> libvirt.virStoragePool:
        try:
            pool = virt.storagePoolLookupByName(self._pool_name)
        except libvirt.libvirtError as error:
            if code_of(error) != libvirt.VIR_ERR_NO_STORAGE_POOL:
                raise
            if self._read_only:
                raise refused(f"making the pool {self._pool_name!r}") from error
            pool = self._make_pool(virt)
        if not pool.isActive():
            if self._read_only:
                raise refused(f"starting the pool {self._pool_name!r}")
            # The folder may have gone since; making it is harmless where it has not.
            pool.build()
            try:
                pool.create()
            except libvirt.libvirtError:
                # Another client may have done it in the same moment.
                if not pool.isActive():
                    raise
        # Another host may have written to the folder since this daemon looked.
        try:
            pool.refresh()
        except libvirt.libvirtError as error:
            if not is_pool_busy(error):
                raise
        return pool

    def _make_pool(self, virt: libvirt.virConnect) -> libvirt.virStoragePool:
        # Others need not look into the folder; QEMU opens its files by what libvirt grants, or is the user's own.
        permissions = node("permissions", {}, node("mode", text="0700" if is_session(self.uri) else "0711"))
        xml = node(
            "pool",
            {"type": "dir"},
            node("name", text=self._pool_name),
            node("target", {}, node("path", text=self._pool_path), permissions),
        )
        try:
            pool = virt.storagePoolDefineXML(to_text(xml))
        except libvirt.libvirtError as error:
            try:
                # Another client may have made it in the same moment.
                return virt.storagePoolLookupByName(self._pool_name)
            except libvirt.libvirtError:
                raise InvalidRequest(
                    f"the pool {self._pool_name!r} cannot be made in {self._pool_path}",
                    driver="libvirt",
                    fault=error.get_error_message(),
                    hint="Set the option pool_path to a folder that no other pool uses, or pool to that pool's name.",
                ) from error
        pool.setAutostart(True)
        return pool

    def _listen(self, virt: Any) -> tuple[Callable[[], object], ...]:
        """Have events counted; returns what ends that, one call each."""

        def tell(*kinds: Kind) -> Callable[..., None]:
            def note(*_event: Any) -> None:
                self.changes.note(kinds)

            return note

        wanted = (
            (
                virt.domainEventRegisterAny,
                virt.domainEventDeregisterAny,
                libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                (Kind.SERVER, Kind.VOLUME),
            ),
            (
                virt.domainEventRegisterAny,
                virt.domainEventDeregisterAny,
                libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
                (Kind.VOLUME, Kind.PORT),
            ),
            (
                virt.networkEventRegisterAny,
                virt.networkEventDeregisterAny,
                libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE,
                (Kind.NETWORK, Kind.SUBNET),
            ),
            # Every upload makes libvirt refresh the pool: that is how another client's records show.
            (
                virt.storagePoolEventRegisterAny,
                virt.storagePoolEventDeregisterAny,
                libvirt.VIR_STORAGE_POOL_EVENT_ID_REFRESH,
                tuple(Kind),
            ),
        )
        endings: list[Callable[[], object]] = []
        for register, deregister, event, kinds in wanted:
            number = optional(partial(register, None, event, tell(*kinds), None))
            if number is not None:
                endings.append(partial(deregister, number))
        optional(lambda: virt.registerCloseCallback(tell(*Kind), None))
        endings.append(virt.unregisterCloseCallback)
        return tuple(endings)


def folder_of(pool: libvirt.virStoragePool) -> str:
    """Where a pool's files are, on libvirt's host."""
    return parse(pool.XMLDesc()).findtext("target/path") or ""
