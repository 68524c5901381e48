from __future__ import annotations

import base64
import hashlib
import os
import shutil
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkit._keys import KEY_TYPES, PublicKey, fingerprint, generate_key_pair, parse_public_key, write_private_key
from cloudkit.errors import AlreadyExists, InvalidRequest, MissingExtra


def blob(*parts: bytes | str) -> bytes:
    """Length-prefixed fields."""
    fields = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(struct.pack(">I", len(field)) + field for field in fields)


def line(kind: str, *parts: bytes | str, comment: str = "") -> str:
    return f"{kind} {base64.b64encode(blob(*parts)).decode()} {comment}".rstrip()


def ecdsa(bits: int) -> str:
    return line(f"ecdsa-sha2-nistp{bits}", f"ecdsa-sha2-nistp{bits}", f"nistp{bits}", b"\4" * 65)


ED25519 = line("ssh-ed25519", "ssh-ed25519", bytes(range(32)), comment="me@here")
RSA = line("ssh-rsa", "ssh-rsa", b"\1\0\1", b"\0" + b"\xff" * 128)
SK_ED25519 = line("sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519@openssh.com", bytes(32), "ssh:")
SK_ECDSA = line(
    "sk-ecdsa-sha2-nistp256@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", b"\4" * 65, "ssh:"
)
GOOD = [ED25519, RSA, ecdsa(256), ecdsa(384), ecdsa(521), SK_ED25519, SK_ECDSA]


def refused(text: str) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse_public_key(text)
    return caught.value


# ---------------------------------------------------------------- public keys


def test_the_examples_are_one_of_each_known_type() -> None:
    assert {text.split()[0] for text in GOOD} == set(KEY_TYPES)


@pytest.mark.parametrize("text", GOOD, ids=lambda text: text.split()[0])
def test_a_key_of_each_type_is_taken_and_given_back_as_it_was(text: str) -> None:
    key = parse_public_key(text)
    kind, encoded = text.split()[:2]
    assert (key.type, key.blob) == (kind, base64.b64decode(encoded))
    assert key.line == text


def test_the_comment_is_all_that_stands_behind_the_key() -> None:
    assert parse_public_key(f"  {ED25519} and  more \n").comment == "me@here and  more"
    assert parse_public_key(RSA).comment == ""


def test_a_fingerprint_is_the_blobs_sha256_without_padding() -> None:
    digest = base64.b64encode(hashlib.sha256(base64.b64decode(RSA.split()[1])).digest()).decode()
    assert digest.endswith("=")
    assert fingerprint(RSA) == parse_public_key(RSA).fingerprint == f"SHA256:{digest.rstrip('=')}"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen")
@pytest.mark.parametrize("arguments", [["ed25519"], ["rsa", "-b", "2048"], ["ecdsa", "-b", "384"]], ids=" ".join)
def test_keys_and_fingerprints_are_openssh_s_own(tmp_path: Path, arguments: list[str]) -> None:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", "me", "-f", path, "-t", *arguments], check=True)
    told = subprocess.run(["ssh-keygen", "-l", "-f", path], check=True, capture_output=True, text=True).stdout
    text = path.with_suffix(".pub").read_text()
    assert parse_public_key(text).line == text.strip()
    assert fingerprint(text) == told.split()[1]


@given(point=st.binary(min_size=32, max_size=32), comment=st.text(st.characters(categories=["L", "N", "P"])))
def test_every_ed25519_key_comes_back_from_its_line(point: bytes, comment: str) -> None:
    key = PublicKey("ssh-ed25519", blob("ssh-ed25519", point), comment)
    assert parse_public_key(key.line) == key


@given(kind=st.sampled_from(KEY_TYPES), junk=st.binary(max_size=80))
def test_bytes_that_only_claim_to_be_a_key_are_refused(kind: str, junk: bytes) -> None:
    assert kind in refused(f"{kind} {base64.b64encode(junk).decode()}").message


@given(text=st.text())
def test_text_that_is_no_key_is_refused_and_never_repeated(text: str) -> None:
    assert refused(f"hunter2{text}").message.find("hunter2") == -1


@pytest.mark.parametrize("text", GOOD, ids=lambda text: text.split()[0])
def test_a_key_that_is_cut_off_anywhere_is_refused(text: str) -> None:
    kind, encoded = text.split()[:2]
    whole = base64.b64decode(encoded)
    for end in range(len(whole)):
        cut = base64.b64encode(whole[:end]).decode()
        assert kind in refused(f"{kind} {cut}").message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a public key is one line, this text has 0"),
        (f"{ED25519}\n{RSA}", "a public key is one line, this text has 2"),
        ("ssh-dss AAAA", "does not start with a known type (ssh-ed25519, ssh-rsa,"),
        (f'command="x" {ED25519}', "does not start with a known type"),
        ("ssh-ed25519", "the ssh-ed25519 public key has no key after its type"),
        ("ssh-ed25519 A", "the ssh-ed25519 public key is not base64"),
        ("ssh-ed25519 AAAA*AAA", "the ssh-ed25519 public key is not base64"),
        ("ssh-ed25519 käse", "the ssh-ed25519 public key is not base64"),
        ("ssh-ed25519 AAA=", "the ssh-ed25519 public key is cut off or damaged"),
        (RSA.replace("ssh-rsa", "ssh-ed25519"), "says that it is ssh-ed25519, but holds a key of another type"),
        (line("ssh-ed25519", "ssh-ed25519", bytes(31)), "the ssh-ed25519 public key is damaged"),
        (line("ssh-ed25519", "ssh-ed25519", bytes(32), "x"), "the ssh-ed25519 public key is damaged"),
        (line("ssh-ed25519", "ssh-ed25519"), "the ssh-ed25519 public key is damaged"),
        (line("ssh-ed25519", "ssh-ed25519", ""), "the ssh-ed25519 public key is damaged"),
        (line("ssh-rsa", "ssh-rsa", b"\1\0\1", ""), "the ssh-rsa public key is damaged"),
        (line(KEY_TYPES[2], KEY_TYPES[2], "nistp384", b"\4"), "the ecdsa-sha2-nistp256 public key is damaged"),
        (line(KEY_TYPES[6], KEY_TYPES[6], "nistp384", b"\4", "ssh:"), f"the {KEY_TYPES[6]} public key is damaged"),
        (line(KEY_TYPES[5], KEY_TYPES[5], bytes(31), "ssh:"), f"the {KEY_TYPES[5]} public key is damaged"),
    ],
)
def test_what_is_wrong_with_a_key_is_told(text: str, message: str) -> None:
    error = refused(text)
    assert message in error.message
    assert "~/.ssh/id_ed25519.pub" in error.hint


def test_an_rsa_key_below_1024_bits_is_refused() -> None:
    short = line("ssh-rsa", "ssh-rsa", b"\1\0\1", b"\0" + b"\xff" * 127)
    assert refused(short).message == "the RSA key is shorter than 1024 bits, which SSH servers refuse"


def test_a_private_key_is_refused_and_not_repeated() -> None:
    error = refused("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----")
    assert "this is a private key where a public one belongs" in error.message
    assert ".pub" in error.hint
    assert "hunter2" not in repr(error) + str(error)


# ---------------------------------------------------------------- key pairs


def test_a_generated_pair_belongs_together_and_no_two_are_alike() -> None:
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    private, public = generate_key_pair("web")
    own = serialization.load_ssh_private_key(private.encode(), password=None).public_key()
    encoded = own.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    assert public == f"{encoded} web"
    assert parse_public_key(public).type == "ssh-ed25519"
    assert generate_key_pair("web")[1] != public


def test_a_pair_without_a_comment_has_none() -> None:
    pytest.importorskip("cryptography")
    assert len(generate_key_pair()[1].split(" ")) == 2


def test_generating_without_cryptography_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(MissingExtra, match="'cryptography', which cannot be imported") as caught:
        generate_key_pair()
    assert caught.value.hint == "Run: pip install 'cloudkit-sdk[ssh]'"


# ---------------------------------------------------------------- private keys


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_only_the_owner_can_read_a_written_key_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "id"
    before = os.umask(umask)
    try:
        write_private_key(path, "the key\n")
    finally:
        os.umask(before)
    assert path.read_text() == "the key\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_home_folder_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_private_key("~/id", "the key")
    assert (tmp_path / "id").read_text() == "the key"


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "id"
    path.write_text("precious")
    with pytest.raises(AlreadyExists, match="id exists already") as caught:
        write_private_key(path, "the key")
    assert "not overwritten" in caught.value.hint
    assert path.read_text() == "precious"


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "id").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AlreadyExists):
        write_private_key(tmp_path / "id", "the key")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="the folder of .*id does not exist") as caught:
        write_private_key(tmp_path / "none" / "id", "the key")
    assert caught.value.hint == "Make the folder first."


@pytest.mark.parametrize(("path", "fault"), [("file/id", "Not a directory"), ("nul\0", "embedded null byte")])
def test_a_place_that_cannot_be_written_tells_why(tmp_path: Path, path: str, fault: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRequest, match="the private key cannot be written to") as caught:
        write_private_key(f"{tmp_path}/{path}", "the key")
    assert caught.value.fault == fault


def test_text_that_is_no_ascii_leaves_no_file_and_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="the private key is not ASCII text") as caught:
        write_private_key(tmp_path / "id", "hunter2 ☃")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_half_way_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(descriptor: int) -> Any:
        assert (tmp_path / "id").read_text() == "the key"
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((InvalidRequest, KeyboardInterrupt)) as caught:
        write_private_key(tmp_path / "id", "the key")
    assert list(tmp_path.iterdir()) == []
    if isinstance(error, OSError):
        assert isinstance(caught.value, InvalidRequest)
        assert caught.value.fault == "No space left on device"
        assert caught.value.__cause__ is error
