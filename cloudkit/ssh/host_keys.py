"""Which host key a server must present, and where we know it from.

In order: the caller, the server's own record, the first block of host keys that its console printed since boot.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from cloudkit._keys import KEY_TYPES, PublicKey, parse_public_key
from cloudkit.errors import CloudError, HostKeyChanged, HostKeyUnknown, InvalidRequest, Unsupported
from cloudkit.types import Server

_BEGIN = "-----BEGIN SSH HOST KEY KEYS-----"
_END = "-----END SSH HOST KEY KEYS-----"
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}", re.ASCII)
_KEY = re.compile(rf"(?:^|\s)((?:{'|'.join(map(re.escape, KEY_TYPES))})\s+[A-Za-z0-9+/]+=*)(?=\s|$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ExpectedKeys:
    """The host keys that a server may present.

    Attributes:
        fingerprints: pairs of (key type, ``SHA256:…``); the type is None where only the fingerprint is known.
        source: where they are known from, for messages.
    """

    fingerprints: frozenset[tuple[str | None, str]]
    source: str

    @property
    def types(self) -> frozenset[str]:
        """The types that are known; empty when a key of any type can be the one."""
        known = {kind for kind, _ in self.fingerprints}
        return frozenset() if None in known else frozenset(kind for kind in known if kind)

    def accepts(self, key: PublicKey) -> bool:
        """Whether this is one of them."""
        return not self.fingerprints.isdisjoint({(key.type, key.fingerprint), (None, key.fingerprint)})

    def changed(self, server: Server, endpoint: str, presented: list[PublicKey]) -> HostKeyChanged:
        """The error for a server that presented other keys."""
        expected = ", ".join(sorted(f"{kind or 'any type'} {digest}" for kind, digest in self.fingerprints))
        got = ", ".join(key.typed_fingerprint for key in presented)
        return HostKeyChanged(
            f"{endpoint} presents another host key than {server.name}'s: expected {expected} ({self.source}),"
            f" got {got}",
            resource=server,
        )


class HostKeySources:
    """Finds the expected keys of a server; asks its console again and again, as it may still be booting."""

    def __init__(self, server: Server, given: str | None, console_log: Callable[[], str] | None) -> None:
        self._server = server
        self._console_log = console_log
        self._known = self._from_text(given)

    def find(self) -> ExpectedKeys | None:
        """The keys, or None while the console may still print them.

        Raises:
            HostKeyUnknown: they will never be known.
            CloudError: the console cannot be read.
        """
        if self._known is None:
            self._known = self._from_console()
        return self._known

    def unknown(self, reason: str, console: str | None = None) -> HostKeyUnknown:
        """The error for a server whose key cannot be verified."""
        return HostKeyUnknown(
            f"the host key of {self._server.name} cannot be verified: none was given, none is recorded with the"
            f" server, and {reason}",
            resource=self._server,
            console_tail=console,
        )

    def _from_text(self, given: str | None) -> ExpectedKeys | None:
        if given is not None:
            return ExpectedKeys(frozenset({parse_host_key(given)}), "given as host_key=")
        recorded = self._server.host_key
        if recorded is None:
            return None
        try:
            return ExpectedKeys(frozenset({parse_host_key(recorded)}), "recorded with the server")
        except InvalidRequest as error:
            raise HostKeyUnknown(
                f"the host key recorded with {self._server.name} is damaged",
                resource=self._server,
                fault=error.message,
                hint="Pass host_key=.",
            ) from error

    def _from_console(self) -> ExpectedKeys | None:
        if self._console_log is None:
            raise self.unknown("its console log is not available")
        try:
            keys = first_host_keys(self._console_log())
        except Unsupported as error:
            raise self.unknown("this back-end has no console log") from error
        except CloudError as error:
            if error.retryable:
                return None
            raise
        if keys is None:
            return None
        if not keys:
            raise self.unknown("the block of host keys in its console log holds no whole key")
        return ExpectedKeys(frozenset((key.type, key.fingerprint) for key in keys), "printed to the console at boot")


def parse_host_key(text: str) -> tuple[str | None, str]:
    """The (type, fingerprint) of ``SHA256:…``, ``ssh-ed25519 SHA256:…`` or a public key line.

    Raises:
        InvalidRequest: it is none of these.
    """
    words = text.split()
    if words and words[-1].startswith("SHA256:"):
        kind = words[0] if len(words) > 1 else None
        if len(words) > 2 or (kind is not None and kind not in KEY_TYPES) or not _FINGERPRINT.fullmatch(words[-1]):
            raise InvalidRequest(
                f"{text[:120]!r} is not a host key's fingerprint",
                hint="Write 'ssh-ed25519 SHA256:…' as ssh-keygen -l prints it, or the whole public key.",
            )
        return kind, words[-1]
    key = parse_public_key(text)
    return key.type, key.fingerprint


def first_host_keys(console: str) -> tuple[PublicKey, ...] | None:
    """The keys in the first block of host keys that cloud-init printed, or None when there is no whole block yet.

    Later blocks are never looked at: whoever is in the guest can print to its console, but not before its boot
    has. Lines that are not whole keys (a kernel message that got between) are left out.
    """
    _, begin, rest = console.partition(_BEGIN)
    block, end, _ = rest.partition(_END)
    if not begin or not end:
        return None
    # A block that was cut off ends where the next one begins.
    block = block.partition(_BEGIN)[0]
    keys = list[PublicKey]()
    for line in block.splitlines():
        for match in _KEY.finditer(line):
            try:
                keys.append(parse_public_key(match[1]))
            except InvalidRequest:
                continue
    return tuple(dict.fromkeys(keys))
