"""The seed disk: what a guest's cloud-init reads at boot, in NoCloud's form and in that of OpenStack's config drive.

Its label is NoCloud's, which real cloud-init prefers; what looks for the files of a config drive (cloudbase-init,
cloud-init told to use ConfigDrive) finds them too. The SSH host key that cloudkit makes goes into the vendor data,
so that the user's own user-data stays as it is, whatever form it has: cloud-init merges the two, and the user's
wins. The private half exists there only, and is wiped when the server is started again after it has shut down by
itself. The seed itself must stay: cloud-init looks for its instance-id on every boot, and where it finds none it
takes the guest for a new instance and makes new host keys.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pycdlib

from cloudkit._keys import generate_key_pair, parse_public_key

# As genisoimage pads: readers look ahead, and programs that probe for a file system give up on a disk that ends
# before the place where some other kind would have its mark (64 KiB and more).
_PADDING = bytes(150 * 2048)
_LATEST = "openstack/latest"

_KEY_FILES = ("vendor-data", f"{_LATEST}/vendor_data.json")
_KEY_FILE_BYTES = 2048
_BLANK = (b"#cloud-config\n{}\n", b"{}")


@dataclass(frozen=True, slots=True)
class HostKey:
    """An SSH host key; ``fingerprint`` is ``"ssh-ed25519 SHA256:..."``."""

    private: str = field(repr=False)
    public: str
    fingerprint: str

    @classmethod
    def generate(cls) -> HostKey:
        """A new Ed25519 key in OpenSSH's formats."""
        private, public = generate_key_pair()
        key = parse_public_key(public)
        return cls(private, public, key.typed_fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """What a guest is told.

    Attributes:
        public_keys: by the names of their key pairs.
        network: what the config drive's network_data.json says.
    """

    id: str
    name: str
    hostname: str
    project_id: str
    zone: str
    public_keys: Mapping[str, str] = field(default_factory=dict[str, str])
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    user_data: bytes = field(default=b"", repr=False)
    network: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Seed:
    """An ISO image; ``key_extents`` are offset and length of each file with the private key, if it has them."""

    data: bytes = field(repr=False)
    key_extents: tuple[tuple[int, int], ...]


def build(instance: Instance, host_key: HostKey | None) -> Seed:
    """The seed of a server."""
    files = {
        "meta-data": _json(_nocloud_metadata(instance)),
        "user-data": instance.user_data,
        f"{_LATEST}/meta_data.json": _json(_openstack_metadata(instance)),
        f"{_LATEST}/network_data.json": _json(instance.network),
    }
    if instance.user_data:
        files[f"{_LATEST}/user_data"] = instance.user_data
    if host_key is None:
        return Seed(_iso(files), ())
    keys = key_files(host_key)
    files.update(zip(_KEY_FILES, keys, strict=True))
    image = _iso(files)
    return Seed(image, tuple((image.index(content), len(content)) for content in keys))


def key_files(host_key: HostKey) -> tuple[bytes, ...]:
    """The files with the private key, all of one length, so that another key's fit in their place."""
    # As a file has it: cloud-init writes it as it is, and prints the file to the console.
    keys = {"ed25519_private": host_key.private, "ed25519_public": f"{host_key.public}\n"}
    config = f"#cloud-config\n{json.dumps({'ssh_keys': keys})}\n"
    return tuple(text.encode().ljust(_KEY_FILE_BYTES, b"\n") for text in (config, json.dumps({"cloud-init": config})))


def blank_files(lengths: Iterable[int]) -> tuple[bytes, ...]:
    """What to write over the files with the private key: as many bytes that say nothing."""
    # A seed of an older cloudkit has the first file alone.
    return tuple(text.ljust(length, b"\n") for text, length in zip(_BLANK, lengths, strict=False))


def _json(data: Mapping[str, Any]) -> bytes:
    # JSON is YAML, and needs no writer of its own.
    return json.dumps(data, indent=1).encode() + b"\n"


def _nocloud_metadata(instance: Instance) -> dict[str, Any]:
    return {
        "instance-id": instance.id,
        "local-hostname": instance.hostname,
        "public-keys": list(instance.public_keys.values()),
    }


def _openstack_metadata(instance: Instance) -> dict[str, Any]:
    """As Nova's, of the version "latest"."""
    return {
        "uuid": instance.id,
        "name": instance.name,
        "hostname": instance.hostname,
        "project_id": instance.project_id,
        "availability_zone": instance.zone,
        "launch_index": 0,
        "meta": dict(instance.metadata),
        "public_keys": {name: f"{key}\n" for name, key in instance.public_keys.items()},
        "keys": [{"name": name, "type": "ssh", "data": f"{key}\n"} for name, key in instance.public_keys.items()],
    }


def _iso(files: Mapping[str, bytes]) -> bytes:
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, vol_ident="cidata", joliet=3, rock_ridge="1.09")
    try:
        for path in ("openstack", _LATEST):
            _, _, name = path.rpartition("/")
            iso.add_directory(f"/{path.upper()}", rr_name=name, joliet_path=f"/{path}")
        for path, content in files.items():
            folder, _, name = path.rpartition("/")
            iso_path = f"{folder}/{name.replace('-', '_')}".upper().lstrip("/")
            iso_path = f"/{iso_path}" if "." in iso_path else f"/{iso_path}."
            iso.add_fp(io.BytesIO(content), len(content), f"{iso_path};1", rr_name=name, joliet_path=f"/{path}")
        output = io.BytesIO()
        iso.write_fp(output)
    finally:
        iso.close()
    return output.getvalue() + _PADDING
