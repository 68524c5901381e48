"""What a guest calls itself, told from its server's name; one rule, so that it is the same on every back-end."""

from __future__ import annotations

import re

MAX_LENGTH = 63
"""Of one label (RFC 1123)."""


def hostname_of(name: str, server_id: str) -> str:
    """A host name made of a server's name as Nova does it (nova.utils, sanitize_hostname), or else of its id."""
    text = re.sub(r"[^a-z0-9.-]", "", re.sub(r"[ _]", "-", name.lower())).strip(".-")
    return text[:MAX_LENGTH].rstrip(".-") or f"Server-{server_id}"
