"""An SSH host key that is known before the first login: made here, given to the guest by its user data.

The user's own user data stays as it is, beside ours in one MIME message, as cloud-init takes several
(cloud-init, "User data formats").
"""

from __future__ import annotations

import json
from email import message_from_bytes
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from typing import NamedTuple

from cloudkit._keys import generate_key_pair, parse_public_key
from cloudkit.errors import InvalidRequest
from cloudkit_openstack.errors import DRIVER

MAX_BASE64 = 65535
"""Nova's limit (compute API reference, "Create server", user_data)."""

_TYPES = (
    (b"#cloud-config", "cloud-config"),
    (b"#!", "x-shellscript"),
    (b"#include", "x-include-url"),
    (b"#cloud-boothook", "cloud-boothook"),
    (b"#part-handler", "part-handler"),
    (b"## template: jinja", "jinja2"),
)


class Injected(NamedTuple):
    """What makes the guest present a host key; ``fingerprint`` is ``ssh-ed25519 SHA256:…``."""

    user_data: bytes
    fingerprint: str


def inject(user_data: bytes | None) -> Injected:
    """A new host key, and the user data that bring it into the guest; raises InvalidRequest for too much."""
    private, public = generate_key_pair()
    keys = {"ed25519_private": private, "ed25519_public": public}
    ours = b"#cloud-config\n" + json.dumps({"ssh_deletekeys": True, "ssh_keys": keys}).encode() + b"\n"
    combined = ours if user_data is None else _combined(ours, user_data)
    if (len(combined) + 2) // 3 * 4 > MAX_BASE64:
        raise InvalidRequest(
            "user_data: there is no room for the host key beside them",
            driver=DRIVER,
            hint=f"Shorten them by {len(combined) - MAX_BASE64 * 3 // 4} bytes, or pass inject_host_key=False.",
        )
    return Injected(combined, parse_public_key(public).typed_fingerprint)


def _combined(ours: bytes, users: bytes) -> bytes:
    message = MIMEMultipart()
    message.attach(_part(ours))
    for part in _parts(users):
        message.attach(part)
    return message.as_bytes()


def _parts(data: bytes) -> list[Message]:
    if data[:13].lower() == b"content-type:" or data[:13].lower() == b"mime-version:":
        whole = message_from_bytes(data)
        return list(whole.get_payload()) if whole.is_multipart() else [whole]  # type: ignore[arg-type]
    return [_part(data)]


def _part(data: bytes) -> Message:
    subtype = next((name for start, name in _TYPES if data.startswith(start)), "plain")
    part = MIMENonMultipart("text", subtype, charset="utf-8")
    try:
        part.set_payload(data.decode(), "utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest(
            "user_data: they are no text, so that a host key cannot stand beside them",
            driver=DRIVER,
            hint="Pass inject_host_key=False.",
        ) from None
    return part
