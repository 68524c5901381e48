"""The keys to log in with: one from a file, one that is given, or those of the SSH agent.

A file is parsed once: checking an RSA key takes 0.1 s of CPU, on each connection.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from cloudkit.errors import InvalidRequest, SshError
from cloudkit.ssh.paramiko_module import load_paramiko

_MAX_AGENT_KEYS = 5
"""OpenSSH's servers disconnect after six refusals (MaxAuthTries)."""

_MAX_CACHED = 16

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
"""What RFC 5656 requires; SSH servers know no other."""

_cache: dict[tuple[str, int, int, int], Any] = {}
_cache_lock = threading.Lock()


@contextmanager
def open_keys(key: Any) -> Generator[list[Any], None, None]:
    """The paramiko keys to offer, in order; usable within the context.

    Args:
        key: the path of an unencrypted private key, a ``paramiko.PKey``, or None for the SSH agent's.

    Raises:
        InvalidRequest: there is no such file, it holds no private key, or the agent has none.
        SshError: the key is encrypted.
    """
    paramiko = load_paramiko()
    if isinstance(key, paramiko.PKey):
        yield [key]
    elif key is not None:
        yield [load_key(key)]
    else:
        agent = paramiko.Agent()
        try:
            keys = list(agent.get_keys())[:_MAX_AGENT_KEYS]
            if not keys:
                raise InvalidRequest(
                    "no key= was given, and there is no SSH agent with a key",
                    hint="Pass key=, the path of a private key.",
                )
            yield keys
        finally:
            agent.close()


def load_key(path: Any) -> Any:
    """The paramiko key in a file, from the cache if the file has not changed."""
    if not isinstance(path, (str, os.PathLike)) or "PRIVATE KEY-----" in str(path):  # pyright: ignore[reportUnknownArgumentType]
        raise InvalidRequest(
            "key= is neither a path nor a paramiko key", hint="Write the key to a file, and give its path."
        )
    place: str = os.path.expanduser(os.fspath(path))
    try:
        with open(place, "rb") as file:
            status = os.fstat(file.fileno())
            stamp = (place, status.st_ino, status.st_size, status.st_mtime_ns)
            with _cache_lock:
                known = _cache.get(stamp)
            if known is not None:
                return known
            data = file.read(1 << 20)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidRequest(
            f"the private key {place} cannot be read", fault=reason, hint="Pass key=, the path of a private key."
        ) from error
    loaded = _parse(data, place)
    with _cache_lock:
        if len(_cache) >= _MAX_CACHED:
            _cache.clear()
        _cache[stamp] = loaded
    return loaded


def _parse(data: bytes, place: str) -> Any:
    # cryptography parses once, where paramiko's own look at a file of unknown type parses twice.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    load_ssh, load_pem = serialization.load_ssh_private_key, serialization.load_pem_private_key
    try:
        key = (load_ssh if b"BEGIN OPENSSH PRIVATE KEY" in data else load_pem)(data, None)
    except TypeError as error:
        raise SshError(
            f"the private key {place} is encrypted",
            hint="Add it to the SSH agent (ssh-add) and leave out key=, or give a key without a passphrase.",
        ) from error
    except (ValueError, UnsupportedAlgorithm):
        # Without the cause, whose text may tell of the key.
        hint = "Give the path of a private key in OpenSSH's or PEM format."
        if data.split(b" ", 1)[0] in (b"ssh-ed25519", b"ssh-rsa") or data.startswith(b"ecdsa-"):
            hint = "This is the public key: give the path without .pub."
        raise InvalidRequest(f"{place} holds no private key", hint=hint) from None
    paramiko = load_paramiko()
    if isinstance(key, rsa.RSAPrivateKey):
        return paramiko.RSAKey(key=key)
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return paramiko.ECDSAKey(vals=(key, key.public_key()))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        return paramiko.Ed25519Key(file_obj=io.StringIO(pem.decode()))
    raise InvalidRequest(
        f"the private key {place} is of a type that is not supported", hint="Use an ed25519, ECDSA or RSA key."
    )
