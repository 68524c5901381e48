"""Importing from a URL, against a server on loopback that misbehaves by script."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import re
import ssl
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cloudkit import Cloud, _image_fetch
from cloudkit.errors import CloudError, InvalidRequest, NotFound, PermissionDenied, Unavailable

CONTENT = bytes(range(256)) * 4000
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
ETAG = '"one"'


class Handler(BaseHTTPRequestHandler):
    """Does what the script says for each request in turn, and serves CONTENT well once it is at its end."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Any = self.server
        server.seen.append(dict(self.headers))
        step = server.script.pop(0) if server.script else serve()
        step(self)

    def log_message(self, format: str, *args: object) -> None:
        pass


Step = Callable[[Handler], None]


def serve(
    content: bytes = CONTENT,
    *,
    ranges: bool = True,
    etag: str | None = ETAG,
    length: int | None = None,
    stop_after: int | None = None,
    **headers: str,
) -> Step:
    """Give the content, or the part that is asked for, and break off where told."""

    def step(handler: Handler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start = 0
        if asked and ranges and handler.headers.get("If-Range") in (None, etag):
            start = int(asked[1])
            if start >= len(content):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(content)}")
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            handler.send_response(200)
        if etag is not None:
            handler.send_header("ETag", etag)
        handler.send_header("Content-Length", str(len(content) - start if length is None else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content[start : None if stop_after is None else start + stop_after])
        handler.close_connection = True

    return step


def answer(code: int, **headers: str) -> Step:
    def step(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return step


def chunked(*chunks: bytes, end: bool = True) -> Step:
    def step(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for chunk in chunks:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if end:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    return step


def hang_up(handler: Handler) -> None:
    handler.close_connection = True


@contextmanager
def running(tls: ssl.SSLContext | None = None) -> Generator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.script, server.seen = [], []
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}/disk.img"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Generator[Any]:
    with running() as server:
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where parts are kept; and no pauses, no proxies."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(_image_fetch, "PAUSES_S", (0.0, 0.0))
    return tmp_path / "cloudkit/images"


def names(cloud: Cloud) -> list[str]:
    return [image.name for image in cloud.images.list()]


# ---------------------------------------------------------------- what goes well


def test_what_a_url_gives_becomes_an_image(cloud: Cloud, server: Any, cache: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    image = cloud.images.import_from_url(
        "disk",
        server.url,
        checksum=SHA256,
        on_bytes=lambda count, total: told.append((count, total)),
        min_ram_mib=64,
        metadata={"os_distro": "debian"},
        tags=["blue"],
        visibility="public",
    )
    assert (image.name, image.size_bytes, image.disk_format) == ("disk", len(CONTENT), "raw")
    assert (image.min_ram_mib, image.visibility, image.tags) == (64, "public", ("blue",))
    assert image.metadata == {"os_distro": "debian"}
    cloud.images.download(image, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)
    assert list(cache.iterdir()) == []
    assert cache.stat().st_mode & 0o777 == 0o700


def test_a_connection_that_breaks_is_taken_up_where_it_broke(cloud: Cloud, server: Any) -> None:
    server.script = [serve(stop_after=300_000), hang_up, serve(stop_after=200_000), answer(503)]
    cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert [seen.get("Range") for seen in server.seen] == [
        None, "bytes=300000-", "bytes=300000-", "bytes=500000-", "bytes=500000-"
    ]  # fmt: skip
    assert {seen.get("If-Range") for seen in server.seen[1:]} == {ETAG}


def test_the_next_call_goes_on_where_the_last_gave_up(cloud: Cloud, server: Any, cache: Path) -> None:
    server.script = [serve(stop_after=300_000), hang_up, hang_up, hang_up, hang_up]
    with pytest.raises(Unavailable, match="cannot be fetched") as raised:
        cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert raised.value.retryable
    assert raised.value.operation == "images.import_from_url"
    assert [path.stat().st_size for path in cache.glob("*.part")] == [300_000]
    server.script, server.seen[:] = [], []
    cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert [seen["Range"] for seen in server.seen] == ["bytes=300000-"]
    assert list(cache.iterdir()) == []


def test_a_date_tells_that_it_is_the_same_where_there_is_no_strong_etag(cloud: Cloud, server: Any) -> None:
    date = "Wed, 01 Jan 2025 00:00:00 GMT"
    server.script = [serve(etag='W/"weak"', stop_after=1000, Last_Modified=date), serve()]
    cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert server.seen[1]["If-Range"] == date


def test_another_file_at_the_same_url_is_fetched_from_its_start(cloud: Cloud, server: Any) -> None:
    server.script = [serve(b"x" * 1000, etag='"old"', stop_after=900)]
    assert cloud.images.import_from_url("disk", server.url, checksum=SHA256).size_bytes == len(CONTENT)


@pytest.mark.parametrize(
    "second",
    [serve(ranges=False), serve(etag=None, ranges=False)],
    ids=["all again", "all again, unnamed"],
)
def test_a_server_that_ignores_the_range_is_believed(cloud: Cloud, server: Any, second: Step) -> None:
    server.script = [serve(stop_after=1000), second]
    cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert len(server.seen) == 2


@pytest.mark.parametrize("content_range", ["bytes 5-999/1024000", "bytes */7", "", "lines 1-2/3"])
def test_another_part_than_asked_for_is_not_put_in(cloud: Cloud, server: Any, content_range: str) -> None:
    def wrong(handler: Handler) -> None:
        handler.send_response(206)
        handler.send_header("Content-Range", content_range)
        handler.send_header("Content-Length", "3")
        handler.end_headers()
        handler.wfile.write(b"bad")

    server.script = [serve(stop_after=1000), wrong]
    cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert "Range" not in server.seen[2]


def test_a_part_of_something_newer_is_not_put_in(cloud: Cloud, server: Any) -> None:
    def newer(handler: Handler) -> None:
        del handler.headers["If-Range"]
        serve(etag='"two"')(handler)

    server.script = [serve(b"x" * 5000, etag='"one"', stop_after=1000), newer]
    cloud.images.import_from_url("disk", server.url, checksum=SHA256)


def test_nothing_is_taken_up_that_has_no_name(cloud: Cloud, server: Any) -> None:
    server.script = [serve(etag=None, stop_after=1000)]
    cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert "Range" not in server.seen[1]


def test_a_part_that_turns_out_whole_is_not_fetched_again(cloud: Cloud, server: Any, cache: Path) -> None:
    cloud.native.quotas["images"] = 0
    with pytest.raises(CloudError, match="quota"):
        cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert [path.stat().st_size for path in cache.glob("*.part")] == [len(CONTENT)]
    del cloud.native.quotas["images"]
    server.seen.clear()
    cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert [seen["Range"] for seen in server.seen] == [f"bytes={len(CONTENT)}-"]
    assert list(cache.iterdir()) == []


def test_a_part_longer_than_the_file_is_dropped(cloud: Cloud, server: Any, cache: Path) -> None:
    server.script = [serve(CONTENT + b"more", stop_after=len(CONTENT) + 2)]
    assert cloud.images.import_from_url("disk", server.url, checksum=SHA256).size_bytes == len(CONTENT)


def test_a_damaged_note_only_costs_the_part(cloud: Cloud, server: Any, cache: Path) -> None:
    server.script = [serve(stop_after=1000), *[hang_up] * 4]
    with pytest.raises(Unavailable):
        cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    (note,) = cache.glob("*.json")
    note.write_text('{"validator": ["no text"]}')
    cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert "Range" not in server.seen[-1]


def test_a_stream_of_unknown_length(cloud: Cloud, server: Any) -> None:
    server.script = [chunked(CONTENT[:1000], end=False), chunked(CONTENT[:500_000], CONTENT[500_000:])]
    told: list[int | None] = []
    cloud.images.import_from_url(
        "disk", server.url, checksum=SHA256, on_bytes=lambda _count, total: told.append(total)
    )
    assert set(told) == {None}


def test_redirects_are_followed(cloud: Cloud, server: Any) -> None:
    server.script = [answer(302, Location="/other"), answer(307, Location=server.url)]
    cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert len(server.seen) == 3


def test_two_at_once_do_not_spoil_each_others_file(cloud: Cloud, server: Any, cache: Path) -> None:
    errors: list[BaseException] = []

    def fetch(number: int) -> None:
        try:
            cloud.images.import_from_url(f"disk-{number}", server.url, checksum=SHA256)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(names(cloud)) == 4
    assert list(cache.iterdir()) == []


def test_what_nobody_came_back_for_is_dropped(cloud: Cloud, server: Any, cache: Path) -> None:
    cache.mkdir(parents=True)
    old, young, foreign = cache / "old.part", cache / "young.part", cache / "notes.txt"
    for path in (old, young, foreign):
        path.write_bytes(b"x")
    week = time.time() - _image_fetch.KEPT_S - 1
    os.utime(old, (week, week))
    os.utime(foreign, (week, week))
    cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert sorted(cache.iterdir()) == sorted([young, foreign])


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "https://"),
        (7, "https://"),
        ("disk.img", "https://"),
        ("file:///etc/passwd", "https://"),
        ("ftp://host/disk", "https://"),
        ("http://", "https://"),
        ("https://host:99999/disk", "https://"),
        ("https://host/a b", "https://"),
        ("https://host/a\nb", "https://"),
        ("https://[broken/disk", "https://"),
        ("https://me:secret@host/disk", "password in a URL"),
    ],
)
def test_a_url_that_is_none_is_refused(cloud: Cloud, cache: Path, url: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        cloud.images.import_from_url("disk", url, checksum=SHA256)
    assert not cache.exists()


def test_http_needs_a_checksum(cloud: Cloud, server: Any) -> None:
    with pytest.raises(InvalidRequest, match="anybody on the way") as raised:
        cloud.images.import_from_url("disk", f"{server.url}?key=secret")
    assert "secret" not in str(raised.value)
    assert server.seen == []


@pytest.mark.parametrize(
    "options",
    [{"checksum": "sha256:12"}, {"max_gib": 0}, {"max_gib": 1.5}, {"min_disk_gib": -1}, {"metadata": 7}],
    ids=str,
)
def test_wrong_options_are_refused_before_anything_is_fetched(
    cloud: Cloud, server: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest):
        cloud.images.import_from_url("disk", server.url, **{"checksum": SHA256, **options})
    assert server.seen == []


def test_an_option_that_there_is_not(cloud: Cloud, server: Any) -> None:
    with pytest.raises(TypeError, match="min_disk_gib"):
        cloud.images.import_from_url("disk", server.url, checksum=SHA256, min_disk=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        (answer(404), NotFound, "nothing at"),
        (answer(410), NotFound, "nothing at"),
        (answer(401), PermissionDenied, "not given to everybody"),
        (answer(403), PermissionDenied, "not given to everybody"),
        (answer(400), InvalidRequest, "cannot be fetched"),
        (answer(302, Location="file:///etc/passwd"), InvalidRequest, "leads in circles"),
        (answer(302, Location="ftp://127.0.0.1/disk"), InvalidRequest, "https://"),
        (answer(302), InvalidRequest, "leads in circles"),
        (serve(Content_Encoding="gzip"), InvalidRequest, "packed"),
        (serve(CONTENT[:-1] + b"?"), InvalidRequest, "was expected"),
        (serve(length=len(CONTENT) - 5), InvalidRequest, "was expected"),
        (serve(length=2 << 30), InvalidRequest, "more than 1 GiB"),
        (serve(b""), InvalidRequest, "empty"),
    ],
    ids=lambda value: getattr(value, "__name__", value) if not callable(value) or isinstance(value, type) else "",
)
def test_what_cannot_be_had_leaves_nothing(
    cloud: Cloud, server: Any, cache: Path, step: Step, kind: type[CloudError], words: str
) -> None:
    server.script = [step]
    with pytest.raises(kind, match=words) as raised:
        cloud.images.import_from_url("disk", f"{server.url}?key=secret", checksum=SHA256, max_gib=1)
    assert type(raised.value) is kind
    assert "secret" not in str(raised.value)
    assert names(cloud) == []
    assert list(cache.iterdir()) == []


def test_a_redirect_that_never_ends(cloud: Cloud, server: Any) -> None:
    server.script = [answer(302, Location=server.url)] * 20
    with pytest.raises(InvalidRequest, match="leads in circles"):
        cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert len(server.seen) < 20


def test_more_than_the_limit_is_noticed_where_no_length_is_told(
    cloud: Cloud, server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = _image_fetch.Fetch(server.url, limit_bytes=100_000, has_checksum=True, on_bytes=None)
    server.script = [chunked(*[bytes(50_000)] * 5)]
    with pytest.raises(InvalidRequest, match="more than"), fetch:
        pass
    assert list(cache.iterdir()) == []


def test_a_length_that_never_comes_is_given_up(cloud: Cloud, server: Any) -> None:
    server.script = [serve(length=len(CONTENT) + 10, ranges=False)] * 9
    with pytest.raises(Unavailable, match="cannot be fetched"):
        cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert 3 <= len(server.seen) < 9


def test_nobody_there(cloud: Cloud, cache: Path) -> None:
    with running() as server:
        url = server.url
    with pytest.raises(Unavailable, match="cannot be fetched"):
        cloud.images.import_from_url("disk", url, checksum=SHA256)
    assert list(cache.iterdir()) == []


def test_a_progress_callbacks_own_error_is_what_its_author_sees(cloud: Cloud, server: Any) -> None:
    def broken(_count: int, _total: int | None) -> None:
        raise ConnectionError("mine")

    with pytest.raises(ConnectionError, match="^mine$"):
        cloud.images.import_from_url("disk", server.url, checksum=SHA256, on_bytes=broken)
    assert len(server.seen) == 1


def test_a_cache_that_cannot_be_written_is_named(
    cloud: Cloud, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InvalidRequest, match="cannot be kept in") as raised:
        cloud.images.import_from_url("disk", server.url, checksum=SHA256)
    assert "XDG_CACHE_HOME" in raised.value.hint


def test_the_home_folder_has_the_cache_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert _image_fetch.cache_folder() == Path("/home/me/.cache/cloudkit/images")


# ---------------------------------------------------------------- https


def certificate(folder: Path) -> Path:
    """A certificate of its own authority for 127.0.0.1, with its key."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def tls(tmp_path: Path) -> Generator[Any]:
    path = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with running(context) as server:
        server.certificate = path
        yield server


def test_https_needs_no_checksum(cloud: Cloud, tls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.certificate))
    assert cloud.images.import_from_url("disk", tls.url).size_bytes == len(CONTENT)


def test_a_server_that_cannot_prove_who_it_is_is_not_asked(cloud: Cloud, tls: Any) -> None:
    with pytest.raises(Unavailable, match="certificate is not valid") as raised:
        cloud.images.import_from_url("disk", tls.url)
    assert not raised.value.retryable
    assert tls.seen == []


def test_https_does_not_lead_down_to_http_without_a_checksum(
    cloud: Cloud, tls: Any, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.certificate))
    tls.script = [answer(302, Location=server.url)] * 2
    with pytest.raises(InvalidRequest, match="anybody on the way"):
        cloud.images.import_from_url("disk", tls.url)
    assert server.seen == []
    assert cloud.images.import_from_url("disk", tls.url, checksum=SHA256).size_bytes == len(CONTENT)
