"""What reaches the pool has been checked and converted here, and what is refused leaves nothing."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudkit import image_format
from cloudkit.conformance import made_images as made
from cloudkit.errors import Busy, InvalidRequest, MissingExtra, QuotaExceeded
from cloudkit_libvirt import errors, image_intake, images

GIB = 1 << 30

needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")

GOOD = {
    "raw": (made.CONTENT, "raw"),
    "qcow2-2": (made.qcow2(2), "qcow2"),
    "qcow2-3": (made.qcow2(3), "qcow2"),
    "qcow2-compressed": (made.qcow2(compressed=True), "qcow2"),
    "vmdk": (made.vmdk(), "vmdk"),
    "vmdk-stream": (made.stream_vmdk(), "vmdk"),
}


def accept(content: bytes, claimed: str, announced: int | None = None) -> Any:
    return image_intake.accepted(io.BytesIO(content), claimed, announced, GIB)


def raw_of(file: BinaryIO, tmp_path: Path) -> bytes:
    (tmp_path / "base").write_bytes(b"".join(image_intake.pieces(file)))
    subprocess.run(
        ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", tmp_path / "base", tmp_path / "raw"],
        check=True,
        timeout=60,
    )
    return (tmp_path / "raw").read_bytes()


@needs_qemu_img
@pytest.mark.parametrize("name", GOOD)
def test_the_base_is_a_fresh_qcow2_of_the_same_content(name: str, tmp_path: Path) -> None:
    content, format = GOOD[name]
    with accept(content, format, len(content)) as image:
        assert b"".join(image_intake.pieces(image.original)) == content
        assert image.checksum == f"sha512:{hashlib.sha512(content).hexdigest()}"
        assert image.size_bytes == len(content)
        size = len(content) if format == "raw" else made.SIZE
        assert image.virtual_size_bytes == size
        assert image_format.inspect_file(image.base, "qcow2", GIB).virtual_size_bytes == size
        assert raw_of(image.base, tmp_path) == made.CONTENT.ljust(size, b"\0")


@needs_qemu_img
def test_what_a_raw_disk_says_of_itself_is_never_believed(tmp_path: Path) -> None:
    # Told from its bytes, this would be a description that names a file of the host.
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret" * 1000)
    content = b"\n" + made.descriptor("monolithicFlat", f'RW 8 FLAT "{secret}" 0').ljust(4095)
    with accept(content, "raw") as image:
        assert raw_of(image.base, tmp_path) == content


@needs_qemu_img
@pytest.mark.parametrize("bad", made.corpus(), ids=lambda bad: bad.name)
def test_the_corpus_is_refused_before_any_tool_runs(bad: made.BadImage, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*command: object, **options: object) -> None:
        pytest.fail(f"{command} was run")

    monkeypatch.setattr(subprocess, "run", never)
    claimed = bad.claimed or image_format.detect(bad.content)
    with pytest.raises(InvalidRequest), accept(bad.content, claimed):
        pass


@needs_qemu_img
@given(st.sampled_from(sorted(GOOD)), st.data())
@settings(max_examples=25, deadline=None)
def test_whatever_the_bytes_are_they_are_converted_or_refused(name: str, data: st.DataObject) -> None:
    content, format = GOOD[name]
    image = bytearray(content)
    places = [place for place, byte in enumerate(image) if byte]
    for _ in range(data.draw(st.integers(0, 3))):
        image[data.draw(st.sampled_from(places))] = data.draw(st.integers(0, 255))
    try:
        with accept(bytes(image), format) as taken:
            assert image_format.inspect_file(taken.base, "qcow2", GIB).virtual_size_bytes == taken.virtual_size_bytes
    except InvalidRequest as refusal:
        assert refusal.hint


@pytest.mark.parametrize(("size", "free", "fits"), [(GIB - 1, 0, True), (GIB, GIB, True), (GIB, GIB - 1, False)])
def test_what_does_not_fit_is_told_before_it_is_sent(size: int, free: int, fits: bool) -> None:
    context: Any = SimpleNamespace(pool=SimpleNamespace(free_bytes=lambda: free))
    collection = images.UploadedImages(context, "p")
    if fits:
        collection._check_room(size)
        return
    with pytest.raises(OSError, match="1024 MiB are needed") as raised:
        collection._check_room(size)
    assert errors.is_pool_full(raised.value)


@needs_qemu_img
def test_what_only_qemu_notices_is_told_in_its_words() -> None:
    # The compressed cluster holds no deflate stream.
    image = made.patched(made.qcow2(compressed=True), (made.DATA_CLUSTER * made.CLUSTER, b"\xff" * 64))
    with pytest.raises(InvalidRequest, match="cannot be converted") as raised, accept(image, "qcow2"):
        pass
    assert "error while reading" in (raised.value.fault or "")
    assert raised.value.hint


@needs_qemu_img
def test_no_more_is_written_than_the_tables_promise() -> None:
    with image_intake._nameless() as source, image_intake._nameless() as target:
        source.write(os.urandom(24 << 20))
        with pytest.raises(InvalidRequest, match="unpacks to more than"):
            image_intake.convert(source, "raw", target, data_bytes=4096)


@needs_qemu_img
def test_what_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_intake, "_WALL_S", (0, 1 << 40))
    with pytest.raises(InvalidRequest, match="takes more than 0 s"), accept(made.qcow2(), "qcow2"):
        pass


@needs_qemu_img
@pytest.mark.parametrize("said", ["qemu_thread_create: Resource temporarily unavailable", "Cannot allocate memory"])
def test_a_machine_without_room_for_a_process_is_not_the_images_fault(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.CompletedProcess([], 1, b"", f"qemu: {said}".encode())
    monkeypatch.setattr(subprocess, "run", lambda *_command, **_options: done)
    with pytest.raises(Busy) as raised, accept(made.qcow2(), "qcow2"):
        pass
    assert raised.value.retryable


@needs_qemu_img
@pytest.mark.parametrize(
    ("content", "announced", "words"), [(b"", None, "empty"), (b"abc", 4, "4 bytes were announced, and 3 came")]
)
def test_other_bytes_than_announced_are_refused(content: bytes, announced: int | None, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words), accept(content, "raw", announced):
        pass


@needs_qemu_img
def test_a_limit_of_ones_own() -> None:
    image = image_intake.accepted(io.BytesIO(made.qcow2()), "qcow2", None, made.SIZE - 1)
    with pytest.raises(InvalidRequest, match="virtual size"), image:
        pass


@needs_qemu_img
def test_a_full_folder_for_temporary_files_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(image_intake, "_write", full)
    with pytest.raises(QuotaExceeded, match=str(tmp_path)) as raised, accept(b"abc", "raw"):
        pass
    assert "TMPDIR" in raised.value.hint


@pytest.mark.parametrize("missing", ["qemu-img", "prlimit"])
def test_a_missing_tool_is_named_with_its_package(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == missing else f"/usr/bin/{tool}")
    with pytest.raises(MissingExtra, match=missing) as raised, accept(b"abc", "raw"):
        pass
    assert "Install the package" in raised.value.hint
