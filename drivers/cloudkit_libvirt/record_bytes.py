"""The bytes of a record: one line with length and SHA-256, then JSON."""

from __future__ import annotations

import hashlib
import json

_MAX_BYTES = 1 << 20


class Unfinished(Exception):
    """The name is taken, and nothing is written yet."""


class Damaged(Exception):
    """The bytes are no record."""


def encode(data: object) -> bytes:
    """The bytes of a blob."""
    payload = json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
    return b"cloudkit %d %s\n%s" % (len(payload), hashlib.sha256(payload).hexdigest().encode(), payload)


def decode(blob: bytes) -> object:
    """The data of a blob; raises Unfinished or Damaged."""
    if not blob.strip(b"\0"):
        raise Unfinished
    header, _, payload = blob[:_MAX_BYTES].partition(b"\n")
    words = header.split(b" ")
    if len(words) != 3 or words[0] != b"cloudkit":
        raise Damaged("it does not start as a record does")
    if words[1] != b"%d" % len(payload) or words[2] != hashlib.sha256(payload).hexdigest().encode():
        raise Damaged("its checksum does not hold")
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        raise Damaged("it is no JSON") from None
