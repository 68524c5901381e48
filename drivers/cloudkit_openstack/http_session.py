"""The HTTP session below keystoneauth's: connections that are kept, and an environment that is read once a host."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from keystoneauth1.session import TCPKeepAliveAdapter

CONNECTIONS = 64
"""How many requests may be under way at once without opening connections anew."""


class HttpSession(requests.Session):
    """Proxies and certificates that environment variables name are looked up once for each host.

    requests looks at each request, which takes a third of the processor's time that a request costs (measured).
    """

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[tuple[Any, ...], Any] = {}
        adapter = TCPKeepAliveAdapter(pool_connections=16, pool_maxsize=CONNECTIONS)
        for scheme in ("http://", "https://"):
            self.mount(scheme, adapter)

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """What counts for a request; keystoneauth has no ``proxies`` of its own."""
        if proxies:
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        parts = urlsplit(str(url))
        key = parts.scheme, parts.netloc, stream, verify, cert
        if key not in self._found:
            self._found[key] = super().merge_environment_settings(url, {}, stream, verify, cert)
        return self._found[key]
