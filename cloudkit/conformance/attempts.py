"""How each capability is used, for trying those that a driver does not declare."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cloudkit import Cloud
from cloudkit.conformance.lab import Lab

NOBODY = "00000000-0000-4000-8000-000000000000"
"""An id that nothing has: what is not offered is refused before anything is looked for."""

Attempt = Callable[[Cloud, Lab], object]


def needed_first(name: str) -> Iterator[str]:
    """The capabilities that one builds on."""
    group = name.partition(":")[0]
    yield from _FIRST.get(name, ())
    if ":" in name and group in ATTEMPTS:
        yield group
    if group.endswith(".create") and (kind := group.removesuffix(".create")) in ATTEMPTS:
        yield kind


_FIRST: Mapping[str, tuple[str, ...]] = {
    "servers.create:security_group_ids": ("security_groups",),
}


def _server(**options: Any) -> Attempt:
    return lambda cloud, lab: lab.server(cloud, **options)


def _volume(**options: Any) -> Attempt:
    return lambda cloud, lab: lab.volume(cloud, **options)


def _image(**options: Any) -> Attempt:
    return lambda cloud, lab: cloud.images.upload(lab.name(), data=bytes(512), **options)


def _network(**options: Any) -> Attempt:
    return lambda cloud, lab: cloud.networks.create(lab.name(), **options)


def _port(**options: Any) -> Attempt:
    return lambda cloud, lab: cloud.ports.create(lab.name(), network=NOBODY, **options)


ATTEMPTS: Mapping[str, tuple[Attempt, ...]] = {
    "servers.console": (lambda cloud, _: cloud.servers.console(NOBODY),),
    "servers.samples": (lambda cloud, _: cloud.servers.samples(NOBODY),),
    "servers.console_log": (lambda cloud, _: cloud.servers.console_log(NOBODY),),
    "servers.ssh": (lambda cloud, _: cloud.ssh(NOBODY, user="root"),),
    "servers.pause": (
        lambda cloud, _: cloud.servers.pause(NOBODY),
        lambda cloud, _: cloud.servers.unpause(NOBODY),
    ),
    "servers.suspend": (
        lambda cloud, _: cloud.servers.suspend(NOBODY),
        lambda cloud, _: cloud.servers.resume(NOBODY),
    ),
    "servers.shelve": (
        lambda cloud, _: cloud.servers.shelve(NOBODY),
        lambda cloud, _: cloud.servers.unshelve(NOBODY),
    ),
    "servers.resize": (
        lambda cloud, lab: cloud.servers.resize(NOBODY, lab.flavor),
        lambda cloud, _: cloud.servers.confirm_resize(NOBODY),
        lambda cloud, _: cloud.servers.revert_resize(NOBODY),
    ),
    "servers.rebuild": (lambda cloud, lab: cloud.servers.rebuild(NOBODY, lab.image),),
    "servers.rescue": (
        lambda cloud, _: cloud.servers.rescue(NOBODY),
        lambda cloud, _: cloud.servers.unrescue(NOBODY),
    ),
    "servers.lock": (lambda cloud, _: cloud.servers.lock(NOBODY), lambda cloud, _: cloud.servers.unlock(NOBODY)),
    "servers.create_image": (lambda cloud, lab: cloud.servers.create_image(NOBODY, lab.name()),),
    "servers.update": (lambda cloud, lab: cloud.servers.update(NOBODY, name=lab.name()),),
    "servers.security_groups": (lambda cloud, _: cloud.servers.set_security_groups(NOBODY, []),),
    "servers.interfaces": (
        lambda cloud, _: cloud.servers.attach_interface(NOBODY, NOBODY),
        lambda cloud, _: cloud.servers.detach_interface(NOBODY, NOBODY),
    ),
    "servers.create:availability_zone": (_server(availability_zone="nova"),),
    "servers.create:boot_volume_id": (_server(image=None, boot_volume=NOBODY),),
    "servers.create:description": (_server(description="not offered"),),
    "servers.create:inject_host_key": (_server(inject_host_key=True), _server(inject_host_key=False)),
    "servers.create:metadata": (_server(metadata={"role": "web"}),),
    "servers.create:security_group_ids": (_server(security_groups=[NOBODY]),),
    "servers.create:server_group_id": (_server(server_group=NOBODY),),
    "servers.create:tags": (_server(tags=["blue"]),),
    "servers.create:user_data": (_server(user_data="#!/bin/sh\n"),),
    "server_groups": (
        lambda cloud, _: list(cloud.server_groups.list()),
        lambda cloud, _: cloud.server_groups.get(NOBODY),
        lambda cloud, lab: cloud.server_groups.create(lab.name(), policy="affinity"),
        lambda cloud, _: cloud.server_groups.delete(NOBODY, missing_ok=True),
    ),
    "images.create": (_image(),),
    "images.create:metadata": (_image(metadata={"os": "none"}),),
    "images.create:protected": (_image(protected=True),),
    "images.create:tags": (_image(tags=["blue"]),),
    "images.download": (lambda cloud, lab: cloud.images.download(lab.image, lab.folder / "not-offered"),),
    "images.sharing": (
        lambda cloud, lab: cloud.images.share(lab.image, "another"),
        lambda cloud, lab: cloud.images.unshare(lab.image, "another"),
        lambda cloud, lab: cloud.images.members(lab.image),
        lambda cloud, lab: cloud.images.accept(lab.image),
        lambda cloud, lab: cloud.images.reject(lab.image),
    ),
    "images.update": (lambda cloud, lab: cloud.images.update(lab.image, name=lab.name()),),
    "networks.create": (
        _network(),
        lambda cloud, lab: cloud.networks.create(lab.name(), cidr=lab.cidr()),
        lambda cloud, _: cloud.networks.delete(NOBODY, missing_ok=True),
    ),
    "networks.create:external": (_network(external=True),),
    "networks.create:mtu": (_network(mtu=1400),),
    "networks.create:shared": (_network(shared=True),),
    "networks.create:tags": (_network(tags=["blue"]),),
    "networks.create:vlan_id": (_network(vlan_id=7),),
    "networks.update": (lambda cloud, lab: cloud.networks.update(NOBODY, name=lab.name()),),
    "subnets.create": (
        lambda cloud, lab: cloud.subnets.create(lab.name(), network=NOBODY, cidr=lab.cidr()),
        lambda cloud, _: cloud.subnets.delete(NOBODY, missing_ok=True),
    ),
    "subnets.create:allocation_pools": (
        lambda cloud, lab: cloud.subnets.create(
            lab.name(), network=NOBODY, cidr="10.1.1.0/24", allocation_pools=[("10.1.1.7", "10.1.1.9")]
        ),
    ),
    "subnets.create:host_routes": (
        lambda cloud, lab: cloud.subnets.create(
            lab.name(), network=NOBODY, cidr="10.1.1.0/24", host_routes=[("10.9.0.0/16", "10.1.1.9")]
        ),
    ),
    "subnets.create:ipv6_mode": (
        lambda cloud, lab: cloud.subnets.create(lab.name(), network=NOBODY, cidr="fd00:1::/64"),
    ),
    "ports.create": (_port(), lambda cloud, _: cloud.ports.delete(NOBODY, missing_ok=True)),
    "ports.create:mac": (_port(mac="52:54:00:00:00:01"),),
    "ports.create:security_group_ids": (_port(security_groups=[]),),
    "ports.subports": (
        lambda cloud, _: cloud.ports.add_subport(NOBODY, NOBODY, vlan_id=7),
        lambda cloud, _: cloud.ports.remove_subport(NOBODY, NOBODY),
    ),
    "routers": (
        lambda cloud, _: list(cloud.routers.list()),
        lambda cloud, lab: cloud.routers.create(lab.name()),
        lambda cloud, _: cloud.routers.delete(NOBODY, missing_ok=True),
        lambda cloud, _: cloud.routers.add_interface(NOBODY, NOBODY),
        lambda cloud, _: cloud.routers.remove_interface(NOBODY, NOBODY),
        lambda cloud, _: cloud.routers.set_gateway(NOBODY, None),
    ),
    "floating_ips": (
        lambda cloud, _: list(cloud.floating_ips.list()),
        lambda cloud, _: cloud.floating_ips.create(external=NOBODY),
        lambda cloud, _: cloud.floating_ips.delete(NOBODY, missing_ok=True),
        lambda cloud, _: cloud.floating_ips.associate(NOBODY, NOBODY),
        lambda cloud, _: cloud.floating_ips.disassociate(NOBODY),
    ),
    "floating_ips.create:ip": (lambda cloud, _: cloud.floating_ips.create(external=NOBODY, ip="203.0.113.9"),),
    "security_groups": (
        lambda cloud, _: list(cloud.security_groups.list()),
        lambda cloud, lab: cloud.security_groups.create(lab.name()),
        lambda cloud, _: cloud.security_groups.delete(NOBODY, missing_ok=True),
        lambda cloud, _: cloud.security_groups.add_rule(NOBODY, "tcp", port=22),
        lambda cloud, _: cloud.security_groups.remove_rule(NOBODY, NOBODY),
    ),
    "volumes.attach": (
        lambda cloud, _: cloud.volumes.attach(NOBODY, NOBODY),
        lambda cloud, _: cloud.volumes.detach(NOBODY),
    ),
    "volumes.extend": (lambda cloud, _: cloud.volumes.extend(NOBODY, 2),),
    "volumes.update": (lambda cloud, lab: cloud.volumes.update(NOBODY, name=lab.name()),),
    "volumes.create:availability_zone": (_volume(availability_zone="nova"),),
    "volumes.create:image_id": (_volume(image=NOBODY),),
    "volumes.create:snapshot_id": (_volume(snapshot=NOBODY),),
    "volumes.create:source_volume_id": (_volume(source_volume=NOBODY),),
    "volumes.types": (lambda cloud, _: cloud.volumes.types(),),
    "volumes.create:volume_type": (_volume(volume_type="fast"),),
    "snapshots": (
        lambda cloud, _: list(cloud.snapshots.list()),
        lambda cloud, lab: cloud.snapshots.create(lab.name(), volume=NOBODY),
        lambda cloud, _: cloud.snapshots.delete(NOBODY, missing_ok=True),
    ),
    "snapshots.create:force": (lambda cloud, lab: cloud.snapshots.create(lab.name(), volume=NOBODY, force=True),),
    "backups": (
        lambda cloud, _: list(cloud.backups.list()),
        lambda cloud, lab: cloud.backups.create(lab.name(), volume=NOBODY),
        lambda cloud, _: cloud.backups.restore(NOBODY),
        lambda cloud, _: cloud.backups.delete(NOBODY, missing_ok=True),
    ),
    "backups.create:force": (lambda cloud, lab: cloud.backups.create(lab.name(), volume=NOBODY, force=True),),
    "limits": (lambda cloud, _: cloud.limits(),),
    "all_projects": (lambda cloud, _: list(cloud.servers.list(all_projects=True)),),
}
