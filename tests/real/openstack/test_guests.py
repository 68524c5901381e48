"""Servers of the guests tier are machines: reached by ssh through Neutron's routers, with disks that come and go."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from official_client import OpenStackCommand, until

pytestmark = [
    pytest.mark.guests,
    pytest.mark.skipif("CLOUDKIT_BED_GUESTS" not in os.environ, reason="servers are no machines: --guests"),
]
SSH_OPTIONS = {
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": "/dev/null",
    "LogLevel": "ERROR",
    "IdentitiesOnly": "yes",
    "ConnectTimeout": "3",
}


class Guest:
    """A server with a floating IP, and the key to log in to it."""

    def __init__(self, address: str, key: Path) -> None:
        self._argv = ["ssh", *(f"-o{name}={value}" for name, value in SSH_OPTIONS.items())]
        self._argv += ["-i", str(key), f"root@{address}"]

    def run(self, command: str) -> str:
        return subprocess.run([*self._argv, command], capture_output=True, text=True, check=True, timeout=60).stdout

    def answers(self) -> bool:
        return subprocess.run([*self._argv, "true"], capture_output=True, check=False, timeout=60).returncode == 0


@pytest.fixture(scope="module")
def demo() -> OpenStackCommand:
    return OpenStackCommand("bed-demo")


@pytest.fixture(scope="module")
def guest(demo: OpenStackCommand, tmp_path_factory: Any) -> Generator[Guest]:
    key = tmp_path_factory.mktemp("key") / "id"
    image = os.environ["CLOUDKIT_TEST_GUEST_IMAGE"]
    demo.run("keypair create --private-key {key} guest", key=key)
    # The command writes it for all to read, and ssh would not take it.
    key.chmod(0o600)
    demo.run("image create --disk-format qcow2 --container-format bare --file {path} guest", path=image)
    demo.run("network create guest")
    demo.run("subnet create --network guest --subnet-range 172.16.2.0/24 guest")
    demo.run("router create guest")
    demo.run("router set --external-gateway public guest")
    demo.run("router add subnet guest guest")
    demo.run("security group create guest")
    demo.run("security group rule create --protocol tcp --dst-port 22 guest")
    demo.run(
        "server create --wait --image guest --flavor m1.tiny --network guest "
        "--key-name guest --security-group guest guest"
    )
    address = demo.json("floating ip create public")["floating_ip_address"]
    demo.run(f"server add floating ip guest {address}")
    guest = Guest(address, key)
    until(guest.answers, "the guest answers ssh")
    yield guest
    demo.run(f"floating ip delete {address}")
    demo.run("server delete --wait guest")
    demo.run("router remove subnet guest guest")
    demo.run("router delete guest")
    for what in ("network", "security group", "image", "keypair"):
        demo.run(f"{what} delete guest")


def test_guest_is_the_one_that_was_made(demo: OpenStackCommand, guest: Guest) -> None:
    assert guest.run("hostname").strip() == "guest"
    assert "172.16.2." in guest.run("ip -4 address")
    assert "boot finished" in demo.run("console log show guest")


def test_volume_comes_grows_and_goes(demo: OpenStackCommand, guest: Guest) -> None:
    demo.run("volume create --size 1 guest")
    demo.wait("volume", "guest", "available")
    demo.run("server add volume guest guest")
    until(lambda: "vdb" in guest.run("ls /sys/block"), "the guest has the disk")
    demo.wait("volume", "guest", "in-use")
    size = "cat /sys/block/vdb/size"
    assert guest.run(size).strip() == str(2**30 // 512)
    demo.run("--os-volume-api-version 3.42 volume set --size 2 guest")
    until(lambda: guest.run(size).strip() == str(2**31 // 512), "the guest's disk has grown")
    demo.run("server remove volume guest guest")
    until(lambda: "vdb" not in guest.run("ls /sys/block"), "the guest has the disk no longer")
    demo.wait("volume", "guest", "available")
    demo.run("volume delete guest")


def test_security_group_closes_and_opens(demo: OpenStackCommand, guest: Guest) -> None:
    rules = demo.json("security group rule list guest --protocol tcp")
    demo.run(f"security group rule delete {rules[0]['ID']}")
    until(lambda: not guest.answers(), "the guest is closed")
    demo.run("security group rule create --protocol tcp --dst-port 22 guest")
    until(guest.answers, "the guest is open again")


@pytest.mark.parametrize(
    ("there", "status", "back"), [("suspend", "SUSPENDED", "resume"), ("stop", "SHUTOFF", "start")]
)
def test_network_is_there_again(demo: OpenStackCommand, guest: Guest, there: str, status: str, back: str) -> None:
    demo.run(f"server {there} guest")
    demo.wait("server", "guest", status)
    demo.run(f"server {back} guest")
    demo.wait("server", "guest", "ACTIVE")
    until(guest.answers, "the guest answers ssh")


@pytest.mark.parametrize("how", ["--soft", "--hard"])
def test_network_is_there_after_a_reboot(demo: OpenStackCommand, guest: Guest, how: str) -> None:
    before = guest.run("cat /proc/sys/kernel/random/boot_id")
    demo.run(f"server reboot {how} --wait guest")
    until(
        lambda: guest.answers() and guest.run("cat /proc/sys/kernel/random/boot_id") != before, "it has booted again"
    )
