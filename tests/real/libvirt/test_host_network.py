"""The host's network follows the records: whatever happens to it, and without touching what is not ours."""

from __future__ import annotations

import json
import re

from bed import LibvirtBed
from conftest import ROUTED
from guarded_server import Guarded, outside

import cloudkit
from cloudkit import Server
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
