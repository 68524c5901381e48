"""An OpenStack of fixed answers on loopback, in a process of its own: Keystone, Nova's servers, Neutron's ports.

with running(servers=10_000, latency_s=0.05) as url: …
"""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import os
import re
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, ClassVar
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

PROJECT = uuid.UUID(int=1).hex
NETWORK = str(uuid.UUID(int=2))
IMAGE, FLAVOR = str(uuid.UUID(int=3)), str(uuid.UUID(int=4))
PAGE = 1000


class Answers(asyncio.Protocol):
    """What each path is answered with, by as little work as can be: it shares the processor with what is measured.

    Class attributes are set before the start.
    """

    url = ""
    latency_s = 0.0
    pages: ClassVar[dict[tuple[str, str], bytes]]
    numbers = itertools.count(1)
    created: ClassVar[list[int]] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and len(body) >= length_of(head):
            self._received = b""
            method, path, _ = head.decode().split(" ", 2)
            status, answer, latency_s = self.post(path) if method == "POST" else self.get(path)
            fields = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n"
            token = "X-Subject-Token: t\r\n" if path.endswith("/auth/tokens") else ""
            message = f"{fields}{token}\r\n".encode() + answer
            asyncio.get_running_loop().call_later(latency_s, self._transport.write, message)

    def get(self, path: str) -> tuple[int, bytes, float]:
        parts = urlsplit(path)
        if parts.path in ("/compute/servers/detail", "/network/v2.0/ports"):
            if self.created and parts.path.startswith("/compute"):
                page = encoded({"servers": [server(number) for number in self.created]})
            else:
                page = self.pages[parts.path, parse_qs(parts.query).get("marker", [""])[0]]
            return 200, page, self.latency_s
        if parts.path.startswith("/compute/servers/"):
            return 200, encoded({"server": server(uuid.UUID(parts.path.rpartition("/")[2]).int)}), self.latency_s
        if parts.path.startswith("/compute"):
            link = {"rel": "self", "href": f"{self.url}/compute/"}
            version = {"id": "v2.1", "status": "CURRENT", "min_version": "2.1", "version": "2.96", "links": [link]}
            return 200, encoded({"version": version}), 0
        if parts.path == "/network/v2.0/extensions":
            return 200, encoded({"extensions": []}), 0
        link = {"rel": "self", "href": f"{self.url}/identity/v3/"}
        return 200, encoded({"version": {"id": "v3.14", "status": "stable", "links": [link]}}), 0

    def post(self, path: str) -> tuple[int, bytes, float]:
        if path.endswith("/auth/tokens"):
            return 201, encoded(token(self.url)), 0
        number = next(self.numbers)
        self.created.append(number)
        return 202, encoded({"server": {"id": str(uuid.UUID(int=number))}}), self.latency_s


def length_of(head: bytes) -> int:
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return int(found[1]) if found else 0


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


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
            pages[path, marker] = encoded(page)
    return pages


def serve(started: Connection, servers: int, latency_s: float) -> None:
    async def run() -> None:
        listening = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0, backlog=128)
        Answers.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        Answers.latency_s = latency_s
        Answers.pages = pages_of(servers, Answers.url)
        started.send(Answers.url)
        await listening.serve_forever()

    asyncio.run(run())


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
