"""What libvirt's connection URIs say (libvirt's documentation, "Connection URIs")."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from cloudkit.errors import ConfigError, Unsupported
from cloudkit.types import Endpoint
from cloudkit_libvirt.ssh_transport import query_of

SYSTEM_POOL_PATH = "/var/lib/libvirt/cloudkit"


def is_session(uri: str) -> bool:
    """Whether it is the libvirt of an ordinary user, which runs without privileges."""
    return urlsplit(uri).path == "/session"


def endpoint(uri: str, host: str, port: int) -> Endpoint:
    """A port as libvirt's host reaches it: from a distance through an SSH connection like libvirt's own."""
    query = query_of(uri)
    return Endpoint(
        host=host,
        port=port,
        jump=jump_of(uri),
        jump_key=query.get("keyfile"),
        jump_known_hosts=query.get("known_hosts"),
    )


def jump_of(uri: str) -> str | None:
    """The SSH destination from where guests of a remote host are reached; None where that is this host."""
    parts = urlsplit(uri)
    if parts.hostname is None:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if "ssh" not in parts.scheme.partition("+")[2]:
        # The user and port of another transport are none of sshd's.
        return host
    user = f"{parts.username}@" if parts.username else ""
    return f"{user}{host}{f':{parts.port}' if parts.port else ''}"


def default_pool_path(uri: str) -> str:
    """Where the pool is made unless told otherwise.

    Raises:
        Unsupported: root asks for a session.
        ConfigError: the user's folder on another host is not known.
    """
    if not is_session(uri):
        return SYSTEM_POOL_PATH
    if urlsplit(uri).hostname is not None:
        raise ConfigError(
            f"the data folder of a user on {urlsplit(uri).hostname} is not known",
            driver="libvirt",
            hint="Set the option pool_path to a folder of that user's, as /home/me/.local/share/cloudkit/libvirt.",
        )
    if os.geteuid() == 0:
        raise Unsupported(
            "root has no libvirt session of its own", driver="libvirt", hint="Use qemu:///system, or another user."
        )
    # A relative path is invalid here (XDG Base Directory Specification).
    data = os.environ.get("XDG_DATA_HOME", "")
    folder = Path(data) if data.startswith("/") else Path.home() / ".local/share"
    return str(folder / "cloudkit/libvirt")
