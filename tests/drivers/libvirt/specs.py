"""Short ways to make what the tests need."""

from __future__ import annotations

import uuid
from typing import Any

from cloudkit.driver import EVERYTHING, OpenRequest
from cloudkit.types import (
    Flavor,
    FlavorSpec,
    Image,
    KeyPairSpec,
    Mark,
    Network,
    NetworkSpec,
    Nic,
    PortSpec,
    Server,
    ServerSpec,
    Subnet,
    SubnetSpec,
    VolumeSpec,
)
from cloudkit_libvirt import PLUGIN

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Wq me"


def open_test_driver(address: str = "test:///default", **options: Any) -> Any:
    defaults = {option.name: option.default for option in PLUGIN.options}
    return PLUGIN.open(OpenRequest(address, {**defaults, **options}, None, "test"))


def mark() -> Mark:
    return Mark(request=str(uuid.uuid4()), scope="ci/1/me/never")


def flavor_spec(name: str = "m1.tiny", **fields: Any) -> FlavorSpec:
    return FlavorSpec(**{"name": name, "mark": mark(), "vcpus": 1, "ram_mib": 128, "disk_gib": 1, **fields})


def key_pair_spec(name: str = "me") -> KeyPairSpec:
    return KeyPairSpec(name=name, mark=mark(), public_key=PUBLIC_KEY, fingerprint="SHA256:x")


def network_spec(name: str = "private", **fields: Any) -> NetworkSpec:
    return NetworkSpec(name=name, mark=mark(), **fields)


def subnet_spec(network_id: str, cidr: str = "172.16.1.0/24", **fields: Any) -> SubnetSpec:
    return SubnetSpec(
        **{"name": "s", "mark": mark(), "network_id": network_id, "cidr": cidr, "ip_version": 4, **fields}
    )


def port_spec(network_id: str, **fields: Any) -> PortSpec:
    return PortSpec(**{"name": "p", "mark": mark(), "network_id": network_id, **fields})


def volume_spec(name: str = "data", **fields: Any) -> VolumeSpec:
    return VolumeSpec(**{"name": name, "mark": mark(), "size_gib": 1, **fields})


def make_network(driver: Any, cidr: str = "172.16.1.0/24", **fields: Any) -> tuple[Network, Subnet]:
    network = driver.network.networks.create(network_spec())
    return network, driver.network.subnets.create(subnet_spec(network.id, cidr, **fields))


def preset_image(driver: Any) -> Image:
    (image,) = (image for image in driver.image.images.list(EVERYTHING) if image.name == "test")
    result: Image = image
    return result


def server_spec(driver: Any, flavor: Flavor, *nics: Nic, name: str = "web", **fields: Any) -> ServerSpec:
    image_id = preset_image(driver).id
    return ServerSpec(
        **{"name": name, "mark": mark(), "image_id": image_id, "flavor_id": flavor.id, "nics": nics, **fields}
    )


def make_server(driver: Any, *nics: Nic, **fields: Any) -> Server:
    flavors = driver.compute.flavors
    flavor = next(flavors.list(EVERYTHING), None) or flavors.create(flavor_spec())
    server: Server = driver.compute.servers.create(server_spec(driver, flavor, *nics, **fields))
    return server
