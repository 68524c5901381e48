"""From the request for a server to a login by SSH: cloudkit against libvirt-python, pycdlib and paramiko by hand.

    python tests/real/libvirt/run.py --shell python tests/benchmarks/create_to_ssh.py [ROUNDS]

Both use the same libvirt, the same guest image and an address reserved before the boot; images, networks and keys
are there before the clock starts. Rounds alternate, so that a drift of the machine meets both.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import bare_libvirt
import libvirt  # type: ignore[import-untyped, unused-ignore]
import paramiko

import cloudkit

BOUND = 1.3
ROUNDS = 5
RAM_MIB = 128
POLL_S = 0.02


@contextmanager
def by_hand(uri: str, image: Path, folder: Path, key_path: Path) -> Iterator[Callable[[], float]]:
    """What a careful script does without cloudkit; gives the function that measures one round."""
    key = paramiko.Ed25519Key.from_private_key_file(str(key_path))
    public_key = f"{key.get_name()} {key.get_base64()}"
    connection = libvirt.open(uri)
    network = connection.networkCreateXML(bare_libvirt.network_xml(1))

    def measure() -> float:
        start = time.monotonic()
        host_key = bare_libvirt.HostKey.generate()
        (folder / "seed.iso").write_bytes(bare_libvirt.seed_iso("bare", public_key, host_key))
        overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", folder / "disk.qcow2", "1G"]
        subprocess.run(overlay, check=True)
        disk, iso, console = (folder / name for name in ("disk.qcow2", "seed.iso", "console.log"))
        domain = connection.defineXML(bare_libvirt.domain_xml("bare", 0, RAM_MIB, disk, iso, console))
        try:
            domain.create()
            transport = log_in(bare_libvirt.address(0)[0], key, host_key.public)
            seconds = time.monotonic() - start
            transport.close()
        finally:
            domain.destroy()
            domain.undefine()
        return seconds

    try:
        yield measure
    finally:
        network.destroy()
        connection.close()


def log_in(host: str, key: paramiko.PKey, host_key: str) -> paramiko.Transport:
    """Try until somebody with the right host key lets us in."""
    while True:
        try:
            transport = paramiko.Transport(socket.create_connection((host, 22), timeout=0.25))
            try:
                transport.start_client(timeout=15)
                if transport.get_remote_server_key().get_base64() != host_key.split()[1]:
                    raise SystemExit("another machine answers")
                transport.auth_publickey("root", key)
            except BaseException:
                transport.close()
                raise
            return transport
        except (OSError, EOFError, paramiko.SSHException):
            time.sleep(POLL_S)


@contextmanager
def by_cloudkit(uri: str, pool_path: str, image: Path, key_path: Path) -> Iterator[Callable[[], float]]:
    """The same by the portable API."""
    with (
        cloudkit.connect(f"libvirt+{uri}", pool_path=pool_path, external_cidr="", host_network="off") as cloud,
        cloud.scope("bench") as mine,
    ):
        network = mine.networks.create("bench", cidr="172.16.8.0/24")
        guest = mine.images.upload("bench", path=image)
        flavor = mine.flavors.create("bench", vcpus=1, ram_mib=RAM_MIB, disk_gib=1)
        key_pair = mine.key_pairs.generate("bench", key_path)

        def measure() -> float:
            start = time.monotonic()
            server = mine.servers.create("bench", image=guest, flavor=flavor, networks=[network], key_pair=key_pair)
            with mine.ssh(server, user="root", key=key_path):
                seconds = time.monotonic() - start
            mine.servers.delete(server)
            return seconds

        yield measure


def main(arguments: list[str] | None = None) -> int:
    rounds = int(arguments[0]) if arguments else ROUNDS
    uri, image = os.environ["CLOUDKIT_TEST_LIBVIRT_URI"], Path(os.environ["CLOUDKIT_TEST_GUEST_IMAGE"])
    bed = os.environ["CLOUDKIT_TEST_BED"]
    folder = Path(tempfile.mkdtemp(dir=bed))
    key_path = folder / "key"
    times: dict[str, list[float]] = {"by hand": [], "cloudkit": []}
    try:
        with (
            by_cloudkit(uri, f"{bed}/pool", image, key_path) as portable,
            by_hand(uri, image, folder, key_path) as bare,
        ):
            measures = {"by hand": bare, "cloudkit": portable}
            for number in range(rounds):
                for name in sorted(measures, reverse=bool(number % 2)):
                    times[name].append(measures[name]())
                    print(f"round {number + 1}: {name} {times[name][-1]:.2f} s", flush=True)
    finally:
        shutil.rmtree(folder)
    # Of the pairs, as what else the machine does meets both halves of a pair alike.
    ratio = median(ours / bare for ours, bare in zip(times["cloudkit"], times["by hand"], strict=True))
    medians = ", ".join(f"{name} {median(seconds):.2f} s" for name, seconds in times.items())
    print(f"create → ssh, medians of {rounds}: {medians}; ratio {ratio:.2f} × (bound {BOUND} ×)")
    return int(ratio > BOUND)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
