"""One service of the catalog: requests with retries where they are safe, pages, microversions, errors.

Requests go out through the keystoneauth session that openstacksdk made: it adds the token, gets a new one when it
has expired (a 401 means that nothing was done), and verifies certificates.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
from keystoneauth1 import exceptions as ka
from keystoneauth1.session import Session

from cloudkit.errors import CloudError, InvalidRequest, NotFound, Unavailable
from cloudkit_openstack.errors import DRIVER, of_answer, translate
from cloudkit_openstack.wire import WIDEST, Body

if TYPE_CHECKING:
    import requests

PAGE = 1000
"""How many things a page has: the most that the services give by default."""

PAUSES_S = (0.2, 0.5, 1.0)
"""Between the tries of a request that can be repeated."""

LONGEST_PAUSE_S = 30.0
"""A service that asks for more (Retry-After) is left alone."""

_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_PASSING = frozenset({429, 503})
_decode = msgspec.json.Decoder(Body).decode
_sleep = time.sleep

T = TypeVar("T")
D = TypeVar("D")

Query = Mapping[str, Any] | Sequence[tuple[str, Any]]


class Access(Protocol):
    """How the catalog is read and requests are sent."""

    @property
    def session(self) -> Session: ...
    @property
    def filters(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class ServiceType:
    """What is to be known of a service beforehand.

    Attributes:
        catalog: its official type, which other names in catalogs are translated to.
        noun: for messages.
        versions: lowest and highest version to discover; None where the version's path is known and no
            microversions exist.
        version_path: appended to an endpoint that does not name a version.
        narrow: it answers 500 to characters of four bytes, which its database does not hold.
    """

    catalog: str
    noun: str
    versions: tuple[str, str] | None = None
    version_path: str = ""
    narrow: bool = False


COMPUTE = ServiceType("compute", "compute", ("2.1", "2.latest"))
IMAGE = ServiceType("image", "image", version_path="v2")
NETWORK = ServiceType("network", "network", version_path="v2.0")
VOLUME = ServiceType("block-storage", "volume", ("3.0", "3.latest"), narrow=True)


class Service:
    """One service, as one project sees it."""

    def __init__(self, type: ServiceType, access: Access, override: str | None, log: logging.Logger) -> None:
        """``override`` is an address that counts in place of the catalog's."""
        self.type = type
        self._access = access
        self._override = override
        self._log = log
        self._lock = threading.Lock()
        self._url: str | None = None
        self._newest: tuple[int, int] | None = None

    # ---------------------------------------------------------------- JSON

    def get(self, path: str, query: Query = (), version: str | None = None) -> Body:
        """The JSON body of a GET."""
        return self.read(self.request("GET", path, query=query, version=version))

    def post(self, path: str, body: Any, version: str | None = None) -> Body:
        """The JSON body that a POST is answered with; an empty one for an empty answer."""
        return self.read(self.request("POST", path, body=body, version=version))

    def put(self, path: str, body: Any, version: str | None = None) -> Body:
        """The same for a PUT."""
        return self.read(self.request("PUT", path, body=body, version=version))

    def delete(self, path: str, version: str | None = None) -> None:
        """Delete; raises NotFound."""
        self.request("DELETE", path, version=version)

    def pages(
        self,
        path: str,
        key: str,
        query: Query = (),
        version: str | None = None,
        marker: Callable[[Body], str] = lambda body: str(body["id"]),
    ) -> Iterator[Sequence[Body]]:
        """All pages of a list: as long as the service tells of a next one.

        Args:
            key: what the answer's list is called.
            marker: what of the last thing begins the next page; its id, unless told otherwise.
        """

        def page(content: bytes) -> tuple[Sequence[Body], bool]:
            body = _object(content)
            return body[key], _next_link(body, key)

        return self.decoded_pages(path, page, query, version, marker)

    def decoded_pages(
        self,
        path: str,
        decode: Callable[[bytes], tuple[Sequence[T], bool]],
        query: Query,
        version: str | None,
        marker: Callable[[T], str],
    ) -> Iterator[Sequence[T]]:
        """The same, where ``decode`` tells a page's things, and whether there is a next one."""
        base = [*(query.items() if isinstance(query, Mapping) else query), ("limit", PAGE)]
        at: list[tuple[str, Any]] = []
        known: list[str] = []
        while True:
            try:
                answer = self.request("GET", path, query=[*base, *at], version=version)
            except (NotFound, InvalidRequest):
                # The thing that the page was to begin after is gone meanwhile: the one before it serves as well.
                if len(known) < 2:
                    raise
                known.pop()
                at = [("marker", known[-1])]
                continue
            things, more = self.decoded(answer, decode)
            if things:
                yield things
            if not things or not more:
                return
            known = [marker(thing) for thing in things]
            at = [("marker", known[-1])]

    # ---------------------------------------------------------------- requests

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Any = None,
        version: str | None = None,
        **how: Any,
    ) -> requests.Response:
        """Send one request; try again what can be repeated.

        Args:
            version: the microversion that it needs; an older cloud gets its newest one.
            how: for keystoneauth's session: ``data``, ``stream``, ``headers``, ``allow_reauth``.
        """
        url = self.url + path
        if version is not None:
            how["microversion"] = self._negotiated(version)
            how["microversion_service_type"] = self.type.catalog
        if body is not None:
            if self.type.narrow:
                _refuse_wide(body, self.type.noun)
            how["json"] = body
        if query:
            how["params"] = list(query.items()) if isinstance(query, Mapping) else list(query)
        how["headers"] = {"Accept": "application/json", **how.get("headers", {})}
        tries = len(PAUSES_S) + 1 if method in _REPEATABLE and "data" not in how else 1
        lost = False
        for number in range(tries):
            try:
                answer = self._send(method, url, path, how)
            except (ka.ConnectionError, ka.RetriableConnectionFailure) as error:
                if number + 1 == tries or isinstance(error, ka.SSLError):
                    raise translate(error) from error
                lost = True
                _sleep(PAUSES_S[number])
                continue
            if answer.status_code < 400:
                return answer
            if lost and method == "DELETE" and answer.status_code == 404:
                # The first try's answer was lost, not its effect.
                return answer
            pause_s = _retry_after_s(answer)
            refusal = of_answer(answer.status_code, answer.content, self.type.noun, request_id_of(answer), pause_s)
            if answer.status_code not in _PASSING or number + 1 == tries:
                raise refusal
            pause_s = PAUSES_S[number] if pause_s is None else pause_s
            if pause_s > LONGEST_PAUSE_S:
                raise refusal
            _sleep(pause_s)
        raise AssertionError("a try returns or raises")

    def _send(self, method: str, url: str, path: str, how: dict[str, Any]) -> requests.Response:
        started = time.monotonic()
        outcome, request_id = "no answer", None
        try:
            answer = self._access.session.request(url, method, authenticated=True, raise_exc=False, log=False, **how)
            outcome, request_id = str(answer.status_code), request_id_of(answer)
            return answer
        finally:
            elapsed_ms = (time.monotonic() - started) * 1000
            self._log.debug(
                "%s %s %s %s after %.1f ms [%s]", self.type.noun, method, path, outcome, elapsed_ms, request_id or "-"
            )

    def read(self, answer: requests.Response) -> Body:
        """The JSON object of an answer; an empty one for an empty answer."""
        return self.decoded(answer, _object) if answer.content else {}

    def decoded(self, answer: requests.Response, decode: Callable[[bytes], D]) -> D:
        """What an answer says; raises Unavailable for what cannot be read."""
        try:
            return decode(answer.content)
        except (msgspec.DecodeError, KeyError) as error:
            raise _unexpected(self.type.noun, answer) from error

    # ---------------------------------------------------------------- where it is, what it speaks

    @property
    def url(self) -> str:
        """Its endpoint with the version, without a slash at the end; found out once."""
        if self._url is None:
            with self._lock:
                if self._url is None:
                    try:
                        self._url = self._discover().rstrip("/")
                    except CloudError:
                        raise
                    except Exception as error:
                        raise translate(error) from error
        return self._url

    def _discover(self) -> str:
        session, type = self._access.session, self.type
        filters: dict[str, Any] = {"service_type": type.catalog, **self._access.filters}
        if type.versions is None:
            url = self._override or session.get_endpoint(skip_discovery=True, **filters)
            if url is None:
                raise ka.EndpointNotFound(f"{type.catalog}: there is none for {_shown(self._access.filters)}")
            parts = urlsplit(url).path.rstrip("/").rpartition("/")[2]
            return url if parts.startswith("v2") else f"{url.rstrip('/')}/{type.version_path}"
        low, high = type.versions
        data = session.auth.get_endpoint_data(  # type: ignore[union-attr]
            session,
            endpoint_override=self._override,
            discover_versions=True,
            min_version=low,
            max_version=high,
            **filters,
        )
        if data is None or data.url is None:
            raise ka.EndpointNotFound(f"{type.catalog}: there is none for {_shown(self._access.filters)}")
        newest: Any = data.max_microversion
        self._newest = newest
        return str(data.url)

    def _negotiated(self, version: str) -> str:
        if self._newest is None:
            return version
        wanted = tuple(map(int, version.split(".")))
        return version if wanted <= self._newest else ".".join(map(str, self._newest))


def request_id_of(answer: requests.Response) -> str | None:
    """The id under which a service has logged a request."""
    return answer.headers.get("x-openstack-request-id") or answer.headers.get("x-compute-request-id")


def _object(content: bytes) -> Body:
    """A JSON object; raises DecodeError."""
    return _decode(content)


def _unexpected(noun: str, answer: requests.Response) -> Unavailable:
    """The error for an answer that is cut short, or not the service's at all."""
    return Unavailable(
        f"the {noun} service's answer cannot be read",
        driver=DRIVER,
        fault=f"{answer.status_code}, {len(answer.content)} bytes of {answer.headers.get('Content-Type')}",
        request_id=request_id_of(answer),
    )


def _refuse_wide(body: Any, noun: str) -> None:
    """Raise InvalidRequest for characters that need more than three bytes."""
    widest = max(msgspec.json.encode(body).decode())
    if widest > WIDEST:
        raise InvalidRequest(
            f"the {noun} service holds no {widest!r}",
            driver=DRIVER,
            hint="Characters beyond U+FFFF, as emoji are, need four bytes, and its database has three for each.",
        )


def segment(id: str) -> str:
    """An id as a part of a path; what would mean another path is nobody's id."""
    if not id.strip("."):
        raise NotFound(f"there is nothing with the id {id!r}", driver=DRIVER, resource=id)
    return quote(id, safe="")


def _next_link(answer: Body, key: str) -> bool:
    if answer.get("next"):
        return True
    links: Sequence[Body] = answer.get(f"{key}_links") or ()
    return any(link.get("rel") == "next" for link in links)


def _retry_after_s(answer: requests.Response) -> float | None:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


def _shown(filters: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in filters.items() if value) or "any region"
