"""The host's network follows the records: whatever happens to it, and without touching what is not ours."""

from __future__ import annotations

import json
import re
import socket

import pytest
from bed import LibvirtBed
from conftest import ROUTED
from guarded_server import HOST_OUTSIDE, WEB, Guarded, outside
from saved_guest import USER

import cloudkit
from cloudkit import Conflict, FixedIpSpec, Server
from cloudkit_libvirt.network_xml import bridge_name

FOREIGN = (
    "table inet foreign {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n\t}\n}\n"
)


def ruleset(bed: LibvirtBed) -> str:
    """All tables but those of libvirt's own rules, which come and go with it."""
    rules = bed.run(["nft", "list", "ruleset"]).stdout
    tables = re.findall(r"^table .*?^}", rules, re.MULTILINE | re.DOTALL)
    return "\n".join(table for table in tables if "LIBVIRT_" not in table)


def words(rules: str) -> list[str]:
    """All of a ruleset but the order of a set's elements, which is the kernel's."""
    return sorted(re.findall(r"[^\s,]+", rules))


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
    bed.restart_libvirtd()


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


def test_a_subnet_that_is_added_while_servers_run_is_served(bed: LibvirtBed, guarded: Guarded) -> None:
    cloud, server = guarded.cloud, guarded.server
    (network,) = (network for network in cloud.networks.list() if network.name == "inside")
    (router,) = cloud.routers.list()
    route, hop, name_server = "192.0.2.0/24", "172.16.8.9", "172.16.8.53"
    second = cloud.subnets.create(
        "second", network=network, cidr="172.16.8.0/24", dns=[name_server], host_routes=[(route, hop)]
    )
    third = cloud.subnets.create("third", network=network, cidr="fd00:8::/64")
    for subnet in (second, third):
        cloud.routers.add_interface(router, subnet)
    with outside(bed, "198.18.0.9"):
        guarded.check("198.18.0.9")
        port = cloud.ports.create(
            "port", network=network, fixed_ips=[FixedIpSpec(subnet_id=second.id)], security_groups=["ssh"]
        )
        other = cloud.servers.create("other", image="guest", flavor="guest", networks=[port], key_pair="me")
        assert sorted(address.version for address in cloud.servers.get(server).addresses) == [4, 4, 6]
        with cloud.ssh(other, user=USER, key=guarded.key, timeout_s=180) as shell:
            # IPv6 has no client that could be waited for: the kernel asks first whether others have its address.
            await_ipv6 = "for try in $(seq 30); do ip -6 addr | grep -q ' fd00:8:' && break; sleep 1; done"
            shown = shell.run(f"{await_ipv6}; ip addr; ip -4 route; cat /etc/resolv.conf", check=True).stdout
            for fixed in port.fixed_ips:
                assert f" {fixed.ip}/" in shown, shown
            assert f"{route} via {hop}" in shown
            assert "default via 172.16.8.1" in shown
            assert f"nameserver {name_server}" in shown
            seen = shell.run(["nc", "-w", "5", "198.18.0.9", str(WEB)], check=True, timeout_s=20).stdout.strip()
            assert seen == HOST_OUTSIDE
    # An ordinary connection of IPv6, from the host.
    (six,) = (address.ip for address in other.addresses if address.version == 6)
    with pytest.raises(TimeoutError):
        socket.create_connection((six, 22), 1)
    cloud.security_groups.add_rule("ssh", "tcp", port=22, ip_version=6)
    with socket.create_connection((six, 22), 5):
        pass


def test_a_second_cloud_on_the_host_leaves_the_first_ones_network_alone(
    bed: LibvirtBed, guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    before = words(ruleset(bed))
    other = {"pool": "other", "pool_path": str(bed.folder / "other-pool"), "external_cidr": ""}
    url = f"libvirt+{bed.uri}"
    try:
        with pytest.raises(Conflict, match="another cloud"):
            cloudkit.connect(url, host_network="on", **other)
        with cloudkit.connect(url, **other) as second:
            assert not second.supports("routers")
            assert second.supports("networks.create")
        assert "another cloud" in caplog.text
        assert words(ruleset(bed)) == before
    finally:
        pool = guarded.cloud.native.storagePoolLookupByName("other")
        pool.destroy()
        pool.undefine()
