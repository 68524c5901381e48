"""A server with all that the host's network does for it, and a machine outside that sees it."""

from __future__ import annotations

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
from saved_guest import USER

from cloudkit import Cloud, Server

WEB = 8080
VLAN_ID = 7
"""Of the network that the server is on."""
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
        # A guest that comes up between two tries may be reached by its fixed address, which comes second.
        self.cloud.ssh(self.server, user=USER, key=self.key, timeout_s=180).close()
        with self.cloud.ssh(self.server, user=USER, key=self.key, timeout_s=60) as shell:
            assert [address.ip for address in self.server.addresses if address.floating] == [shell.endpoint.host]
            seen = shell.run(["nc", "-w", "5", outer, str(WEB)], check=True, timeout_s=20).stdout.strip()
            assert seen == HOST_OUTSIDE
            shell.run(f"pidof httpd || httpd -p {WEB} -h /tmp", check=True)
        for address in self.server.addresses:
            with socket.create_connection((address.ip, 22), 5):
                pass
            with pytest.raises(TimeoutError):
                socket.create_connection((address.ip, WEB), 1)


@contextmanager
def guarded_server(routed: Cloud, folder: Path) -> Generator[Guarded]:
    """A server in a scope of its own."""
    with routed.scope("guarded") as cloud:
        network = cloud.networks.create("inside", cidr="172.16.7.0/24", vlan_id=VLAN_ID)
        cloud.routers.create("router", external="public", networks=[network])
        group = cloud.security_groups.create("ssh")
        cloud.security_groups.add_rule(group, "tcp", port=22)
        cloud.key_pairs.generate("me", folder / "key")
        cloud.images.upload("guest", path=guest_path())
        cloud.flavors.create("guest", vcpus=1, ram_mib=128, disk_gib=1)
        server = cloud.servers.create(
            "guarded", image="guest", flavor="guest", networks=[network], key_pair="me", security_groups=[group]
        )
        cloud.floating_ips.create(external="public", server=server)
        yield Guarded(cloud, cloud.servers.get(server), folder / "key")
