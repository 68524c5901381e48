"""Fetches an image from a URL into the user's cache folder, in as many pieces as connections last.

What has come is kept in a ``.part`` beside a note of what the server called it (its ETag or date); a later try asks
for the rest only "if it is still that" (RFC 9110, "If-Range"). Only http and https are spoken, whatever a redirect
says.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from urllib.parse import urldefrag, urlsplit

from cloudkit import _checks as checks
from cloudkit._image_source import OnBytes
from cloudkit.errors import CloudError, InvalidRequest, NotFound, PermissionDenied, Unavailable

CHUNK_BYTES = 1 << 18
TIMEOUT_S = 30.0
PAUSES_S = (0.5, 1.0, 2.0, 4.0)
"""After each try that brought nothing new; one more, and it is given up."""
KEPT_S = 7 * 24 * 3600
"""What nobody came back for is deleted after this time."""

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Broken(Exception):
    """The connection failed; the same request may succeed."""


def cache_folder() -> Path:
    """Where parts are kept (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "cloudkit" / "images"


class Fetch:
    """``with Fetch(url, …) as path``: the whole file, removed at the end unless an error makes it worth keeping."""

    def __init__(
        self,
        url: str,
        *,
        limit_bytes: int,
        has_checksum: bool,
        on_bytes: OnBytes | None,
    ) -> None:
        """Check the URL; raises InvalidRequest."""
        _check_url(url, has_checksum)
        self._url = urldefrag(url).url
        self._shown = shown(url)
        self._limit = limit_bytes
        self._on_bytes = on_bytes
        self._opener = _opener(has_checksum)
        name = hashlib.sha256(self._url.encode()).hexdigest()[:32]
        self._path = cache_folder() / f"{name}.part"
        self._note_path = self._path.with_suffix(".json")
        self._file: BinaryIO | None = None

    def __enter__(self) -> Path:
        """Fetch what is missing; waits while another process fetches the same."""
        with self._writing():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _drop_old(self._path.parent)
            self._file = _open_locked(self._path)
        try:
            self._fetch()
        except BaseException as error:
            self._end(error)
            raise
        return self._path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        # A refused image would be refused again; what was only interrupted is worth keeping.
        if error is None or isinstance(error, InvalidRequest) or not self._size():
            for path in (self._path, self._note_path):
                path.unlink(missing_ok=True)
        if self._file is not None:
            self._file.close()

    # ---------------------------------------------------------------- trying until all is there

    def _fetch(self) -> None:
        furthest, tries = self._size(), 0
        while True:
            try:
                if self._attempt():
                    return
                trouble = "the connection ended before all had come"
            except _Broken as broken:
                trouble = str(broken)
            tries, furthest = (0, self._size()) if self._size() > furthest else (tries + 1, furthest)
            if tries > len(PAUSES_S):
                raise Unavailable(
                    f"{self._shown} cannot be fetched",
                    fault=trouble,
                    hint="Try again later: what has come is kept, and not fetched again if the server can tell that "
                    "it is the same.",
                )
            time.sleep(PAUSES_S[max(tries - 1, 0)])

    def _attempt(self) -> bool:
        """Whether all has come."""
        validator = self._read_note() if self._size() else None
        if validator is None:
            self._start_anew(None)
        try:
            answer = self._request(validator)
        except urllib.error.HTTPError as error:
            with error:
                return self._refused(error)
        with contextlib.closing(answer):
            total = self._begin(answer, validator)
            for piece in self._pieces(answer):
                self._append(piece)
                size = self._size()
                self._check_size(size)
                if self._on_bytes is not None:
                    self._on_bytes(size, total)
        return total is None or self._size() == total

    def _begin(self, answer: Any, validator: str | None) -> int | None:
        """Make the file ready for the answer's bytes; returns the whole size, where it is told."""
        headers = answer.headers
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise InvalidRequest(
                f"{self._shown} is sent packed ({headers['Content-Encoding']}), which was not asked for"
            )
        given = _validator(headers)
        total: int | None = None
        if answer.status == 206:
            match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
            if match is None or match[1] is None or int(match[1]) != self._size() or given not in (None, validator):
                self._start_anew(None)
                raise _Broken("the server gave another part than was asked for")
            total = None if match[2] == "*" else int(match[2])
        else:
            self._start_anew(given)
            length = headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
        self._check_size(total or 0)
        return total

    def _refused(self, error: urllib.error.HTTPError) -> bool:
        """What an answer that is none means; True: that all was here already."""
        code = error.code
        if code == 416:
            match = _CONTENT_RANGE.fullmatch(error.headers.get("Content-Range", ""))
            if match is not None and match[2] == str(self._size()):
                return True
            self._start_anew(None)
            raise _Broken("the server has no such part")
        said = f"{code} {error.reason}"
        if code in _WORTH_ANOTHER_TRY:
            raise _Broken(said)
        if code in (404, 410):
            raise NotFound(f"there is nothing at {self._shown}", fault=said, hint="Check the URL.")
        if code in (401, 403, 407):
            raise PermissionDenied(
                f"{self._shown} is not given to everybody", fault=said, hint="Fetch it yourself, then upload(path=…)."
            )
        if 300 <= code < 400:
            raise InvalidRequest(
                f"{self._shown} leads in circles, or to where nothing is fetched from", fault=f"HTTP {code}"
            )
        raise InvalidRequest(f"{self._shown} cannot be fetched", fault=said)

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise InvalidRequest(
                f"{self._shown} has more than {self._limit >> 30} GiB", hint="Raise max_gib if that is right."
            )

    # ---------------------------------------------------------------- the connection

    def _request(self, validator: str | None) -> Any:
        headers = {"User-Agent": "cloudkit", "Accept-Encoding": "identity"}
        if validator is not None:
            headers |= {"Range": f"bytes={self._size()}-", "If-Range": validator}
        request = urllib.request.Request(self._url, headers=headers)  # noqa: S310 - http and https only
        try:
            return self._opener.open(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise Unavailable(
                    f"{self._shown}: the server's certificate is not valid",
                    fault=reason.verify_message,
                    hint="Somebody may sit in between. An own authority's certificate can be named by SSL_CERT_FILE.",
                    retryable=False,
                ) from error
            raise _Broken(str(reason) or type(reason).__name__) from error

    def _pieces(self, answer: Any) -> Iterator[bytes]:
        while True:
            try:
                piece = answer.read(CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise _Broken(str(error) or type(error).__name__) from error
            if not piece:
                return
            yield piece

    # ---------------------------------------------------------------- the file and its note

    @property
    def _file_(self) -> BinaryIO:
        assert self._file is not None
        return self._file

    def _size(self) -> int:
        return os.fstat(self._file_.fileno()).st_size

    def _append(self, piece: bytes) -> None:
        view = memoryview(piece)
        with self._writing():
            while view:
                view = view[self._file_.write(view) :]

    def _start_anew(self, validator: str | None) -> None:
        """Empty the file; ``validator`` is what its bytes to come are called."""
        with self._writing():
            self._file_.truncate(0)
            self._note_path.unlink(missing_ok=True)
            if validator is not None:
                self._note_path.write_text(json.dumps({"validator": validator}))

    def _read_note(self) -> str | None:
        try:
            validator = json.loads(self._note_path.read_text())["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return validator if isinstance(validator, str) and validator.isprintable() else None

    @contextlib.contextmanager
    def _writing(self) -> Generator[None]:
        try:
            yield
        except CloudError:
            raise
        except OSError as error:
            raise InvalidRequest(
                f"the image cannot be kept in {self._path.parent}",
                fault=error.strerror or str(error),
                hint="XDG_CACHE_HOME names another place.",
            ) from error


def shown(url: str) -> str:
    """A URL for messages: its query may hold a key."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def _check_url(url: object, has_checksum: bool) -> None:
    try:
        parts = urlsplit(url) if isinstance(url, str) and url.isprintable() and " " not in url else None
        valid = parts is not None and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, valid = None, False
    if parts is None or not valid or parts.scheme not in ("http", "https"):
        checks.wrong("url", "a URL that begins with https:// or http://", url)
    if parts.username is not None or parts.password is not None:
        raise InvalidRequest(
            "url: a password in a URL is refused", hint="URLs end up in logs. Fetch it yourself, then upload(path=…)."
        )
    if parts.scheme == "http" and not has_checksum:
        raise InvalidRequest(
            f"url: over http anybody on the way can change {shown(parts.geturl())}",
            hint="Use https, or pass the checksum that the image's authors publish.",
        )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https only, and by the same rules as the first URL."""

    def __init__(self, has_checksum: bool) -> None:
        self._has_checksum = has_checksum

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        try:
            _check_url(newurl, self._has_checksum)
        except InvalidRequest:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(has_checksum: bool) -> urllib.request.OpenerDirector:
    """No handler for files, FTP or data, as urllib's own opener has them."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(has_checksum),
    ):
        opener.add_handler(handler)
    return opener


def _validator(headers: Any) -> str | None:
    """What If-Range can take: a strong ETag, or else the date of the last change."""
    etag = headers.get("ETag")
    validator = headers.get("Last-Modified") if etag is None or etag.startswith("W/") else etag
    return str(validator) if validator else None


def _open_locked(path: Path) -> BinaryIO:
    while True:
        file = path.open("ab", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Who had the lock may have removed the file.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _drop_old(folder: Path) -> None:
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.suffix in (".part", ".json") and path.stat().st_mtime < time.time() - KEPT_S:
                path.unlink()
