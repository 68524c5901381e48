"""What a new bed holds: python seed.py FOLDER accounts|resources, in the services' virtual environment.

Accounts: the services' own, and two projects with a member each. Resources: what DevStack starts with, the flavors
m1.tiny to m1.xlarge and an external network `public`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import openstack
from layout import PUBLIC_CIDR, PUBLIC_GATEWAY, REGION, Layout
from settings import PROJECTS

DOMAIN = "default"
CATALOG = (
    ("image", "glance", ""),
    ("placement", "placement", ""),
    ("compute", "nova", "/v2.1"),
    ("network", "neutron", ""),
    ("block-storage", "cinder", "/v3"),
)
FLAVORS = (
    ("1", "m1.tiny", 1, 512, 1),
    ("2", "m1.small", 1, 2048, 20),
    ("3", "m1.medium", 2, 4096, 40),
    ("4", "m1.large", 4, 8192, 80),
    ("5", "m1.xlarge", 8, 16384, 160),
)
PUBLIC = "public"


def accounts(cloud: Any, layout: Layout) -> None:
    """Make projects, users, roles and the catalog."""
    identity = cloud.identity
    roles = {role.name: role for role in identity.roles()}
    if "service" not in roles:
        roles["service"] = identity.create_role(name="service")

    def user(name: str, project: Any, *role_names: str) -> None:
        made = identity.create_user(
            name=name, password=layout.secret, domain_id=DOMAIN, default_project_id=project.id
        )
        for role in role_names:
            identity.assign_project_role_to_user(project, made, roles[role])

    user("service", identity.create_project(name="service", domain_id=DOMAIN), "admin", "service")
    projects = {name: identity.create_project(name=name, domain_id=DOMAIN) for name in PROJECTS}
    for name, project in projects.items():
        user(name, project, "member")
    user("reader", projects[PROJECTS[0]], "reader")

    for type_, name, path in CATALOG:
        service = identity.create_service(name=name, type=type_)
        for interface in ("public", "internal", "admin"):
            url = layout.url(name) + path
            identity.create_endpoint(service_id=service.id, interface=interface, url=url, region_id=REGION)


def resources(cloud: Any, _layout: Layout) -> None:
    """Make flavors and the external network."""
    for id_, name, vcpus, ram, disk in FLAVORS:
        cloud.compute.create_flavor(id=id_, name=name, vcpus=vcpus, ram=ram, disk=disk)
    network = cloud.network.create_network(
        name=PUBLIC,
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network=PUBLIC,
    )
    cloud.network.create_subnet(
        network_id=network.id,
        name=PUBLIC,
        ip_version=4,
        cidr=PUBLIC_CIDR,
        gateway_ip=PUBLIC_GATEWAY,
        is_dhcp_enabled=False,
    )


def main(folder: str, what: str) -> None:
    """Seed one bed as its administrator."""
    layout = Layout.load(Path(folder))
    loader = openstack.config.loader.OpenStackConfig(config_files=[str(layout.clouds_yaml)])
    cloud = openstack.connection.Connection(config=loader.get_one(cloud="bed-admin"))
    {"accounts": accounts, "resources": resources}[what](cloud, layout)


if __name__ == "__main__":
    main(*sys.argv[1:])
