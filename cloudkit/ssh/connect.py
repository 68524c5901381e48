"""Opening a shell: endpoints are tried in order, again and again, until one is the server's SSH or time is up.

A guest that boots refuses connections, drops packets, accepts and hangs up, or answers before its keys are in
place; all that is waited for. A host key that is not the server's ends the wait at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from cloudkit.errors import CloudError, InvalidRequest, SshAuthFailed, SshError, WaitTimeout
from cloudkit.ssh.attempt import Incompatible, NotYet, Refused, exchange_keys, log_in, presented_key
from cloudkit.ssh.host_keys import ExpectedKeys, HostKeySources
from cloudkit.ssh.jump import Routes
from cloudkit.ssh.paramiko_module import close_transport, load_paramiko
from cloudkit.ssh.shell import Shell
from cloudkit.ssh.user_keys import open_keys
from cloudkit.types import Endpoint, Server

_log = logging.getLogger("cloudkit.ssh")

_HANDSHAKE_S = 30.0
_ENDPOINTS_AGE_S = 5.0
_CONSOLE_LINES = 20
_LOGIN_PAUSES_S = (1.0, 2.0, 4.0)
"""Between refused logins. sshd of OpenSSH 9.8 counts 5 s of penalty for each, and shuts an address out at 15."""


def open_shell(
    *,
    server: Server,
    endpoints: Callable[[], Sequence[Endpoint]],
    console_log: Callable[[], str] | None = None,
    user: str,
    key: Any = None,
    host_key: str | None = None,
    timeout_s: float = 120.0,
    auth_grace_s: float = 10.0,
) -> Shell:
    """Wait until a server answers SSH, verify its host key, and log in.

    Args:
        endpoints: where it may be reached, best first; asked again now and then.
        console_log: what it printed since boot, or None where there is no such thing.
        key: the path of an unencrypted private key, a ``paramiko.PKey``, or None for the SSH agent's keys.
        host_key: ``ssh-ed25519 AAAA…``, ``SHA256:…`` or ``ssh-ed25519 SHA256:…``; without it the one that is
            recorded with the server, else the first that its console tells.
        timeout_s: how long all this may take, in real seconds.
        auth_grace_s: for how long a refused key is tried again: a guest answers before it has put its keys in place.

    Raises:
        HostKeyChanged: another key was presented; nothing was sent to that machine.
        HostKeyUnknown: there is nothing to compare the host key with.
        SshAuthFailed: the key or the user was refused.
        WaitTimeout: nothing spoke SSH in time.
        InvalidRequest: an argument is wrong, or the key cannot be read.
        SshError: the key is encrypted, or there is no algorithm in common.
        MissingExtra: paramiko is not installed.
    """
    if not user:
        raise InvalidRequest("user= is empty", hint="Name the image's login user, as 'cirros' or 'debian'.")
    if timeout_s <= 0:
        raise InvalidRequest(f"timeout_s is {timeout_s}, and must be positive")
    load_paramiko()
    sources = HostKeySources(server, host_key, console_log)
    routes = Routes()
    try:
        with open_keys(key) as keys:
            return _Opening(
                server, endpoints, console_log, user, keys, sources, routes, timeout_s, auth_grace_s
            ).run()
    except BaseException:
        routes.close()
        raise


class _Opening:
    """The state of one wait."""

    def __init__(
        self,
        server: Server,
        endpoints: Callable[[], Sequence[Endpoint]],
        console_log: Callable[[], str] | None,
        user: str,
        keys: list[Any],
        sources: HostKeySources,
        routes: Routes,
        timeout_s: float,
        auth_grace_s: float,
    ) -> None:
        self._server = server
        self._ask_endpoints = endpoints
        self._console_log = console_log
        self._user = user
        self._keys = keys
        self._sources = sources
        self._routes = routes
        self._timeout_s = timeout_s
        self._auth_grace_s = auth_grace_s
        self._started = time.monotonic()
        self._deadline = self._started + timeout_s
        self._endpoints: tuple[Endpoint, ...] = ()
        self._asked_at = float("-inf")
        self._problems: dict[str, str] = {}
        self._refusals = 0
        self._refused_at = 0.0
        self._last_refusal: Refused | None = None

    def run(self) -> Shell:
        expected = None
        # Without a host key to expect, the last moments are kept for telling whether anything answers at all.
        reserve_s = min(1.0, self._timeout_s / 10)
        while True:
            expected = expected or self._sources.find()
            if expected is not None:
                reserve_s = 0.0
                shell = self._try_all(expected)
                if shell is not None:
                    return shell
            pause_s = self._pause_s()
            left_s = self._left_s() - reserve_s
            if left_s <= 0:
                raise self._timed_out(expected)
            time.sleep(min(pause_s, left_s))

    def _try_all(self, expected: ExpectedKeys) -> Shell | None:
        for endpoint in self._current_endpoints():
            if self._left_s() <= 0:
                return None
            try:
                return self._try(endpoint, expected)
            except NotYet as error:
                self._note(endpoint, str(error))
            except Refused as error:
                self._note(endpoint, str(error))
                self._count(error)
                return None
        return None

    def _try(self, endpoint: Endpoint, expected: ExpectedKeys) -> Shell:
        transport, fingerprint = self._verified(endpoint, expected)
        try:
            log_in(transport, self._user, self._keys, min(_HANDSHAKE_S, self._left_s()))
        except BaseException:
            close_transport(transport)
            raise
        _log.debug(
            "%s: logged in at %s after %.0f ms, host key %s",
            self._server.name,
            _text(endpoint),
            self._elapsed_s() * 1000,
            fingerprint,
        )
        return Shell(
            transport,
            server=self._server,
            user=self._user,
            endpoint=endpoint,
            host_key=fingerprint,
            on_close=self._routes.close,
        )

    def _verified(self, endpoint: Endpoint, expected: ExpectedKeys) -> tuple[Any, str]:
        presented = list[Any]()
        while True:
            sock = self._routes.connect(endpoint, self._within(0.1, 0.5, 2.0))
            try:
                transport = exchange_keys(
                    sock,
                    banner_timeout_s=self._within(0.25, 2.0, 15.0),
                    timeout_s=min(_HANDSHAKE_S, self._left_s()),
                    prefer=expected.types,
                    avoid=frozenset(key.type for key in presented),
                )
            except Incompatible as error:
                if presented:
                    raise expected.changed(self._server, _text(endpoint), presented) from None
                raise SshError(
                    f"{_text(endpoint)} offers no algorithm that we accept", resource=self._server, fault=str(error)
                ) from error
            key = presented_key(transport)
            if expected.accepts(key):
                return transport, key.typed_fingerprint
            close_transport(transport)
            presented.append(key)
            if expected.types:
                raise expected.changed(self._server, _text(endpoint), presented)
            # The fingerprint may be that of another of the server's keys: ask for one of another type.

    def _current_endpoints(self) -> tuple[Endpoint, ...]:
        age_s = time.monotonic() - self._asked_at
        if not self._endpoints or age_s > _ENDPOINTS_AGE_S:
            try:
                self._endpoints = tuple(self._ask_endpoints())
            except CloudError as error:
                if not error.retryable:
                    raise
            self._asked_at = time.monotonic()
        return self._endpoints

    def _count(self, refusal: Refused) -> None:
        now = time.monotonic()
        if not self._refusals:
            self._refused_at = now
        self._refusals += 1
        self._last_refusal = refusal
        if refusal.final or now - self._refused_at >= self._auth_grace_s:
            raise self._auth_failed(refusal)

    def _pause_s(self) -> float:
        """Short at first, 5 % of the wait so far later on, so that nobody waits much longer than needed."""
        if not self._refusals:
            return min(1.0, max(0.05, self._elapsed_s() * 0.05))
        pause_s = _LOGIN_PAUSES_S[min(self._refusals, len(_LOGIN_PAUSES_S)) - 1]
        # The last try is at the end of the grace, not after it.
        return max(0.05, min(pause_s, self._refused_at + self._auth_grace_s - time.monotonic()))

    def _timed_out(self, expected: ExpectedKeys | None) -> CloudError:
        if self._last_refusal is not None:
            return self._auth_failed(self._last_refusal)
        tail = self._console_tail()
        if expected is None:
            answering = self._answering()
            if answering is not None:
                return self._sources.unknown(f"its console log told none within {self._timeout_s:g} s", tail)
        name = self._server.name
        if not self._endpoints:
            return WaitTimeout(
                f"{name} has had no address that can be reached from here for {self._timeout_s:g} s",
                resource=self._server,
                hint="Give it a floating IP, or a port on a network that this machine reaches.",
                console_tail=tail,
            )
        return WaitTimeout(
            f"nothing spoke SSH for {name} within {self._timeout_s:g} s at"
            f" {', '.join(_text(endpoint) for endpoint in self._endpoints)}",
            resource=self._server,
            fault="; ".join(f"{place}: {problem}" for place, problem in self._problems.items()) or None,
            hint="Look whether the guest has booted, whether it runs an SSH server, and whether a security group"
            " allows its port; then wait again with a longer timeout_s.",
            console_tail=tail,
        )

    def _answering(self) -> Endpoint | None:
        for endpoint in self._current_endpoints():
            try:
                sock = self._routes.connect(endpoint, max(0.05, min(0.5, self._left_s())))
            except NotYet as error:
                self._note(endpoint, str(error))
                continue
            try:
                sock.settimeout(max(0.05, min(0.5, self._left_s())))
                if sock.recv(4) == b"SSH-":
                    return endpoint
                self._note(endpoint, "it does not speak SSH")
            except OSError as error:
                self._note(endpoint, str(error))
            finally:
                sock.close()
        return None

    def _auth_failed(self, refusal: Refused) -> SshAuthFailed:
        return SshAuthFailed(
            f"{self._server.name} does not let {self._user!r} in: {refusal}",
            resource=self._server,
            fault=f"tried {self._refusals} time(s) in {time.monotonic() - self._refused_at:.0f} s",
        )

    def _console_tail(self) -> str | None:
        if self._console_log is None:
            return None
        try:
            return "\n".join(self._console_log().splitlines()[-_CONSOLE_LINES:]) or None
        except CloudError:
            return None

    def _note(self, endpoint: Endpoint, problem: str) -> None:
        place = _text(endpoint)
        if self._problems.get(place) != problem:
            _log.debug("%s: %s: %s after %.0f ms", self._server.name, place, problem, self._elapsed_s() * 1000)
        self._problems[place] = problem

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started

    def _left_s(self) -> float:
        return self._deadline - time.monotonic()

    def _within(self, share: float, least_s: float, most_s: float) -> float:
        """A share of the wait so far, between two bounds, and never beyond the deadline."""
        return max(0.01, min(max(least_s, self._elapsed_s() * share), most_s, self._left_s()))


def _text(endpoint: Endpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}{f' through {endpoint.jump}' if endpoint.jump else ''}"
