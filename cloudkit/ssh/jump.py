"""Endpoints behind another host: through an SSH connection to it, verified by the user's own known_hosts."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import Any

from cloudkit.errors import HostKeyChanged, HostKeyUnknown, SshAuthFailed
from cloudkit.ssh.attempt import LOG_CHANNEL, NotYet, connect_socket
from cloudkit.ssh.paramiko_module import close_transport, load_paramiko, new_transport
from cloudkit.types import Endpoint


class Routes:
    """Makes connections, through jump hosts where the endpoint says so; keeps one connection to each jump host."""

    def __init__(self) -> None:
        self._clients: dict[Endpoint, Any] = {}

    def connect(self, endpoint: Endpoint, timeout_s: float) -> Any:
        """A socket, or a channel that acts like one; raises NotYet, or SshError for the jump host."""
        if endpoint.jump is None:
            return connect_socket(endpoint.host, endpoint.port, timeout_s)
        paramiko = load_paramiko()
        transport = self._jump(endpoint, timeout_s).get_transport()
        try:
            return transport.open_channel(
                "direct-tcpip", (endpoint.host, endpoint.port), ("127.0.0.1", 0), timeout=timeout_s
            )
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise NotYet(f"through {endpoint.jump}: {error}") from error

    def close(self) -> None:
        """Close the connections to the jump hosts."""
        while self._clients:
            _close(self._clients.popitem()[1])

    def _jump(self, endpoint: Endpoint, timeout_s: float) -> Any:
        # One connection serves all that is behind the host.
        way = replace(endpoint, host="", port=0)
        client = self._clients.get(way)
        if client is not None and client.get_transport().is_active():
            return client
        if client is not None:
            _close(self._clients.pop(way))
        self._clients[way] = client = _connect_client(way, timeout_s)
        return client


def _connect_client(way: Endpoint, timeout_s: float) -> Any:
    paramiko = load_paramiko()
    destination = way.jump or ""
    user, host, port, key_path = configured(*split_destination(destination))
    client = paramiko.SSHClient()
    _load_host_keys(client, way.jump_known_hosts)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    own_key = way.jump_key or key_path
    sock = connect_socket(host, port, timeout_s)
    try:
        client.connect(
            host,
            port,
            user,
            sock=sock,
            key_filename=own_key,
            look_for_keys=way.jump_key is None,
            banner_timeout=timeout_s * 5,
            transport_factory=_transport,
        )
    except BaseException as error:
        _close(client)
        sock.close()
        identity = f"-i {way.jump_key} " if way.jump_key else ""
        hint = f"Log in once with: ssh {identity}-p {port} {user + '@' if user else ''}{host}"
        if isinstance(error, paramiko.BadHostKeyException):
            raise HostKeyChanged(f"the jump host {host} presents another host key than known_hosts has") from error
        # What a user without any key gets has no class of its own, nor has an unknown host.
        words = str(error) if isinstance(error, paramiko.SSHException) else ""
        if isinstance(error, paramiko.AuthenticationException) or "No authentication methods" in words:
            raise SshAuthFailed(f"the jump host {destination} refused the login", hint=hint) from error
        if "known_hosts" in words:
            raise HostKeyUnknown(f"the jump host {host} is not in known_hosts", hint=hint) from error
        if isinstance(error, (paramiko.SSHException, OSError, EOFError)):
            raise NotYet(f"the jump host {destination}: {error}") from error
        raise
    return client


def _close(client: Any) -> None:
    transport = client.get_transport()
    if transport is not None:
        close_transport(transport)
    client.close()


def _transport(sock: Any, **_options: Any) -> Any:
    return new_transport(sock, LOG_CHANNEL)


def _load_host_keys(client: Any, path: str | None) -> None:
    if path is None:
        client.load_system_host_keys()
        return
    try:
        client.load_system_host_keys(os.path.expanduser(path))
    except OSError as error:
        raise HostKeyUnknown(
            f"the file of known hosts {path} cannot be read", fault=str(error), hint="Name a file that is there."
        ) from error


def configured(user: str | None, host: str, port: int | None) -> tuple[str | None, str, int, list[str]]:
    """User, host, port and files of private keys as ``~/.ssh/config`` completes them; what is given counts more."""
    settings: dict[str, Any] = {}
    with suppress(FileNotFoundError):
        settings = load_paramiko().SSHConfig.from_path(os.path.expanduser("~/.ssh/config")).lookup(host)
    return (
        user or settings.get("user"),
        settings.get("hostname", host),
        port or int(settings.get("port", 22)),
        settings.get("identityfile", []),
    )


def split_destination(destination: str) -> tuple[str | None, str, int | None]:
    """The parts of ``[user@]host[:port]``; an IPv6 address with a port is in brackets."""
    user, _, place = destination.rpartition("@")
    host, colon, port = place.rpartition(":")
    bare_ipv6 = place.count(":") > 1 and not place.startswith("[")
    if bare_ipv6 or not colon or place.endswith("]"):
        host, port = place, ""
    return user or None, host.strip("[]"), int(port) if port else None
