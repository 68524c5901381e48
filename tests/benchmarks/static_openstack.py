"""An OpenStack of fixed answers on loopback, in a process of its own: Keystone, Nova's servers, Neutron's ports.

with running(servers=10_000, latency_s=0.05) as url: …
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any, ClassVar
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

PROJECT = uuid.UUID(int=1).hex
NETWORK = str(uuid.UUID(int=2))
IMAGE, FLAVOR = str(uuid.UUID(int=3)), str(uuid.UUID(int=4))
PAGE = 1000


class Answers(BaseHTTPRequestHandler):
    """What each path is answered with; some class attributes are set before the start."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    url = ""
    latency_s = 0.0
    pages: dict[tuple[str, str], bytes]
    numbers = itertools.count(1)
    created: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if parts.path in ("/compute/servers/detail", "/network/v2.0/ports"):
            time.sleep(self.latency_s)
            page = self.pages[parts.path, query.get("marker", [""])[0]]
            if self.created and parts.path.startswith("/compute"):
                page = json.dumps({"servers": [server(number) for number in self.created]}).encode()
            self.answer(page)
        elif parts.path.startswith("/compute/servers/"):
            time.sleep(self.latency_s)
            self.answer(json.dumps({"server": server(uuid.UUID(parts.path.rpartition("/")[2]).int)}).encode())
        elif parts.path.startswith("/compute"):
            link = {"rel": "self", "href": f"{self.url}/compute/"}
            version = {"id": "v2.1", "status": "CURRENT", "min_version": "2.1", "version": "2.96", "links": [link]}
            self.answer(json.dumps({"version": version}).encode())
        elif parts.path == "/network/v2.0/extensions":
            self.answer(b'{"extensions": []}')
        else:
            link = {"rel": "self", "href": f"{self.url}/identity/v3/"}
            self.answer(json.dumps({"version": {"id": "v3.14", "status": "stable", "links": [link]}}).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/auth/tokens"):
            self.answer(json.dumps(token(self.url)).encode(), 201, {"X-Subject-Token": "t"})
        else:
            time.sleep(self.latency_s)
            number = next(self.numbers)
            self.created.append(number)
            self.answer(json.dumps({"server": {"id": str(uuid.UUID(int=number))}}).encode(), 202)

    def answer(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def token(url: str) -> dict[str, Any]:
    catalog = [
        {
            "type": type,
            "name": name,
            "id": type,
            "endpoints": [
                {
                    "id": "e",
                    "interface": "public",
                    "region": "RegionOne",
                    "region_id": "RegionOne",
                    "url": f"{url}/{path}",
                }
            ],
        }
        for type, name, path in (
            ("compute", "nova", "compute"),
            ("network", "neutron", "network"),
            ("image", "glance", "image"),
            ("volumev3", "cinderv3", "volume"),
        )
    ]
    domain = {"id": "default", "name": "Default"}
    return {
        "token": {
            "methods": ["password"],
            "user": {"id": "u", "name": "demo", "domain": domain},
            "roles": [{"id": "m", "name": "member"}],
            "project": {"id": PROJECT, "name": "demo", "domain": domain},
            "catalog": catalog,
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": "2099-01-01T00:00:00.000000Z",
        }
    }


def mac(number: int) -> str:
    return "fa:16:3e:" + ":".join(f"{byte:02x}" for byte in number.to_bytes(3))


def server(number: int) -> dict[str, Any]:
    """A server as Nova shows it, of about 2 KB."""
    id = str(uuid.UUID(int=number))
    links = [
        {"rel": rel, "href": f"http://compute.example.org:8774/{path}/{id}"}
        for rel, path in (("self", "v2.1/servers"), ("bookmark", "servers"))
    ]
    address = {
        "OS-EXT-IPS-MAC:mac_addr": mac(number),
        "OS-EXT-IPS:type": "fixed",
        "version": 4,
        "addr": f"10.0.{number // 250}.{number % 250}",
    }
    return {
        "id": id,
        "name": f"server-{number}",
        "status": "ACTIVE",
        "tenant_id": PROJECT,
        "user_id": uuid.UUID(int=5).hex,
        "created": "2026-11-25T23:46:44Z",
        "updated": "2026-11-25T23:46:48Z",
        "description": "one of many",
        "image": {"id": IMAGE, "links": links[1:]},
        "flavor": {"id": FLAVOR, "links": links[1:]},
        "key_name": "me",
        "addresses": {"private": [address]},
        "security_groups": [{"name": "default"}],
        "links": links,
        "os-extended-volumes:volumes_attached": [{"id": id, "delete_on_termination": False}],
        "metadata": {"role": "web", "note": "x" * 500},
        "tags": ["blue"],
        "locked": False,
        "progress": 0,
        "OS-EXT-AZ:availability_zone": "nova",
        "OS-EXT-STS:task_state": None,
        "OS-EXT-STS:vm_state": "active",
        "OS-EXT-STS:power_state": 1,
        "OS-DCF:diskConfig": "MANUAL",
        "OS-SRV-USG:launched_at": "2026-11-25T23:46:48.000000",
        "OS-SRV-USG:terminated_at": None,
        "accessIPv4": "",
        "accessIPv6": "",
        "config_drive": "",
        "hostId": "2b" * 28,
    }


def port(number: int) -> dict[str, Any]:
    """What is asked for of a server's port."""
    id = str(uuid.UUID(int=number))
    return {"id": id, "network_id": NETWORK, "device_id": id, "mac_address": mac(number)}


def pages_of(number: int, url: str) -> dict[tuple[str, str], bytes]:
    """The pages by path and marker."""
    pages: dict[tuple[str, str], bytes] = {}
    for first in range(0, max(number, 1), PAGE):
        numbers = range(first, min(first + PAGE, number))
        marker = str(uuid.UUID(int=first - 1)) if first else ""
        for path, key, item in (
            ("/compute/servers/detail", "servers", server),
            ("/network/v2.0/ports", "ports", port),
        ):
            page: dict[str, Any] = {key: [item(each) for each in numbers]}
            if first + PAGE < number:
                following = f"{url}{path}?limit={PAGE}&marker={uuid.UUID(int=numbers[-1])}"
                page[f"{key}_links"] = [{"rel": "next", "href": following}]
            pages[path, marker] = json.dumps(page).encode()
    return pages


def serve(started: Connection, servers: int, latency_s: float) -> None:
    with Server(("127.0.0.1", 0), Answers) as server:
        Answers.url = f"http://127.0.0.1:{server.server_address[1]}"
        Answers.latency_s = latency_s
        Answers.pages = pages_of(servers, Answers.url)
        started.send(Answers.url)
        server.serve_forever()


@contextmanager
def running(servers: int, latency_s: float = 0.0) -> Generator[str]:
    """Serve; the environment variables OS_* lead there. The value is the URL of it all."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=serve, args=(theirs, servers, latency_s), daemon=True
    )
    process.start()
    try:
        url = ours.recv()
        login = {
            "AUTH_URL": f"{url}/identity/v3",
            "USERNAME": "demo",
            "PASSWORD": "secret",
            "PROJECT_NAME": "demo",
            "USER_DOMAIN_ID": "default",
            "PROJECT_DOMAIN_ID": "default",
            "REGION_NAME": "RegionOne",
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        with patch.dict(os.environ, {**others, **{f"OS_{name}": value for name, value in login.items()}}, clear=True):
            yield url
    finally:
        process.kill()
        process.join()
