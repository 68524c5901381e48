from __future__ import annotations

import io
import json

import pycdlib
import pytest
from cryptography.hazmat.primitives import serialization

from cloudkit_libvirt import seed


def files_of(image: bytes) -> dict[str, bytes]:
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(image))
    found = {}
    for child in iso.list_children(rr_path="/"):
        if child.is_file():
            name = child.rock_ridge.name().decode()
            output = io.BytesIO()
            iso.get_file_from_iso_fp(output, rr_path=f"/{name}")
            found[name] = output.getvalue()
    iso.close()
    return found


def build(user_data: bytes = b"#!/bin/sh\n", host_key: seed.HostKey | None = None) -> seed.Seed:
    return seed.build("the-id", "web-1", ("ssh-ed25519 AAAA me",), user_data, host_key)


def test_files() -> None:
    key = seed.HostKey.generate()
    files = files_of(build(host_key=key).data)
    assert set(files) == {"meta-data", "user-data", "vendor-data"}
    assert json.loads(files["meta-data"]) == {
        "instance-id": "the-id",
        "local-hostname": "web-1",
        "public-keys": ["ssh-ed25519 AAAA me"],
    }
    assert files["user-data"] == b"#!/bin/sh\n"
    header, _, config = files["vendor-data"].partition(b"\n")
    assert header == b"#cloud-config"
    assert json.loads(config)["ssh_keys"] == {"ed25519_private": key.private, "ed25519_public": key.public}


@pytest.mark.parametrize("user_data", [b"", b"\0\xff" * 40_000])
def test_user_data_comes_through_as_it_is(user_data: bytes) -> None:
    assert files_of(build(user_data).data)["user-data"] == user_data


def test_label_is_the_one_that_nocloud_looks_for() -> None:
    image = build().data
    assert image[0x8028 : 0x8028 + 32].rstrip() == b"cidata"


def test_the_disk_is_longer_than_what_probes_look_at() -> None:
    assert len(build(b"").data) > 128 * 1024


def test_without_a_host_key_there_is_no_secret() -> None:
    built = build()
    assert built.secret_extent is None
    assert "vendor-data" not in files_of(built.data)


def test_wiping_leaves_a_whole_seed_without_the_secret() -> None:
    built = build(host_key=seed.HostKey.generate())
    assert built.secret_extent is not None
    offset, length = built.secret_extent
    image = built.data[:offset] + seed.wiped(length) + built.data[offset + length :]
    assert len(image) == len(built.data)
    assert b"PRIVATE KEY" not in image
    files = files_of(image)
    assert files["vendor-data"].split(b"\n")[:2] == [b"#cloud-config", b"{}"]
    assert files["meta-data"] == files_of(built.data)["meta-data"]


def test_host_key_fits_its_fingerprint() -> None:
    key = seed.HostKey.generate()
    private = serialization.load_ssh_private_key(key.private.encode(), None)
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert public.decode() == key.public
    loaded = serialization.load_ssh_public_key(public)
    assert key.fingerprint == "ssh-ed25519 " + _fingerprint(loaded)
    assert seed.HostKey.generate().private != key.private


def _fingerprint(key: object) -> str:
    from base64 import b64encode

    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import ssh_key_fingerprint

    return "SHA256:" + b64encode(ssh_key_fingerprint(key, SHA256())).decode().rstrip("=")  # type: ignore[arg-type]


def test_the_secret_is_not_in_a_repr() -> None:
    key = seed.HostKey.generate()
    assert "PRIVATE" not in repr(key) + repr(build(host_key=key))
