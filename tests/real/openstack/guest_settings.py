"""What the guests tier configures otherwise: Nova's libvirt driver, Neutron's Open vSwitch, DHCP and L3 agents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from layout import HOST, NODE, OVSDB_PORT, Layout

Sections = Mapping[str, Mapping[str, object]]

BRIDGES = ("br-int", "br-vlan", "br-ex")
OVSDB = f"tcp:{HOST}:{OVSDB_PORT}"
LIBVIRTD_CONF = """\
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
log_outputs = "3:stderr"
"""
# Without controllers a guest gets no cgroup on the host that a killed bed would leave behind.
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = []
"""


def write_libvirt_settings(folder: Path) -> None:
    """Write what libvirtd reads in the pod's /etc/libvirt."""
    (folder / "libvirtd.conf").write_text(LIBVIRTD_CONF)
    (folder / "qemu.conf").write_text(QEMU_CONF)


def guest_settings(layout: Layout) -> Mapping[str, Sections]:
    """Return options by configuration file and section, over those of the quick tier."""
    return {
        "nova/nova.conf": {
            "DEFAULT": {
                "compute_driver": "libvirt.LibvirtDriver",
                # Known in all guests, whatever their image reads first.
                "force_config_drive": True,
                "resume_guests_state_on_host_boot": True,
                "reserved_host_memory_mb": 512,
                "reserved_host_disk_mb": 0,
                "ram_allocation_ratio": 8,
                "cpu_allocation_ratio": 32,
                "disk_allocation_ratio": 64,
                "vif_plugging_is_fatal": True,
                "vif_plugging_timeout": 120,
                # Else the first report comes up to a minute late.
                "periodic_fuzzy_delay": 0,
            },
            "libvirt": {
                "virt_type": "qemu",
                "cpu_mode": "none",
                "images_type": "qcow2",
                "inject_partition": -2,
                "hw_machine_type": "x86_64=pc",
                "tb_cache_size": 32,
                "connection_uri": "qemu:///system",
            },
            "os_vif_ovs": {"ovsdb_connection": OVSDB},
            "vnc": {"enabled": False},
            "scheduler": {"discover_hosts_in_cells_interval": 2},
            "workarounds": {
                "skip_cpu_compare_on_dest": True,
                "skip_cpu_compare_at_startup": True,
                "disable_rootwrap": True,
            },
        },
        "neutron/neutron.conf": {
            "DEFAULT": {
                "dhcp_agent_notification": True,
                "rpc_workers": 1,
                "agent_down_time": 75,
            },
            "ml2": {"tenant_network_types": "vlan", "mechanism_drivers": "openvswitch"},
            "ml2_type_vlan": {"network_vlan_ranges": "physnet1:100:400"},
        },
        "neutron/agent.conf": _agents(layout),
    }


def _agents(layout: Layout) -> Sections:
    return {
        "DEFAULT": {
            "use_stderr": True,
            "host": NODE,
            "transport_url": layout.transport("neutron"),
            "control_exchange": "neutron",
            "state_path": layout / "data/neutron",
            "interface_driver": "openvswitch",
            "enable_isolated_metadata": False,
            "enable_metadata_proxy": False,
        },
        "agent": {"root_helper": "sudo", "tunnel_types": "", "report_interval": 10},
        "ovs": {
            "integration_bridge": BRIDGES[0],
            "datapath_type": "netdev",
            "bridge_mappings": "physnet1:br-vlan,public:br-ex",
            "ovsdb_connection": OVSDB,
        },
        "securitygroup": {"enable_security_group": True, "firewall_driver": "openvswitch"},
    }
