"""The seed disk: what a guest's cloud-init (NoCloud) reads at boot.

The SSH host key that cloudkit makes goes into ``vendor-data``, so that the user's own user-data stays as it is,
whatever form it has. The private half exists there only, and is wiped when the server is started again. The
seed itself must stay: cloud-init looks for its instance-id on every boot, and where it finds none it takes the
guest for a new instance and makes new host keys.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field

import pycdlib

from cloudkit._keys import generate_key_pair, parse_public_key

# As genisoimage pads: readers look ahead, and programs that probe for a file system give up on a disk that ends
# before the place where some other kind would have its mark (64 KiB and more).
_PADDING = bytes(150 * 2048)


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


@dataclass(frozen=True, slots=True)
class Seed:
    """An ISO image; ``secret_extent`` is offset and length of the file with the private key, if it has one."""

    data: bytes = field(repr=False)
    secret_extent: tuple[int, int] | None


def build(
    instance_id: str, hostname: str, public_keys: tuple[str, ...], user_data: bytes, host_key: HostKey | None
) -> Seed:
    """The seed of a server."""
    # JSON is YAML, and needs no writer of its own.
    meta_data = {"instance-id": instance_id, "local-hostname": hostname, "public-keys": list(public_keys)}
    files = {"meta-data": json.dumps(meta_data, indent=1).encode() + b"\n", "user-data": user_data}
    vendor_data = b""
    if host_key is not None:
        keys = {"ed25519_private": host_key.private, "ed25519_public": host_key.public}
        vendor_data = b"#cloud-config\n" + json.dumps({"ssh_keys": keys}).encode() + b"\n"
        files["vendor-data"] = vendor_data
    image = _iso(files)
    return Seed(image, (image.index(vendor_data), len(vendor_data)) if vendor_data else None)


def wiped(length: int) -> bytes:
    """What to write over the file with the private key: a cloud-config of the same length that says nothing."""
    return b"#cloud-config\n{}\n".ljust(length, b"\n")


def _iso(files: dict[str, bytes]) -> bytes:
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, vol_ident="cidata", joliet=3, rock_ridge="1.09")
    try:
        for name, content in files.items():
            iso_name = name.replace("-", "_").upper()
            iso.add_fp(io.BytesIO(content), len(content), f"/{iso_name}.;1", rr_name=name, joliet_path=f"/{name}")
        output = io.BytesIO()
        iso.write_fp(output)
    finally:
        iso.close()
    return output.getvalue() + _PADDING
