"""What a fake server prints to its console, and the host key that it prints there."""

from __future__ import annotations

from typing import Any

from cloudkit._hostname import hostname_of
from cloudkit._keys import generate_key_pair, parse_public_key
from cloudkit.errors import MissingExtra
from cloudkit.types import Server

_PRIVATE, _PUBLIC = "host_key", "host_key_line"


def hostname(server: Server) -> str:
    """What the guest calls itself."""
    return hostname_of(server.name, server.id)


def new_host_key(secret: dict[str, Any]) -> str:
    """Make a server's host key; returns its fingerprint as a Server has it.

    Raises:
        MissingExtra: ``cryptography`` is not installed.
    """
    secret[_PRIVATE], secret[_PUBLIC] = generate_key_pair()
    key = parse_public_key(secret[_PUBLIC])
    return key.typed_fingerprint


def private_host_key(secret: dict[str, Any]) -> str:
    """The private host key in OpenSSH's format, made when it is first asked for: most tests never log in."""
    if _PRIVATE not in secret:
        new_host_key(secret)
    return str(secret[_PRIVATE])


def forget_host_key(secret: dict[str, Any]) -> None:
    """A guest that is made anew makes a key anew."""
    secret.pop(_PRIVATE, None)
    secret.pop(_PUBLIC, None)


def boot_log(server: Server, secret: dict[str, Any]) -> str:
    """The lines of a boot, with the block of host keys that cloud-init prints."""
    lines = [
        "[    0.000000] Linux version 6.1.0-cloud-amd64",
        f"[    1.204512] systemd[1]: Hostname set to <{hostname(server)}>.",
    ]
    try:
        private_host_key(secret)
        lines += ["-----BEGIN SSH HOST KEY KEYS-----", secret[_PUBLIC], "-----END SSH HOST KEY KEYS-----"]
    except MissingExtra:
        # Without cryptography there is no SSH server in the guest either.
        pass
    lines.append(f"{hostname(server)} login: ")
    return "\n".join(lines)
