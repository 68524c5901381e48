"""A proxy before one service that cuts answers off, or loses them when the service has done what was asked."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

ENDS_HERE = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


class FaultProxy:
    """Passes requests on to a port; answers to the next ones of a method can be spoilt. With a context it speaks TLS.

    Attributes:
        port: where it listens, on the same host.
    """

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None = None) -> None:
        """Stand before ``port``."""
        self._service = (host, port)
        self._cut: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._server = ThreadingHTTPServer((host, 0), self._handler())
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port: int = self._server.server_address[1]

    def cut_off(self, method: str, times: int) -> None:
        """Send half of the next answers' bodies."""
        self._cut[method] = times

    def lose(self, method: str, times: int) -> None:
        """Send nothing of the next answers, and hang up."""
        self._lost[method] = times

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def pass_on(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                upstream = http.client.HTTPConnection(*proxy._service)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                upstream.request(self.command, self.path, self.rfile.read(size) or None, headers)
                answer = upstream.getresponse()
                body = answer.read()
                upstream.close()
                self.close_connection = True
                if proxy._take(proxy._lost, self.command):
                    return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ENDS_HERE:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if proxy._take(proxy._cut, self.command) else body)

            do_GET = do_POST = do_PUT = do_DELETE = pass_on

            def log_message(self, format: str, *args: Any) -> None:
                del format, args

        return Handler

    @staticmethod
    def _take(counter: Counter[str], method: str) -> bool:
        counter[method] -= 1
        return counter[method] >= 0
