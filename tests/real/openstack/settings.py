"""The configuration files of all services, written from one bed's layout."""

from __future__ import annotations

import json
import os
import shutil

from guest_settings import Sections, guest_settings
from layout import HOST, MESSAGE_USERS, NODE, PORTS, REGION, Layout, write_private

PROJECTS = ("demo", "other")
"""Two projects, each with a member of its name; `demo` has a user `reader` too."""


def write_settings(layout: Layout) -> None:
    """Write each service's configuration, the message bus's, and the clients' clouds.yaml."""
    files: dict[str, Sections] = {
        "keystone/keystone.conf": _keystone(layout),
        "glance/glance-api.conf": _glance(layout),
        "placement/placement.conf": _placement(layout),
        "nova/nova.conf": _nova(layout),
        "neutron/neutron.conf": _neutron(layout),
        "cinder/cinder.conf": _cinder(layout),
    }
    if layout.guests is not None:
        files["neutron/agent.conf"] = _bus(layout)
        for name, sections in guest_settings(layout).items():
            files[name] = _merged(files.get(name, {}), sections)
    for name, sections in files.items():
        write_private(layout / f"etc/{name}", ini(sections))
    shutil.copyfile(layout.packaged("nova/api-paste.ini"), layout / "etc/nova/api-paste.ini")
    _write_rabbitmq(layout)
    write_private(layout.clouds_yaml, json.dumps({"clouds": _clouds(layout)}, indent=2) + "\n")


def ini(sections: Sections) -> str:
    """Return an oslo.config file."""
    lines: list[str] = []
    for section, options in sections.items():
        lines += [f"[{section}]", *(f"{name} = {value}" for name, value in options.items()), ""]
    return "\n".join(lines)


def _merged(base: Sections, over: Sections) -> Sections:
    return {name: {**base.get(name, {}), **over.get(name, {})} for name in {**base, **over}}


# -- one service each


def _keystone(layout: Layout) -> Sections:
    keys = layout / "etc/keystone/fernet-keys"
    return {
        "DEFAULT": {**_common(), "transport_url": "fake://"},
        "database": _database(layout, "keystone"),
        "token": {"provider": "fernet", "expiration": 86400},
        "fernet_tokens": {"key_repository": keys},
        "fernet_receipts": {"key_repository": keys},
        "credential": {"key_repository": layout / "etc/keystone/credential-keys"},
        # Authentication of every command would otherwise cost 0.3 s of bcrypt.
        "identity": {"password_hash_rounds": 4},
        # In this process, which is the only one; else the database is asked for every check of a token.
        "cache": {"enabled": True, "backend": "dogpile.cache.memory_pickle"},
    }


def _glance(layout: Layout) -> Sections:
    return {
        "DEFAULT": {
            **_common(),
            "transport_url": "fake://",
            "enabled_backends": "file:file",
            "worker_self_reference_url": layout.url("glance"),
        },
        "glance_store": {"default_backend": "file"},
        "file": {"filesystem_store_datadir": layout / "data/glance"},
        "os_glance_tasks_store": {"filesystem_store_datadir": layout / "data/glance-tasks"},
        "os_glance_staging_store": {"filesystem_store_datadir": layout / "data/glance-staging"},
        "database": _database(layout, "glance"),
        "paste_deploy": {
            "flavor": "keystone",
            "config_file": layout.packaged("glance/glance-api-paste.ini"),
        },
        "oslo_policy": {"policy_file": "policy.yaml"},
        **_token_check(layout),
        **_bus(layout),
    }


def _placement(layout: Layout) -> Sections:
    return {
        "DEFAULT": {"debug": False},
        "api": {"auth_strategy": "keystone"},
        "placement_database": {**_database(layout, "placement"), "sync_on_startup": False},
        **_token_check(layout),
    }


def _nova(layout: Layout) -> Sections:
    return {
        "DEFAULT": {
            **_common(),
            "transport_url": layout.transport("nova"),
            "control_exchange": "nova",
            "state_path": layout / "data/nova",
            "compute_driver": "bed.Driver",
            "my_ip": HOST,
            # Nobody plugs a port: the mechanism driver says ACTIVE when it binds.
            "vif_plugging_is_fatal": False,
            "vif_plugging_timeout": 0,
            "max_concurrent_builds": 10,
            "allow_resize_to_same_host": True,
            "sync_power_state_interval": 60,
        },
        "api": {"auth_strategy": "keystone"},
        "api_database": _database(layout, "nova_api"),
        "database": _database(layout, "nova"),
        "vnc": {"enabled": True, "novncproxy_base_url": f"http://{HOST}:6080/vnc_lite.html"},
        "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": -1},
        "conductor": {"workers": 1},
        "workarounds": {"skip_cpu_compare_on_dest": True},
        "filter_scheduler": {"track_instance_changes": False},
        "placement": _account(layout),
        "neutron": _account(layout),
        "cinder": {
            **_account(layout),
            "os_region_name": REGION,
            "catalog_info": "block-storage::publicURL",
        },
        "glance": {**_account(layout), "api_servers": layout.url("glance")},
        "service_user": {**_account(layout), "send_service_user_token": True},
        **_token_check(layout),
        **_bus(layout),
    }


def _neutron(layout: Layout) -> Sections:
    return {
        "DEFAULT": {
            **_common(),
            "transport_url": layout.transport("neutron"),
            "control_exchange": "neutron",
            "state_path": layout / "data/neutron",
            "auth_strategy": "keystone",
            "core_plugin": "ml2",
            "service_plugins": "router,trunk,segments",
            "api_paste_config": layout.packaged("neutron/api-paste.ini"),
            # Nova learns of a floating IP only by an event; 1 s is the least that Neutron starts with.
            "notify_nova_on_port_status_changes": True,
            "notify_nova_on_port_data_changes": True,
            "send_events_interval": 1,
            "dhcp_agent_notification": False,
            "rpc_workers": 0,
            "rpc_state_report_workers": 0,
        },
        "database": _database(layout, "neutron"),
        "ml2": {
            "type_drivers": "local,flat,vlan,vxlan",
            "tenant_network_types": "vxlan",
            "mechanism_drivers": "bed",
            "extension_drivers": "port_security",
        },
        "ml2_type_flat": {"flat_networks": "*"},
        "ml2_type_vlan": {"network_vlan_ranges": "physnet1:100:4000"},
        "ml2_type_vxlan": {"vni_ranges": "1:4000"},
        "nova": _account(layout),
        **_token_check(layout),
        **_bus(layout),
    }


def _cinder(layout: Layout) -> Sections:
    return {
        "DEFAULT": {
            **_common(),
            "transport_url": layout.transport("cinder"),
            "control_exchange": "cinder",
            "state_path": layout / "data/cinder",
            "api_paste_config": layout.packaged("cinder/api-paste.ini"),
            "resource_query_filters_file": layout.packaged("cinder/resource_filters.json"),
            "auth_strategy": "keystone",
            "enabled_backends": "file",
            "default_volume_type": "__DEFAULT__",
            "scheduler_driver_init_wait_time": 5,
            "glance_api_servers": layout.url("glance"),
            "backup_driver": "cloudkit_bed.backup.Driver",
            "backup_posix_path": layout / "data/cinder/backups",
            # Its default reads 2 GB of a volume into memory at once, and takes a second for each 0.3 GB of zeros.
            "backup_file_size": 32 << 20,
            "backup_compression_algorithm": "zstd",
        },
        "file": {
            "volume_driver": "cloudkit_bed.volume.FileDriver",
            "bed_volume_folder": layout / "data/cinder/volumes",
            "bed_connection_type": "gpfs" if layout.guests else "local",
            "volume_backend_name": "file",
        },
        "database": _database(layout, "cinder"),
        "coordination": {"backend_url": f"file://{layout / 'data/cinder/coordination'}"},
        "nova": _account(layout),
        "glance": _account(layout),
        "service_user": {**_account(layout), "send_service_user_token": True},
        **_token_check(layout),
        **_bus(layout),
    }


# -- what they share


def _common() -> dict[str, object]:
    return {"debug": "BED_DEBUG" in os.environ, "use_stderr": True, "host": NODE}


def _database(layout: Layout, name: str) -> dict[str, object]:
    return {"connection": layout.database(name), "max_pool_size": 10, "max_overflow": 40}


def _account(layout: Layout) -> dict[str, object]:
    return {
        "auth_url": f"{layout.url('keystone')}/v3",
        "auth_type": "password",
        "username": "service",
        "password": layout.secret,
        "project_name": "service",
        "user_domain_id": "default",
        "project_domain_id": "default",
        "region_name": REGION,
    }


def _token_check(layout: Layout) -> Sections:
    account = _account(layout)
    del account["region_name"]
    return {
        "keystone_authtoken": {
            **account,
            "www_authenticate_uri": f"{layout.url('keystone')}/v3",
            "service_token_roles_required": True,
            "service_token_roles": "service",
            "memcache_use_advanced_pool": False,
        }
    }


def _bus(layout: Layout) -> Sections:
    return {
        "oslo_messaging_rabbit": {
            "rabbit_quorum_queue": False,
            "rabbit_transient_quorum_queue": False,
            "use_queue_manager": False,
            "heartbeat_timeout_threshold": 0,
            "kombu_reconnect_delay": 0.5,
        },
        "oslo_messaging_notifications": {"driver": "noop"},
        "oslo_concurrency": {"lock_path": layout / "data/locks"},
    }


def _write_rabbitmq(layout: Layout) -> None:
    # The bus keeps nothing: users and vhosts come from this file at each start.
    definitions = {
        "users": [{"name": "bed", "password": layout.secret, "tags": "administrator"}],
        "vhosts": [{"name": name} for name in ("/", *MESSAGE_USERS)],
        "permissions": [
            {"user": "bed", "vhost": name, "configure": ".*", "write": ".*", "read": ".*"} for name in MESSAGE_USERS
        ],
    }
    definitions_file = layout / "etc/rabbitmq/definitions.json"
    write_private(definitions_file, json.dumps(definitions))
    options = {
        "listeners.tcp.1": f"{HOST}:{PORTS['rabbitmq']}",
        "loopback_users": "none",
        "cluster_name": NODE,
        "load_definitions": definitions_file,
        "vm_memory_high_watermark.absolute": "1GB",
        "disk_free_limit.absolute": "50MB",
        "log.file.level": "warning",
    }
    (layout / "etc/rabbitmq/rabbitmq.conf").write_text(
        "".join(f"{key} = {value}\n" for key, value in options.items())
    )
    (layout / "etc/rabbitmq/enabled_plugins").write_text("[].\n")


def _clouds(layout: Layout) -> dict[str, object]:
    def cloud(user: str, project: str) -> dict[str, object]:
        return {
            "auth": {
                "auth_url": f"{layout.url('keystone')}/v3",
                "username": user,
                "password": layout.secret,
                "project_name": project,
                "user_domain_id": "default",
                "project_domain_id": "default",
            },
            "region_name": REGION,
            "identity_api_version": 3,
        }

    members = {f"bed-{name}": cloud(name, name) for name in PROJECTS}
    return {"bed-admin": cloud("admin", "admin"), **members, "bed-reader": cloud("reader", PROJECTS[0])}
