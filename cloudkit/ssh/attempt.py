"""One try to connect: a socket, the key exchange, the host key's check, the login."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from cloudkit._keys import PublicKey
from cloudkit.ssh.paramiko_module import close_transport, load_paramiko, new_transport

LOG_CHANNEL = "cloudkit.ssh.transport"

_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""The host key algorithms of a key type, where they are not one of the same name (RFC 8332)."""


class NotYet(Exception):
    """Nothing that speaks SSH answered; a guest that is booting may do so later."""


class Incompatible(Exception):
    """The server speaks SSH, and no algorithm that we accept."""


class Refused(Exception):
    """The host key was right, and the user's keys were refused.

    Attributes:
        final: trying again is no use.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


def connect_socket(host: str, port: int, timeout_s: float) -> socket.socket:
    """A TCP connection for SSH; raises NotYet."""
    try:
        sock = socket.create_connection((host, port), timeout_s)
    except OSError as error:
        raise NotYet(error.strerror or str(error)) from error
    # Nagle's algorithm costs 40 ms a command, as paramiko sends small packets one after the other.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # A guest that died without a word is noticed after 2 minutes, not hours.
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock


def exchange_keys(
    sock: Any, *, banner_timeout_s: float, timeout_s: float, prefer: frozenset[str], avoid: frozenset[str]
) -> Any:
    """A Transport up to the point where the server has proved its host key; nothing is verified yet.

    Args:
        sock: closed if this fails.
        banner_timeout_s: how long the server may take for its first line.
        timeout_s: how long it may take for all.
        prefer: key types to ask for first.
        avoid: key types not to accept.

    Raises:
        NotYet: it did not come about.
        Incompatible: there is no algorithm in common.
    """
    try:
        transport = new_transport(sock, LOG_CHANNEL)
    except BaseException:
        sock.close()
        raise
    try:
        transport.banner_timeout = banner_timeout_s
        options = transport.get_security_options()
        options.key_types = _ordered(options.key_types, prefer, avoid)
        done = threading.Event()
        transport.start_client(event=done)
        in_time = done.wait(timeout_s)
        if not transport.is_active() or not in_time:
            error = transport.get_exception()
            if isinstance(error, load_paramiko().IncompatiblePeer):
                raise Incompatible(str(error)) from error
            reason = str(error or "the connection was closed") if in_time else "no SSH handshake in time"
            raise NotYet(reason) from error
        return transport
    except BaseException:
        close_transport(transport)
        raise


def presented_key(transport: Any) -> PublicKey:
    """The host key that the server has proved to own."""
    key = transport.get_remote_server_key()
    return PublicKey(key.get_name(), key.asbytes())


def log_in(transport: Any, user: str, keys: list[Any], timeout_s: float) -> None:
    """Authenticate with the first key that the server takes.

    Raises:
        Refused: it takes none of them.
        NotYet: the connection broke.
    """
    paramiko = load_paramiko()
    deadline = time.monotonic() + timeout_s
    refused = 0
    for key in keys:
        transport.auth_timeout = max(0.1, deadline - time.monotonic())
        try:
            missing = transport.auth_publickey(user, key)
        except paramiko.BadAuthenticationType as error:
            raise Refused(f"the server takes no keys, only {', '.join(error.allowed_types)}", final=True) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            refused_now = isinstance(error, paramiko.AuthenticationException)
            if refused_now and transport.is_active() and time.monotonic() < deadline:
                refused += 1
                continue
            if refused:
                break
            raise NotYet(f"the connection broke during the login: {error}") from error
        if missing:
            raise Refused(f"the server took the key and wants more: {', '.join(missing)}", final=True)
        return
    raise Refused(f"{refused} key(s) refused")


def _ordered(algorithms: tuple[str, ...], prefer: frozenset[str], avoid: frozenset[str]) -> tuple[str, ...]:
    first = {name for kind in prefer for name in _ALGORITHMS.get(kind, (kind,))}
    never = {name for kind in avoid for name in _ALGORITHMS.get(kind, (kind,))}
    allowed = [name for name in algorithms if name not in never]
    return tuple(sorted(allowed, key=lambda name: name not in first))
