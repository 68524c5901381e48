"""An OpenStack of prepared answers: Keystone's, the versions of the services, and what a test adds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import responses
from requests import PreparedRequest

RECORDED = Path(__file__).parent / "recorded"
"""Bodies of real services (Keystone 30, Glance 33, Nova 34, Neutron 29, Cinder 29)."""

KEYSTONE, NOVA, GLANCE, NEUTRON, CINDER = (
    f"http://{name}.example" for name in ("keystone", "nova", "glance", "neutron", "cinder")
)
PROJECT = "491f5adc3fd344c69ff2c73dfb983a83"
PASSWORD = "correct-horse-battery"
SERVER, VOLUME = "4d1fa8d3-54f4-48d2-b728-15e6a2021ad4", "c2a56b81-0cf5-4d9b-99dc-07c5bee463b0"

EXTENSIONS = (
    "quota_details",
    "router",
    "external-net",
    "net-mtu-writable",
    "provider",
    "standard-attr-tag",
    "trunk-details",
)

Answer = dict[str, Any] | bytes | Exception | None


def recorded(name: str) -> Any:
    """What a real service has answered."""
    return json.loads((RECORDED / f"{name}.json").read_text())


def token(roles: tuple[str, ...] = ("member",), project: str | None = PROJECT, without: str = "") -> dict[str, Any]:
    """Keystone's answer to a login."""
    services = {
        "compute": f"{NOVA}/v2.1",
        "image": GLANCE,
        "network": NEUTRON,
        "volumev3": f"{CINDER}/v3/{project}",
    }
    catalog = [
        {
            "type": type,
            "name": type,
            "id": type,
            "endpoints": [
                {"id": "e", "interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": url}
            ],
        }
        for type, url in services.items()
        if type != without
    ]
    body: dict[str, Any] = {
        "methods": ["password"],
        "user": {"id": "u", "name": "demo", "domain": {"id": "default", "name": "Default"}},
        "roles": [{"id": role, "name": role} for role in roles],
        "expires_at": "2099-01-01T00:00:00.000000Z",
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "catalog": catalog,
    }
    if project is not None:
        body["project"] = {"id": project, "name": "demo", "domain": {"id": "default", "name": "Default"}}
    return {"token": body}


@dataclass
class Cloud:
    """The answers, and the requests that were made.

    Attributes:
        sent: method and URL of each request, in order, without those of the opening.
    """

    mock: responses.RequestsMock
    newest_compute: str = "2.100"
    newest_volume: str = "3.71"
    roles: tuple[str, ...] = ("member",)
    project: str | None = PROJECT
    without: str = ""
    extensions: tuple[str, ...] = EXTENSIONS
    tokens: int = 0
    requests: list[PreparedRequest] = field(default_factory=list[PreparedRequest])

    def prepare(self) -> None:
        """Answer what every opening asks."""
        version = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{KEYSTONE}/v3/"}]}
        self.mock.get(f"{KEYSTONE}/v3", json={"version": version})
        self.mock.add_callback("POST", f"{KEYSTONE}/v3/auth/tokens", self._log_in)
        extensions = [{"alias": alias} for alias in self.extensions]
        self.answer("GET", f"{NEUTRON}/v2.0/extensions", {"extensions": extensions})
        for url, id, newest in (
            (f"{NOVA}/v2.1", "v2.1", self.newest_compute),
            (f"{CINDER}/v3", "v3.0", self.newest_volume),
        ):
            body = {
                "id": id,
                "status": "CURRENT",
                "min_version": id.removeprefix("v"),
                "version": newest,
                "links": [{"rel": "self", "href": f"{url}/"}],
            }
            self.answer("GET", f"{url}/", {"versions": [body]} if "cinder" in url else {"version": body})
            self.answer("GET", url, {"versions": [body]} if "cinder" in url else {"version": body})

    def _log_in(self, request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        self.tokens += 1
        given = json.loads(request.body or b"{}")["auth"]["identity"]["password"]["user"]["password"]
        if given != PASSWORD:
            refusal = {"error": {"code": 401, "message": "The request you have made requires authentication."}}
            return 401, {}, json.dumps(refusal)
        return (
            201,
            {"X-Subject-Token": f"token-{self.tokens}"},
            json.dumps(token(self.roles, self.project, self.without)),
        )

    def answer(
        self, method: str, url: str, body: Answer = None, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """Answer one kind of request; given several times, in order, the last one for good."""

        def call(request: PreparedRequest) -> tuple[int, dict[str, str], bytes]:
            self.requests.append(request)
            if isinstance(body, Exception):
                raise body
            content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
            return status, headers or {}, content

        self.mock.add_callback(method, url, call, content_type="application/json")

    def answers(self, method: str, url: str, respond: Callable[[PreparedRequest], tuple[int, Any]]) -> None:
        """Answer by a function, which returns status and JSON."""

        def call(request: PreparedRequest) -> tuple[int, dict[str, str], bytes]:
            self.requests.append(request)
            status, body = respond(request)
            return status, {}, b"" if body is None else json.dumps(body).encode()

        self.mock.add_callback(method, url, call, content_type="application/json")

    @property
    def sent(self) -> list[str]:
        """Method and path with query of each request."""
        return [f"{request.method} {str(request.url).partition('.example')[2]}" for request in self.requests]

    def body(self, number: int = -1) -> Any:
        """The JSON that a request sent."""
        return json.loads(self.requests[number].body or b"null")
