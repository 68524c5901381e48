from __future__ import annotations

import io
import json

import pycdlib
import pytest
from cryptography.hazmat.primitives import serialization

from cloudkit_libvirt import seed

LATEST = "openstack/latest"
NETWORK = {"links": [], "networks": [], "services": []}


def files_of(image: bytes) -> dict[str, bytes]:
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(image))
    found = {}
    for folder, _, names in iso.walk(rr_path="/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            output = io.BytesIO()
            iso.get_file_from_iso_fp(output, rr_path=path)
            found[path.lstrip("/")] = output.getvalue()
    iso.close()
    return found


def build(user_data: bytes = b"#!/bin/sh\n", host_key: seed.HostKey | None = None) -> seed.Seed:
    instance = seed.Instance(
        id="the-id",
        name="Web 1",
        hostname="web-1",
        project_id="mine",
        zone="nova",
        public_keys={"me": "ssh-ed25519 AAAA me"},
        metadata={"role": "web"},
        user_data=user_data,
        network=NETWORK,
    )
    return seed.build(instance, host_key)


def test_files_of_nocloud() -> None:
    key = seed.HostKey.generate()
    files = files_of(build(host_key=key).data)
    assert {name for name in files if "/" not in name} == {"meta-data", "user-data", "vendor-data"}
    assert json.loads(files["meta-data"]) == {
        "instance-id": "the-id",
        "local-hostname": "web-1",
        "public-keys": ["ssh-ed25519 AAAA me"],
    }
    assert files["user-data"] == b"#!/bin/sh\n"
    assert ssh_keys(files["vendor-data"].decode()) == {
        "ed25519_private": key.private,
        "ed25519_public": f"{key.public}\n",
    }


def test_files_of_a_config_drive_say_the_same() -> None:
    key = seed.HostKey.generate()
    files = files_of(build(host_key=key).data)
    told = json.loads(files[f"{LATEST}/meta_data.json"])
    assert (told["uuid"], told["name"], told["hostname"]) == ("the-id", "Web 1", "web-1")
    assert (told["project_id"], told["availability_zone"], told["meta"]) == ("mine", "nova", {"role": "web"})
    assert told["public_keys"] == {"me": "ssh-ed25519 AAAA me\n"}
    assert told["keys"] == [{"name": "me", "type": "ssh", "data": "ssh-ed25519 AAAA me\n"}]
    assert json.loads(files[f"{LATEST}/network_data.json"]) == NETWORK
    assert files[f"{LATEST}/user_data"] == files["user-data"]
    wrapped = json.loads(files[f"{LATEST}/vendor_data.json"])["cloud-init"]
    assert ssh_keys(wrapped) == keys_of(key)


def keys_of(key: seed.HostKey) -> dict[str, str]:
    return {"ed25519_private": key.private, "ed25519_public": f"{key.public}\n"}


def ssh_keys(config: str) -> object:
    header, _, data = config.partition("\n")
    assert header == "#cloud-config"
    return json.loads(data)["ssh_keys"]


@pytest.mark.parametrize("user_data", [b"\0\xff" * 40_000, b"\x1f\x8b\x08", b"MIME-Version: 1.0\r\n\r\n"])
def test_user_data_comes_through_as_it_is(user_data: bytes) -> None:
    files = files_of(build(user_data).data)
    assert files["user-data"] == files[f"{LATEST}/user_data"] == user_data


def test_without_user_data_nocloud_still_has_the_file_that_it_asks_for() -> None:
    files = files_of(build(b"").data)
    assert files["user-data"] == b""
    assert f"{LATEST}/user_data" not in files


def test_label_is_the_one_that_nocloud_looks_for() -> None:
    image = build().data
    assert image[0x8028 : 0x8028 + 32].rstrip() == b"cidata"


def test_the_disk_is_longer_than_what_probes_look_at() -> None:
    assert len(build(b"").data) > 128 * 1024


def test_without_a_host_key_there_is_no_secret() -> None:
    built = build()
    assert built.key_extents == ()
    assert not any("vendor" in name for name in files_of(built.data))


def overwritten(built: seed.Seed, files: tuple[bytes, ...]) -> bytes:
    image = bytearray(built.data)
    for (offset, length), content in zip(built.key_extents, files, strict=True):
        assert len(content) == length
        image[offset : offset + length] = content
    return bytes(image)


def test_wiping_leaves_a_whole_seed_without_the_secret() -> None:
    built = build(host_key=seed.HostKey.generate())
    image = overwritten(built, seed.blank_files(length for _, length in built.key_extents))
    assert b"PRIVATE KEY" in built.data
    assert b"PRIVATE KEY" not in image
    files = files_of(image)
    assert files["vendor-data"].split(b"\n")[:2] == [b"#cloud-config", b"{}"]
    assert json.loads(files[f"{LATEST}/vendor_data.json"]) == {}
    assert files["meta-data"] == files_of(built.data)["meta-data"]


def test_another_key_fits_in_the_place_of_the_first() -> None:
    built, key = build(host_key=seed.HostKey.generate()), seed.HostKey.generate()
    files = files_of(overwritten(built, seed.key_files(key)))
    assert ssh_keys(files["vendor-data"].decode()) == keys_of(key)
    assert ssh_keys(json.loads(files[f"{LATEST}/vendor_data.json"])["cloud-init"]) == keys_of(key)


def test_a_seed_with_one_file_of_a_length_of_its_own_is_wiped() -> None:
    assert [len(content) for content in seed.blank_files([600])] == [600]


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
