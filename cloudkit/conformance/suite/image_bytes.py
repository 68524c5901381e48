"""Images that nobody may open are refused, and bytes that are not the expected ones too."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cloudkit import Cloud, InvalidRequest, Kind
from cloudkit.conformance import made_images as made
from cloudkit.conformance.base import Conformance, needs
from cloudkit.conformance.lab import Lab

CONTENT = made.CONTENT * 100


class Stream(io.BytesIO):
    """Bytes that come once."""

    def tell(self) -> int:
        raise OSError("a pipe")


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Generator[str]:
    """The URL of a folder, served on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@needs("images.create")
class TestDangerousImages(Conformance):
    @pytest.mark.parametrize("bad", made.corpus(), ids=lambda bad: bad.name)
    def test_it_is_refused_and_nothing_is_made(self, lab: Lab, bad: made.BadImage) -> None:
        before = lab.inventory(Kind.IMAGE)
        with pytest.raises(InvalidRequest, match=bad.reason) as raised:
            lab.cloud.images.upload(lab.name("image"), data=bad.content, disk_format=bad.claimed)
        assert raised.value.operation == "images.upload"
        assert raised.value.hint
        assert lab.inventory(Kind.IMAGE) == before

    @pytest.mark.parametrize(
        "content",
        [made.qcow2(2), made.qcow2(), made.qcow2(compressed=True), made.vmdk(), made.stream_vmdk()],
        ids=["qcow2 of version 2", "qcow2", "compressed qcow2", "sparse vmdk", "stream of vmdk"],
    )
    def test_what_the_bad_ones_are_made_from_is_taken(self, lab: Lab, cloud: Cloud, content: bytes) -> None:
        image = cloud.images.upload(lab.name("image"), data=content)
        assert (image.status, image.size_bytes) == ("active", len(content))
        assert content.startswith({"qcow2": b"QFI\xfb", "vmdk": b"KDMV"}[image.disk_format])
        # Some services never look, and know no virtual size.
        assert image.virtual_size_bytes in (made.SIZE, None)


@needs("images.create")
class TestChecksums(Conformance):
    @pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
    @pytest.mark.parametrize("data", [io.BytesIO, Stream], ids=["known length", "stream"])
    def test_the_right_one_is_taken(self, lab: Lab, cloud: Cloud, algorithm: str, data: type[io.BytesIO]) -> None:
        checksum = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest().upper()}"
        image = cloud.images.upload(lab.name("image"), data=data(CONTENT), checksum=checksum)
        assert (image.status, image.size_bytes) == ("active", len(CONTENT))

    @pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
    @pytest.mark.parametrize("data", [io.BytesIO, Stream], ids=["known length", "stream"])
    def test_another_one_leaves_nothing(self, lab: Lab, algorithm: str, data: type[io.BytesIO]) -> None:
        before = lab.inventory(Kind.IMAGE)
        checksum = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}"
        with pytest.raises(InvalidRequest, match="was expected"):
            lab.cloud.images.upload(lab.name("image"), data=data(CONTENT[:-1] + b"\1"), checksum=checksum)
        assert lab.inventory(Kind.IMAGE) == before

    @pytest.mark.parametrize("checksum", ["", "sha256:", "sha256:12", "md5:" + "0" * 32, "0" * 64, 7], ids=str)
    def test_what_is_none_is_refused(self, lab: Lab, checksum: str) -> None:
        before = lab.inventory(Kind.IMAGE)
        with pytest.raises(InvalidRequest, match="checksum"):
            lab.cloud.images.upload(lab.name("image"), data=CONTENT, checksum=checksum)
        assert lab.inventory(Kind.IMAGE) == before


@needs("images.create")
class TestImageImport(Conformance):
    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")

    def test_what_a_url_gives_becomes_an_image(self, lab: Lab, cloud: Cloud, tmp_path: Path) -> None:
        content = made.qcow2(compressed=True)
        (tmp_path / "disk.qcow2").write_bytes(content)
        checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"
        with served(tmp_path) as url:
            image = cloud.images.import_from_url(
                lab.name("image"), f"{url}/disk.qcow2", checksum=checksum, min_ram_mib=64
            )
        assert (image.status, image.disk_format) == ("active", "qcow2")
        assert (image.size_bytes, image.min_ram_mib) == (len(content), 64)

    @pytest.mark.parametrize("bad", ["disk", "backing"], ids=["another checksum", "backing file"])
    def test_what_is_wrong_leaves_nothing(self, lab: Lab, tmp_path: Path, bad: str) -> None:
        before = lab.inventory(Kind.IMAGE)
        backing = made.with_backing_file("/etc/passwd")
        (tmp_path / "disk").write_bytes(CONTENT)
        (tmp_path / "backing").write_bytes(backing)
        checksum = f"sha256:{hashlib.sha256(backing).hexdigest()}"
        with served(tmp_path) as url, pytest.raises(InvalidRequest):
            lab.cloud.images.import_from_url(lab.name("image"), f"{url}/{bad}", checksum=checksum)
        assert lab.inventory(Kind.IMAGE) == before
