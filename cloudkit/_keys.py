"""SSH keys: public ones checked and fingerprinted, key pairs made, private ones written safely.

Formats: a public key line is RFC 4253, section 6.6, as ``authorized_keys`` has it without options (sshd(8));
a fingerprint is what ``ssh-keygen -l`` prints.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from contextlib import suppress
from typing import NamedTuple

from cloudkit.errors import AlreadyExists, InvalidRequest, MissingExtra

_FIELDS = {
    "ssh-ed25519": 2,
    "ssh-rsa": 3,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "sk-ssh-ed25519@openssh.com": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
}
"""How many length-prefixed fields a key of each type has, its type's name included.

RFC 4253, 5656, 8709; OpenSSH's PROTOCOL.u2f.
"""

KEY_TYPES = tuple(_FIELDS)

_MIN_RSA_BYTES = 128
"""OpenSSH refuses RSA keys below 1024 bits."""

_HINT = "A public key is one line as in ~/.ssh/id_ed25519.pub: the type, the key in base64, a comment."


class PublicKey(NamedTuple):
    """A public key that was checked."""

    type: str
    blob: bytes
    comment: str = ""

    @property
    def fingerprint(self) -> str:
        """``SHA256:`` and the digest in base64 without padding."""
        return f"SHA256:{base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip('=')}"

    @property
    def typed_fingerprint(self) -> str:
        """``ssh-ed25519 SHA256:…``, as a Server's ``host_key`` is written."""
        return f"{self.type} {self.fingerprint}"

    @property
    def line(self) -> str:
        """The key as one line, with its comment if it has one."""
        return f"{self.type} {base64.b64encode(self.blob).decode()} {self.comment}".rstrip()


def parse_public_key(text: str) -> PublicKey:
    """Check an OpenSSH public key line.

    Raises:
        InvalidRequest: it is not exactly one whole public key of a known type. The text is never repeated in the
            message, as it may be a private key.
    """
    if "PRIVATE KEY" in text:
        raise InvalidRequest(
            "this is a private key where a public one belongs",
            hint="Give the line of the file beside it that ends in .pub. The private key was sent nowhere.",
        )
    lines = text.strip().splitlines()
    if len(lines) != 1:
        raise InvalidRequest(f"a public key is one line, this text has {len(lines)}", hint=_HINT)
    kind, *rest = lines[0].split(maxsplit=2)
    if kind not in _FIELDS:
        raise InvalidRequest(
            f"the public key does not start with a known type ({', '.join(KEY_TYPES)})",
            hint=_HINT,
        )
    if not rest:
        raise InvalidRequest(f"the {kind} public key has no key after its type", hint=_HINT)
    try:
        blob = base64.b64decode(rest[0], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"the {kind} public key is not base64", fault=str(error), hint=_HINT) from None
    _check_blob(kind, blob)
    return PublicKey(kind, blob, rest[1].strip() if len(rest) > 1 else "")


def fingerprint(public_key: str) -> str:
    """The fingerprint of a public key line, as ``SHA256:…``; raises InvalidRequest."""
    return parse_public_key(public_key).fingerprint


def _check_blob(kind: str, blob: bytes) -> None:
    fields = _split_fields(blob)
    if fields is None:
        raise InvalidRequest(f"the {kind} public key is cut off or damaged", hint=_HINT)
    if fields[0] != kind.encode():
        raise InvalidRequest(f"the public key says that it is {kind}, but holds a key of another type", hint=_HINT)
    wrong = len(fields) != _FIELDS[kind] or not all(fields)
    if not wrong and "ed25519" in kind:
        wrong = len(fields[1]) != 32
    elif not wrong and "ecdsa" in kind:
        curve = kind.partition("@")[0].rpartition("-")[2]
        wrong = fields[1] != curve.encode()
    if wrong:
        raise InvalidRequest(f"the {kind} public key is damaged", hint=_HINT)
    if kind == "ssh-rsa" and len(fields[2].lstrip(b"\0")) < _MIN_RSA_BYTES:
        raise InvalidRequest(
            "the RSA key is shorter than 1024 bits, which SSH servers refuse", hint="Make a new one."
        )


def _split_fields(blob: bytes) -> list[bytes] | None:
    fields = list[bytes]()
    position = 0
    while position < len(blob):
        start = position + 4
        position = start + int.from_bytes(blob[position:start], "big")
        if start > len(blob) or position > len(blob):
            return None
        fields.append(blob[start:position])
    return fields or None


def generate_key_pair(comment: str = "") -> tuple[str, str]:
    """A new ed25519 key: the private one in OpenSSH's format, unencrypted, and the public line.

    Raises:
        MissingExtra: ``cryptography`` is not installed.
    """
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise MissingExtra(
            "making a key pair needs the module 'cryptography', which cannot be imported",
            fault=str(error),
            hint="Run: pip install 'cloudkit-sdk[ssh]'",
        ) from error
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} {comment}".rstrip()


def write_private_key(path: str | os.PathLike[str], pem: str) -> None:
    """Write a private key to a new file that only its owner can read (mode 0600).

    Raises:
        AlreadyExists: there is something at ``path``; it is never overwritten.
        InvalidRequest: the folder does not exist, or the file cannot be written. Nothing is left behind.
    """
    place: str = os.path.expanduser(os.fspath(path))
    try:
        # O_EXCL does not follow a symbolic link either.
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    except FileExistsError:
        raise AlreadyExists(
            f"{place} exists already", hint="Choose another path: keys are not overwritten."
        ) from None
    except FileNotFoundError:
        raise InvalidRequest(f"the folder of {place} does not exist", hint="Make the folder first.") from None
    except (OSError, ValueError) as error:
        raise _not_written(place, error) from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        with suppress(OSError):
            os.unlink(place)
        if isinstance(error, UnicodeError):
            # Its text would hold the key.
            raise InvalidRequest("the private key is not ASCII text") from None
        if isinstance(error, OSError):
            raise _not_written(place, error) from error
        raise


def _not_written(place: str, error: Exception) -> InvalidRequest:
    reason = error.strerror if isinstance(error, OSError) else None
    return InvalidRequest(f"the private key cannot be written to {place}", fault=reason or str(error))
