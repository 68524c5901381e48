"""The libvirt driver without the portable layer, and a shell into its guests, for the tests of the driver."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paramiko
from bed import LibvirtBed

from cloudkit.driver import OpenRequest, check_declaration
from cloudkit.types import (
    FlavorSpec,
    ImageSpec,
    KeyPairSpec,
    Mark,
    NetworkSpec,
    Server,
    SubnetSpec,
)
from cloudkit_libvirt import PLUGIN

POLL_S = 0.02


def current_bed() -> LibvirtBed:
    """The bed that run.py started for this process."""
    return LibvirtBed.attach(os.environ["CLOUDKIT_TEST_BED"])


def guest_path() -> Path:
    """The guest's disk image."""
    return Path(os.environ["CLOUDKIT_TEST_GUEST_IMAGE"])


@contextmanager
def open_driver(bed: LibvirtBed, **options: Any) -> Generator[Any]:
    """The driver on the bed's libvirt; any of its options."""
    defaults: Mapping[str, Any] = {option.name: option.default for option in PLUGIN.options}
    settings = {**defaults, "pool_path": str(bed.pool_path), "host_network": "off", **options}
    driver = PLUGIN.open(OpenRequest(bed.uri, settings, None, "real"))
    try:
        check_declaration(driver)
        yield driver
    finally:
        driver.close()


def mark() -> Mark:
    return Mark(request=str(uuid.uuid4()))


def until(condition: Callable[[], Any], what: str, timeout_s: float = 30) -> Any:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(POLL_S)
    return answer


class Shell:
    """An ssh login that accepts only the host key that the driver injected."""

    def __init__(self, server: Server, host: str, key: paramiko.PKey, timeout_s: float = 60) -> None:
        self._expected = server.host_key
        self._transport = self._connect(host, key, time.monotonic() + timeout_s)

    def _connect(self, host: str, key: paramiko.PKey, deadline: float) -> paramiko.Transport:
        while True:
            try:
                sock = socket.create_connection((host, 22), timeout=1)
                transport = paramiko.Transport(sock)
                transport.banner_timeout = 15
                try:
                    transport.start_client(timeout=15)
                    assert fingerprint(transport.get_remote_server_key()) == self._expected
                    transport.auth_publickey("root", key)
                except BaseException:
                    transport.close()
                    raise
                return transport
            except (OSError, EOFError, paramiko.SSHException):
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)

    def run(self, command: str) -> str:
        channel = self._transport.open_session(timeout=30)
        channel.settimeout(60)
        channel.set_combine_stderr(True)
        channel.exec_command(command)
        with channel.makefile("rb") as output:
            text = bytes(output.read()).decode()
        # dropbear takes the next channel amiss when this one is closed before its command has ended.
        channel.recv_exit_status()
        channel.close()
        return text

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def fingerprint(key: paramiko.PKey) -> str:
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


class Lab:
    """What every server of a test needs, made through the driver, and removed by it."""

    def __init__(self, driver: Any, cidr: str = "172.16.1.0/24") -> None:
        self.driver = driver
        self.key = paramiko.ECDSAKey.generate()
        public = f"{self.key.get_name()} {self.key.get_base64()}"
        self.network = driver.network.networks.create(NetworkSpec(name="private", mark=mark()))
        self.subnet = driver.network.subnets.create(
            SubnetSpec(
                name="private", mark=mark(), network_id=self.network.id, cidr=cidr, ip_version=4, dns=("8.8.8.8",)
            )
        )
        with guest_path().open("rb") as data:
            spec = ImageSpec(name="guest", mark=mark(), disk_format="qcow2")
            self.image = driver.image.images.create(spec, data, guest_path().stat().st_size)
        self.flavor = driver.compute.flavors.create(
            FlavorSpec(name="m1.micro", mark=mark(), vcpus=1, ram_mib=128, disk_gib=1)
        )
        self.key_pair = driver.compute.key_pairs.create(
            KeyPairSpec(name="me", mark=mark(), public_key=public, fingerprint="SHA256:unused")
        )

    def shell(self, server: Server) -> Shell:
        (endpoint,) = self.driver.compute.servers.endpoints(server.id, 22)
        return Shell(server, endpoint.host, self.key)

    def remove(self) -> None:
        self.driver.compute.key_pairs.delete(self.key_pair.id)
        self.driver.compute.flavors.delete(self.flavor.id)
        self.driver.image.images.delete(self.image.id)
        self.driver.network.subnets.delete(self.subnet.id)
        self.driver.network.networks.delete(self.network.id)
