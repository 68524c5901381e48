"""VLANs outside of the host: who is on the same one meets the guests, through their filters, and nobody else does."""

from __future__ import annotations

import subprocess
import sys

import pytest
from bed import LibvirtBed
from conftest import ROUTED
from guarded_server import VLAN_ID, WEB, Guarded
from saved_guest import USER
from wire import PEER, SWITCH, on_vlan, other_host, trunk

import cloudkit
from cloudkit import CloudError, Shell
from cloudkit.conformance.traffic.trunks import use_vlan
from cloudkit_libvirt.network_xml import bridge_name, trunk_name, wire_name

SAME, OTHER, NOBODY = "172.16.7.200", "172.16.7.201", "172.16.7.202"
TRIES = 4


def asks(shell: Shell, address: str) -> str:
    """What a machine outside tells the guest."""
    return shell.run(["nc", "-w", "3", address, str(WEB)], timeout_s=20).stdout.strip()


def reaches(machine: list[str], address: str, port: int) -> bool:
    """Whether a machine outside gets through to a guest."""
    connect = f"import socket; socket.create_connection(({address!r}, {port}), 2)"
    done = subprocess.run([*machine, sys.executable, "-c", connect], capture_output=True, check=False)
    return done.returncode == 0


def test_a_vlan_is_its_network_outside_of_the_host(bed: LibvirtBed, guarded: Guarded) -> None:
    cloud, server = guarded.cloud, guarded.server
    (fixed,) = (address.ip for address in server.addresses if not address.floating)
    with (
        cloud.ssh(server, user=USER, key=guarded.key, timeout_s=180) as shell,
        on_vlan(bed, VLAN_ID, SAME) as same,
        on_vlan(bed, VLAN_ID + 1, OTHER) as other,
    ):
        shell.run(f"pidof httpd || httpd -p {WEB} -h /tmp", check=True)
        # Its own address: what passes on a network is not translated.
        assert asks(shell, SAME) == fixed
        assert asks(shell, OTHER) == ""
        assert reaches(same, fixed, 22)
        assert not reaches(other, fixed, 22)
        assert not reaches(same, fixed, WEB)
        rule = cloud.security_groups.add_rule("ssh", "tcp", port=WEB)
        assert reaches(same, fixed, WEB)
        assert not reaches(other, fixed, WEB)
        cloud.security_groups.remove_rule("ssh", rule)
        assert not reaches(same, fixed, WEB)
        with trunk(bed) as wire:
            shell.run(["ping", "-c", "1", "-W", "1", NOBODY])
            assert wire.stdout is not None
            asked = bytes(map(int, NOBODY.split("."))).hex()
            vlan, _ = next(line.split() for line in wire.stdout if asked in line)
            assert int(vlan) == VLAN_ID


def restart_open_vswitch(bed: LibvirtBed, network_id: str) -> None:
    bed.open_vswitch.restart()


def unplug_it(bed: LibvirtBed, network_id: str) -> None:
    bed.open_vswitch.vsctl("del-port", SWITCH, wire_name(network_id))


def retag_it(bed: LibvirtBed, network_id: str) -> None:
    bed.open_vswitch.vsctl("set", "Port", wire_name(network_id), f"tag={VLAN_ID + 1}")


def remove_the_switch(bed: LibvirtBed, network_id: str) -> None:
    bed.open_vswitch.vsctl("del-br", SWITCH)


def remove_the_bridge(bed: LibvirtBed, network_id: str) -> None:
    bed.run(["ip", "link", "delete", bridge_name(network_id)])


def test_what_happens_to_the_switch_is_mended(bed: LibvirtBed, guarded: Guarded) -> None:
    network_id = guarded.server.addresses[0].network_id
    with guarded.cloud.ssh(guarded.server, user=USER, key=guarded.key, timeout_s=180) as shell:
        (fixed,) = (address.ip for address in guarded.server.addresses if not address.floating)
        for harm in (restart_open_vswitch, unplug_it, retag_it, remove_the_switch, remove_the_bridge):
            harm(bed, network_id)
            cloudkit.connect(ROUTED).close()
            with on_vlan(bed, VLAN_ID, SAME):
                assert asks(shell, SAME) == fixed, harm


def test_a_switch_of_others_is_left_as_it_was(bed: LibvirtBed, profile: str) -> None:
    bed.open_vswitch.vsctl("add-br", SWITCH, "--", "set", "Bridge", SWITCH, "datapath_type=netdev")
    try:
        with on_vlan(bed, VLAN_ID, SAME), cloudkit.connect(ROUTED) as cloud:
            before = bed.open_vswitch.vsctl("list-ports", SWITCH)
            network = cloud.networks.create("net", cidr="172.16.9.0/24", vlan_id=VLAN_ID)
            assert bed.open_vswitch.vsctl("list-ports", SWITCH) != before
            cloud.networks.delete(network)
            assert bed.open_vswitch.vsctl("list-ports", SWITCH) == before
    finally:
        bed.open_vswitch.vsctl("del-br", SWITCH)


def test_without_open_vswitch_there_are_no_vlans(
    bed: LibvirtBed, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVS_RUNDIR", str(bed.folder / "nowhere"))
    with cloudkit.connect(ROUTED) as cloud:
        assert not cloud.supports("networks.create:vlan_id")
        assert cloud.supports("routers")


def test_a_port_that_cannot_be_made_is_an_error_and_leaves_nothing(bed: LibvirtBed, profile: str) -> None:
    with cloudkit.connect(ROUTED) as cloud:
        bed.kill("ovs-vswitchd")
        try:
            with pytest.raises(CloudError, match="ovs-vsctl"):
                cloud.networks.create("net", cidr="172.16.9.0/24", vlan_id=VLAN_ID)
        finally:
            bed.open_vswitch.restart()
        assert list(cloud.networks.list()) == []
        network = cloud.networks.create("net", cidr="172.16.9.0/24", vlan_id=VLAN_ID)
        assert network.subnet_ids
        cloud.networks.delete(network)


def remove_the_trunks_switch(bed: LibvirtBed, trunk_id: str) -> None:
    bed.open_vswitch.vsctl("del-br", trunk_name(trunk_id))


def test_a_trunk_is_mended_under_its_guest(bed: LibvirtBed, guarded: Guarded) -> None:
    cloud = guarded.cloud
    tagged = cloud.networks.create("tagged", cidr="172.16.8.0/24", vlan_id=VLAN_ID + 1)
    trunk = cloud.ports.create("trunk", network="inside", security_groups=["ssh"])
    subport = cloud.ports.create("subport", network=tagged)
    cloud.ports.add_subport(trunk, subport, vlan_id=30)
    server = cloud.servers.create("trunked", image="guest", flavor="guest", networks=[trunk], key_pair="me")
    cloud.floating_ips.create(external="public", server=server)
    outer, own = "172.16.8.200", subport.fixed_ips[0].ip
    with cloud.ssh(server, user=USER, key=guarded.key, timeout_s=180) as shell:
        shell.run(use_vlan(cloud, subport, 30), sudo=True, check=True)
        for harm in (None, restart_open_vswitch, remove_the_trunks_switch):
            if harm is not None:
                harm(bed, trunk.id)
                cloudkit.connect(ROUTED).close()
            with on_vlan(bed, VLAN_ID + 1, outer):
                # A switch that has just been made may need a moment to learn who is where.
                assert any(asks(shell, outer) == own for _ in range(TRIES)), harm


def test_vlans_of_two_hosts_are_joined_by_vxlan(bed: LibvirtBed, guarded: Guarded) -> None:
    (fixed,) = (address.ip for address in guarded.server.addresses if not address.floating)
    with (
        guarded.cloud.ssh(guarded.server, user=USER, key=guarded.key, timeout_s=180) as shell,
        other_host(bed, VLAN_ID, SAME),
    ):
        assert asks(shell, SAME) == ""
        cloudkit.connect(ROUTED, vxlan_peers=PEER).close()
        assert any(asks(shell, SAME) == fixed for _ in range(TRIES))
        # Who knows of no peers takes the way away.
        cloudkit.connect(ROUTED).close()
        assert asks(shell, SAME) == ""
