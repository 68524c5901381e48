from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkit._keys import KEY_TYPES, PublicKey, parse_public_key
from cloudkit.errors import InvalidRequest
from cloudkit.ssh.host_keys import first_host_keys, parse_host_key

BEGIN, END = "-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----"


def key_of(*fields: bytes) -> PublicKey:
    return PublicKey(fields[0].decode(), b"".join(len(field).to_bytes(4, "big") + field for field in fields))


ED25519 = st.binary(min_size=32, max_size=32).map(lambda data: key_of(b"ssh-ed25519", data))
ECDSA = st.binary(min_size=1, max_size=70).map(lambda data: key_of(b"ecdsa-sha2-nistp256", b"nistp256", data))
RSA = st.binary(min_size=128, max_size=300).map(lambda data: key_of(b"ssh-rsa", b"\1\0\1", b"\x81" + data))
KEYS = ED25519 | ECDSA | RSA
COMMENTS = st.from_regex(r"[a-z@.]([a-z@. ]*[a-z@.])?", fullmatch=True) | st.just("")


@given(KEYS, COMMENTS)
def test_a_whole_public_key_line_is_parsed_to_what_it_was_made_of(key: PublicKey, comment: str) -> None:
    whole = key._replace(comment=comment)
    assert parse_public_key(whole.line) == whole
    assert parse_public_key(f"  {whole.line}\n") == whole


@given(KEYS, st.data())
def test_a_public_key_that_is_cut_off_or_changed_in_its_frame_is_refused(key: PublicKey, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(key.blob) - 1))
    text = f"{key.type} {base64.b64encode(key.blob[:cut]).decode()}"
    with pytest.raises(InvalidRequest):
        parse_public_key(text)


@given(st.text())
def test_any_text_is_a_key_or_an_invalid_request_that_does_not_repeat_it(text: str) -> None:
    for parse in (parse_public_key, parse_host_key):
        try:
            parse(text)
        except InvalidRequest as error:
            assert error.hint


@given(KEYS)
def test_a_host_key_has_the_same_fingerprint_in_each_form(key: PublicKey) -> None:
    assert parse_host_key(key.line) == (key.type, key.fingerprint)
    assert parse_host_key(f"{key.type} {key.fingerprint}") == (key.type, key.fingerprint)
    assert parse_host_key(f" {key.fingerprint}\n") == (None, key.fingerprint)


@given(st.sampled_from(KEY_TYPES), st.text("ABCabc+/=", max_size=50))
def test_a_fingerprint_has_43_characters(kind: str, text: str) -> None:
    whole = len(text) == 43 and "=" not in text
    try:
        parse_host_key(f"{kind} SHA256:{text}")
    except InvalidRequest:
        assert not whole
    else:
        assert whole


NOISE = st.text(st.characters(exclude_characters="-", exclude_categories=["Cs"]), max_size=40)
PREFIXES = st.sampled_from(["", "ci-info: ", "[    9.1] cloud-init[812]: "])


@given(st.lists(KEYS, max_size=4), NOISE, NOISE, PREFIXES, st.sampled_from(["\n", "\r\n"]))
def test_the_first_block_gives_its_keys_whatever_is_around(
    keys: list[PublicKey], before: str, after: str, prefix: str, newline: str
) -> None:
    lines = [f"{prefix}{line}" for line in (BEGIN, *(f"{key.line} root@web" for key in keys), END)]
    block = newline.join(lines)
    assert first_host_keys(f"{before}{newline}{block}{newline}{after}") == tuple(dict.fromkeys(keys))


@given(st.lists(KEYS, min_size=1, max_size=2), st.lists(KEYS, min_size=1, max_size=2))
def test_later_blocks_are_never_looked_at(first: list[PublicKey], later: list[PublicKey]) -> None:
    text = "\n".join((BEGIN, *(key.line for key in first), END, BEGIN, *(key.line for key in later), END))
    assert first_host_keys(text) == tuple(dict.fromkeys(first))


@given(st.lists(KEYS, min_size=1, max_size=3), st.data())
def test_a_block_that_is_not_whole_yet_gives_nothing(keys: list[PublicKey], data: st.DataObject) -> None:
    text = "\n".join(("boot", BEGIN, *(key.line for key in keys), END))
    cut = data.draw(st.integers(0, len(text) - 1))
    assert first_host_keys(text[:cut]) is None


@given(ED25519, ED25519)
def test_a_block_that_a_reboot_cut_off_ends_where_the_next_begins(cut_off: PublicKey, forged: PublicKey) -> None:
    text = "\n".join((BEGIN, cut_off.line, BEGIN, forged.line, END))
    assert first_host_keys(text) == (cut_off,)


@given(ED25519, ED25519)
def test_a_line_that_a_kernel_message_broke_is_left_out(broken: PublicKey, whole: PublicKey) -> None:
    half = broken.line[:40]
    text = "\n".join((BEGIN, f"{half}[   3.2] eth0: link up", broken.line[40:], whole.line, END))
    assert first_host_keys(text) == (whole,)
