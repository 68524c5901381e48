"""The host's network follows the records: whatever happens to it, and without touching what is not ours."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from bare_driver import guest_path
from bed import LibvirtBed
from conftest import ROUTED
from saved_guest import USER

import cloudkit
from cloudkit import Cloud, Server
from cloudkit_libvirt.network_xml import bridge_name

FOREIGN = (
    "table inet foreign {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n\t}\n}\n"
)
WEB = 8080
HOST_OUTSIDE = "198.18.0.1"
"""What a guest's packets seem to come from there."""
SERVE = f"""
import socket
with socket.create_server(("", {WEB})) as server:
    print("ready", flush=True)
    while True:
        connection, peer = server.accept()
        with connection:
            connection.sendall(f"{{peer[0]}}\\n".encode())
"""


def ruleset(bed: LibvirtBed) -> str:
    """All tables but those of libvirt's own rules, which come and go with it."""
    rules = bed.run(["nft", "list", "ruleset"]).stdout
    tables = re.findall(r"^table .*?^}", rules, re.MULTILINE | re.DOTALL)
    return "\n".join(table for table in tables if "LIBVIRT_" not in table)


def words(rules: str) -> list[str]:
    """All of a ruleset but the order of a set's elements, which is the kernel's."""
    return sorted(re.findall(r"[^\s,]+", rules))


@contextmanager
def outside(bed: LibvirtBed, address: str) -> Generator[None]:
    """A machine beyond the host: a network namespace with one address, that tells whoever connects his own."""
    name = f"ckout{uuid.uuid4().hex[:8]}"
    process = None
    bed.run(["ip", "netns", "add", name])
    try:
        for line in (
            f"ip link add {name[:11]}a type veth peer name {name[:11]}b netns {name}",
            f"ip addr add 198.18.0.1/24 dev {name[:11]}a",
            f"ip link set {name[:11]}a up",
            f"ip -n {name} addr add {address}/24 dev {name[:11]}b",
            f"ip -n {name} link set {name[:11]}b up",
        ):
            bed.run(line.split())
        command = bed.command(["ip", "netns", "exec", name, sys.executable, "-c", SERVE])
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        if process is not None:
            process.kill()
            process.communicate()
        bed.run(["ip", "netns", "delete", name])


@dataclass(frozen=True)
class Guarded:
    """A server behind a router, a floating IP and a group that lets logins in."""

    cloud: Cloud
    server: Server
    key: Path

    def check(self, outer: str) -> None:
        """Logins pass by the floating IP and by the fixed one, nothing else gets in, and the outside is reached."""
        with self.cloud.ssh(self.server, user=USER, key=self.key, timeout_s=180) as shell:
            assert [address.ip for address in self.server.addresses if address.floating] == [shell.endpoint.host]
            seen = shell.run(["nc", "-w", "5", outer, str(WEB)], check=True, timeout_s=20).stdout.strip()
            assert seen == HOST_OUTSIDE
            shell.run(f"pidof httpd || httpd -p {WEB} -h /tmp", check=True)
        for address in self.server.addresses:
            with socket.create_connection((address.ip, 22), 5):
                pass
            with pytest.raises(TimeoutError):
                socket.create_connection((address.ip, WEB), 1)


@pytest.fixture
def guarded(routed: Cloud, tmp_path: Path) -> Generator[Guarded]:
    with routed.scope("guarded") as cloud:
        network = cloud.networks.create("inside", cidr="172.16.7.0/24")
        cloud.routers.create("router", external="public", networks=[network])
        group = cloud.security_groups.create("ssh")
        cloud.security_groups.add_rule(group, "tcp", port=22)
        cloud.key_pairs.generate("me", tmp_path / "key")
        cloud.images.upload("guest", path=guest_path())
        cloud.flavors.create("guest", vcpus=1, ram_mib=128, disk_gib=1)
        server = cloud.servers.create(
            "guarded", image="guest", flavor="guest", networks=[network], key_pair="me", security_groups=[group]
        )
        cloud.floating_ips.create(external="public", server=server)
        yield Guarded(cloud, cloud.servers.get(server), tmp_path / "key")


def flush(bed: LibvirtBed, server: Server) -> None:
    bed.run(["nft", "flush", "table", "inet", "cloudkit"])
    bed.run(["nft", "delete", "table", "bridge", "cloudkit"])


def remove_the_bridge(bed: LibvirtBed, server: Server) -> None:
    bed.run(["ip", "link", "delete", bridge_name(server.addresses[0].network_id)])


def forget_the_floating_ip(bed: LibvirtBed, server: Server) -> None:
    (ip,) = (address.ip for address in server.addresses if address.floating)
    (device,) = (
        link["ifname"]
        for link in json.loads(bed.run(["ip", "-json", "address"]).stdout)
        if any(each["local"] == ip for each in link["addr_info"])
    )
    bed.run(["ip", "address", "delete", f"{ip}/32", "dev", device])


def restart_libvirt(bed: LibvirtBed, server: Server) -> None:
    bed.kill_libvirtd()
    bed.start_libvirtd()


def test_what_happens_to_it_is_mended_and_what_is_not_ours_is_left_alone(bed: LibvirtBed, guarded: Guarded) -> None:
    bed.run(["nft", "-f", "-"], stdin=FOREIGN)
    try:
        with outside(bed, "198.18.0.9"):
            guarded.check("198.18.0.9")
            before = words(ruleset(bed))
            for harm in (flush, remove_the_bridge, forget_the_floating_ip, restart_libvirt):
                harm(bed, guarded.server)
                cloudkit.connect(ROUTED).close()
                guarded.check("198.18.0.9")
                assert words(ruleset(bed)) == before, harm
            assert FOREIGN.strip() in ruleset(bed)
    finally:
        bed.run(["nft", "delete", "table", "inet", "foreign"])


def test_of_a_deleted_cloud_nothing_is_left(bed: LibvirtBed, guarded: Guarded) -> None:
    assert "cloudkit" in ruleset(bed)
    guarded.cloud.servers.delete(guarded.server)
    for collection in (guarded.cloud.floating_ips, guarded.cloud.routers, guarded.cloud.networks):
        for value in list(collection.list(project_id=guarded.cloud.project_id)):
            if value.name != "public":
                collection.delete(value)
    assert "cloudkit" not in ruleset(bed)
