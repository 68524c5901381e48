"""The bed is an OpenStack to the official `openstack` command: all that the story needs, as a member of a project."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from official_client import CommandFailed, OpenStackCommand, until

LISTS = {
    "server": "Name",
    "image": "Name",
    "volume": "Name",
    "volume snapshot": "Name",
    "volume backup": "Name",
    "network": "Name",
    "router": "Name",
    "floating ip": "Floating IP Address",
    "keypair": "Name",
    "security group": "Name",
    "server group": "Name",
}
KEPT = {"public", "default"}


@pytest.fixture(scope="module")
def demo() -> Generator[OpenStackCommand]:
    """The command as a plain member; nothing may be left of what it made."""
    demo = OpenStackCommand("bed-demo")
    yield demo

    def left() -> dict[str, set[str]]:
        names = {what: demo.names(what, column) - KEPT for what, column in LISTS.items()}
        return {what: those for what, those in names.items() if those}

    # A volume that is deleted goes some time after.
    until(lambda: left() == {}, "nothing is left")


@pytest.fixture(scope="module")
def image(demo: OpenStackCommand, tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    path = tmp_path_factory.mktemp("image") / "image.raw"
    path.write_bytes(os.urandom(1 << 20))
    demo.run("image create --disk-format raw --container-format bare --file {path} image", path=path)
    yield path
    demo.run("image delete image")


@pytest.fixture(scope="module")
def network(demo: OpenStackCommand) -> Generator[str]:
    demo.run("network create net")
    demo.run("subnet create --network net --subnet-range 172.16.1.0/24 sub")
    demo.run("router create router")
    demo.run("router set --external-gateway public router")
    demo.run("router add subnet router sub")
    yield "net"
    demo.run("router remove subnet router sub")
    demo.run("router delete router")
    demo.run("network delete net")


@pytest.fixture(scope="module")
def server(
    demo: OpenStackCommand, image: Path, network: str, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Any]:
    key = tmp_path_factory.mktemp("key") / "id"
    demo.run("keypair create --private-key {key} key", key=key)
    demo.run("security group create group")
    demo.run("security group rule create --protocol tcp --dst-port 22 group")
    yield demo.json(
        "server create --wait --image image --flavor m1.tiny --network net --key-name key --security-group group web"
    )
    demo.run("server delete --wait web")
    demo.run("security group delete group")
    demo.run("keypair delete key")


def test_image_comes_back_as_it_went(demo: OpenStackCommand, image: Path, tmp_path: Path) -> None:
    demo.run("image set --property os_distro=test --tag blue image")
    demo.run("image save --file {path} image", path=tmp_path / "saved")

    shown = demo.json("image show image")
    assert (shown["status"], shown["properties"]["os_distro"], shown["tags"]) == ("active", "test", ["blue"])
    assert (tmp_path / "saved").read_bytes() == image.read_bytes()


def test_server_is_active_with_an_address(demo: OpenStackCommand, server: Any) -> None:
    assert server["status"] == "ACTIVE"
    assert server["addresses"]["net"][0].startswith("172.16.1.")
    assert [port["Status"] for port in demo.json("port list --server web")] == ["ACTIVE"]
    if "CLOUDKIT_BED_GUESTS" not in os.environ:
        assert "FAKE CONSOLE OUTPUT" in demo.run("console log show web")


@pytest.mark.parametrize(
    ("there", "status", "back"),
    [
        ("stop", "SHUTOFF", "start"),
        ("pause", "PAUSED", "unpause"),
        ("suspend", "SUSPENDED", "resume"),
        ("rescue", "RESCUE", "unrescue"),
        ("shelve", "SHELVED_OFFLOADED", "unshelve"),
        ("resize --flavor m1.small", "VERIFY_RESIZE", "resize revert"),
        ("resize --flavor m1.small", "VERIFY_RESIZE", "resize confirm"),
    ],
)
def test_server_goes_there_and_back(demo: OpenStackCommand, server: Any, there: str, status: str, back: str) -> None:
    demo.run(f"server {there} web")
    demo.wait("server", "web", status)
    demo.run(f"server {back} web")
    demo.wait("server", "web", "ACTIVE")


def test_server_reboots_and_is_rebuilt(demo: OpenStackCommand, server: Any) -> None:
    demo.run("server reboot --wait web")
    demo.run("server reboot --hard --wait web")
    demo.run("server rebuild --wait --image image web")
    demo.wait("server", "web", "ACTIVE")


def test_server_becomes_an_image(demo: OpenStackCommand, server: Any) -> None:
    demo.run("server image create --wait --name taken web")
    demo.wait("image", "taken", "active")
    demo.run("image delete taken")


def test_volume_is_attached_and_grows(demo: OpenStackCommand, server: Any) -> None:
    demo.run("volume create --size 1 data")
    demo.wait("volume", "data", "available")
    assert demo.json("server add volume web data")["Device"] == "/dev/vdb"
    demo.wait("volume", "data", "in-use")
    demo.run("server remove volume web data")
    demo.wait("volume", "data", "available")
    demo.run("volume set --size 2 data")
    demo.wait("volume", "data", "2", field="size")
    demo.run("volume delete data")


def test_volume_from_snapshot(demo: OpenStackCommand) -> None:
    demo.run("volume create --size 1 first")
    demo.wait("volume", "first", "available")
    demo.run("volume snapshot create --volume first snapshot")
    demo.wait("volume snapshot", "snapshot", "available")
    demo.run("volume create --snapshot snapshot --size 2 second")
    demo.wait("volume", "second", "available")
    demo.run("volume delete second")
    demo.run("volume snapshot delete snapshot")
    until(lambda: not demo.names("volume snapshot"), "the snapshot is gone")
    demo.run("volume delete first")


def test_volume_is_backed_up_and_restored(demo: OpenStackCommand) -> None:
    demo.run("volume create --size 1 lost")
    demo.wait("volume", "lost", "available")
    demo.run("volume backup create --name backup lost")
    demo.wait("volume backup", "backup", "available")
    demo.run("volume delete lost")
    demo.run("volume backup restore backup found")
    demo.wait("volume", "found", "available")
    demo.run("volume delete found")
    demo.run("volume backup delete backup")


def test_server_boots_from_volume(demo: OpenStackCommand, image: Path, network: str) -> None:
    demo.run("volume create --image image --size 1 root")
    demo.wait("volume", "root", "available")
    assert demo.json("volume show root")["bootable"] is True
    made = demo.json("server create --wait --volume root --flavor m1.tiny --network net from-volume")
    assert made["status"] == "ACTIVE"
    demo.run("server delete --wait from-volume")
    demo.wait("volume", "root", "available")
    demo.run("volume delete root")


def test_floating_ip(demo: OpenStackCommand, server: Any) -> None:
    address = demo.json("floating ip create public")["floating_ip_address"]
    demo.run(f"server add floating ip web {address}")
    assert demo.json(f"floating ip show {address}")["status"] == "ACTIVE"
    # Nova learns of it by an event of Neutron's, some time after.
    until(lambda: address in demo.json("server show web")["addresses"]["net"], "the server shows the address")
    demo.run(f"server remove floating ip web {address}")
    assert demo.json(f"floating ip show {address}")["status"] == "DOWN"
    demo.run(f"floating ip delete {address}")


def test_trunk(demo: OpenStackCommand, network: str) -> None:
    demo.run("port create --network net parent")
    demo.run("port create --network net child")
    subport = "port=child,segmentation-type=vlan,segmentation-id=7"
    demo.run(f"network trunk create --parent-port parent --subport {subport} trunk")
    assert demo.json("network trunk show trunk")["status"] == "ACTIVE"
    demo.run("network trunk delete trunk")
    demo.run("port delete parent child")


def test_each_project_sees_its_own(demo: OpenStackCommand, network: str) -> None:
    other = OpenStackCommand("bed-other")
    assert demo.names("network") == {"net", "public"}
    assert other.names("network") == {"public"}


def test_only_the_administrator_makes_flavors(demo: OpenStackCommand) -> None:
    admin = OpenStackCommand("bed-admin")
    with pytest.raises(CommandFailed, match="403"):
        demo.run("flavor create --ram 64 --disk 1 --vcpus 1 mine")
    admin.run("flavor create --ram 64 --disk 1 --vcpus 1 nano")
    assert "nano" in demo.names("flavor")
    admin.run("flavor delete nano")
