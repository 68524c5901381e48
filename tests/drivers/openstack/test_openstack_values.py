"""What real services have answered, as values; and what is sent to make such things."""

from __future__ import annotations

import base64
import email
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cloud_of_answers import CINDER, GLANCE, NEUTRON, NOVA, PROJECT, SERVER, VOLUME, Cloud, recorded
from requests import PreparedRequest

import cloudkit
from cloudkit import FixedIp, InvalidRequest, Kind, Nic, NotFound, PermissionDenied, Subport
from cloudkit._keys import parse_public_key
from cloudkit.types import VALUE_TYPES
from cloudkit_openstack import marks

NOBODY = "00000000-0000-4000-8000-000000000000"
PATHS = {
    Kind.SERVER: (f"{NOVA}/v2.1/servers", "server"),
    Kind.FLAVOR: (f"{NOVA}/v2.1/flavors", "flavor"),
    Kind.KEY_PAIR: (f"{NOVA}/v2.1/os-keypairs", "keypair"),
    Kind.SERVER_GROUP: (f"{NOVA}/v2.1/os-server-groups", "server_group"),
    Kind.IMAGE: (f"{GLANCE}/v2/images", None),
    Kind.NETWORK: (f"{NEUTRON}/v2.0/networks", "network"),
    Kind.SUBNET: (f"{NEUTRON}/v2.0/subnets", "subnet"),
    Kind.PORT: (f"{NEUTRON}/v2.0/ports", "port"),
    Kind.ROUTER: (f"{NEUTRON}/v2.0/routers", "router"),
    Kind.FLOATING_IP: (f"{NEUTRON}/v2.0/floatingips", "floatingip"),
    Kind.SECURITY_GROUP: (f"{NEUTRON}/v2.0/security-groups", "security_group"),
    Kind.VOLUME: (f"{CINDER}/v3/{PROJECT}/volumes", "volume"),
    Kind.SNAPSHOT: (f"{CINDER}/v3/{PROJECT}/snapshots", "snapshot"),
    Kind.BACKUP: (f"{CINDER}/v3/{PROJECT}/backups", "backup"),
}


def shown(cloud: cloudkit.Cloud, rest: Cloud, kind: Kind, **changes: Any) -> Any:
    """The value of a recorded body."""
    url, envelope = PATHS[kind]
    body = {**recorded(kind.value), **changes}
    id = body["name"] if kind is Kind.KEY_PAIR else body["id"]
    rest.answer("GET", f"{url}/{id}", body if envelope is None else {envelope: body})
    rest.answer("GET", f"{NEUTRON}/v2.0/ports", {"ports": [recorded("ports")]})
    driver: Any = cloud._context.driver
    return driver._context.collections[kind].get(id)


def made(cloud: cloudkit.Cloud, rest: Cloud, kind: Kind, create: Callable[[], Any], **changes: Any) -> Any:
    """What was sent to make a thing, which is answered with the recorded body."""
    url, envelope = PATHS[kind]
    body = {**recorded(kind.value), **changes}
    rest.answer("POST", url, body if envelope is None else {envelope: body}, 201)
    create()
    return json.loads(rest.requests[0].body or b"")[envelope]


@pytest.mark.parametrize("kind", PATHS, ids=lambda kind: kind.value)
def test_a_recorded_body_is_a_value(cloud: cloudkit.Cloud, rest: Cloud, kind: Kind) -> None:
    value = shown(cloud, rest, kind)
    assert type(value) is VALUE_TYPES[kind]
    assert (value.project_id, value.cloud_id) == (PROJECT, cloud.cloud_id)
    assert value.created_at.tzinfo is UTC
    assert "cloudkit:" not in repr(value)
    has_room = kind not in (Kind.SERVER_GROUP, Kind.FLAVOR, Kind.PORT)
    assert (value.mark is not None) == has_room
    if value.mark is not None:
        assert value.mark.scope.startswith("recording/e65e29b6-e241-4b47-9b9e-c25cdf69f217/")


@pytest.mark.parametrize("kind", PATHS, ids=lambda kind: kind.value)
def test_a_cloud_of_train_is_asked_as_one_of_today(connect: Callable[[], Any], rest: Cloud, kind: Kind) -> None:
    """A microversion has the same answers in every release, so that what was recorded is what Train says, too."""
    rest.newest_compute, rest.newest_volume = "2.79", "3.59"
    cloud = connect()
    shown(cloud, rest, kind)
    wanted = getattr(cloud._context.driver._context.collections[kind], "version", None)
    if kind in (Kind.VOLUME, Kind.SNAPSHOT, Kind.BACKUP):
        version = f"volume {wanted}"
    else:
        version = f"compute {wanted}" if "nova" in PATHS[kind][0] else None
    (asked,) = [request for request in rest.requests if str(request.url).startswith(f"{PATHS[kind][0]}/")]
    assert asked.headers.get("OpenStack-API-Version") == version


def test_a_server(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    server = shown(cloud, rest, Kind.SERVER)
    assert (server.name, server.status, server.native_status, server.task) == ("web", "ACTIVE", "ACTIVE", None)
    assert (server.flavor_id, server.image_id) == ("1", "de4af830-a5c6-4f58-a697-3d194341310e")
    assert (server.description, server.metadata, server.tags) == ("words", {"role": "web"}, ("blue",))
    assert (server.security_groups, server.volume_ids) == (("group",), (VOLUME,))
    assert [(each.ip, each.floating) for each in server.addresses] == [
        ("10.7.1.122", False),
        ("203.0.113.40", True),
    ]
    assert {(each.port_id, each.network_id, each.mac) for each in server.addresses} == {
        (recorded("ports")["id"], recorded("ports")["network_id"], "fa:16:3e:77:fe:96")
    }
    assert server.created_at == datetime(2026, 11, 25, 23, 46, 44, tzinfo=UTC)


def test_a_server_that_failed_tells_why(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    # Train's API sample of a fault (nova, doc/api_samples/servers).
    fault = {"code": 500, "created": "2019-10-16T10:00:00Z", "message": "No valid host was found. "}
    server = shown(cloud, rest, Kind.SERVER, status="ERROR", fault=fault, addresses={}, image="")
    assert (server.status, server.image_id, server.addresses) == ("ERROR", None, ())
    assert server.fault.message.startswith("No valid host")


def test_a_status_of_a_later_release_is_unknown_and_kept(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    server = shown(cloud, rest, Kind.SERVER, status="LEVITATING")
    assert (server.status, server.native_status) == ("UNKNOWN", "LEVITATING")


def test_a_volume(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    volume = shown(cloud, rest, Kind.VOLUME)
    assert (volume.status, volume.size_gib, volume.bootable, volume.metadata) == ("in-use", 1, False, {"a": "1"})
    (attachment,) = volume.attachments
    assert (attachment.server_id, attachment.device_hint, attachment.serial) == (SERVER, "/dev/sdb", VOLUME[:20])
    assert attachment.attached_at == datetime(2026, 11, 25, 23, 47, 7, tzinfo=UTC)


def test_an_image(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    image = shown(cloud, rest, Kind.IMAGE)
    assert (image.status, image.visibility, image.metadata, image.tags) == (
        "active",
        "private",
        {"os": "none"},
        ("blue",),
    )
    assert image.checksum.startswith("sha512:")
    assert image.size_bytes == 1 << 20
    old = shown(cloud, rest, Kind.IMAGE, id="old", os_hash_algo=None, os_hash_value=None, checksum="abc")
    assert old.checksum == "md5:abc"


def test_an_image_of_a_server_shows_the_users_properties_only(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    novas = {"instance_uuid": SERVER, "image_type": "snapshot", "base_image_ref": "x", "hw_machine_type": "q35"}
    image = shown(cloud, rest, Kind.IMAGE, **novas)
    assert (image.server_id, image.metadata) == (SERVER, {"os": "none"})


def test_networks_subnets_and_ports(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    network = shown(cloud, rest, Kind.NETWORK)
    assert (network.name, network.description, network.tags, network.external) == (
        "private",
        "words",
        ("blue",),
        False,
    )
    assert len(network.subnet_ids) == 1
    subnet = shown(cloud, rest, Kind.SUBNET)
    assert (subnet.cidr, subnet.gateway_ip, subnet.dns) == ("10.7.1.0/24", "10.7.1.1", ("8.8.8.8",))
    assert subnet.allocation_pools == (("10.7.1.2", "10.7.1.254"),)
    port = shown(cloud, rest, Kind.PORT)
    assert port.fixed_ips == (FixedIp(ip="10.7.1.122", subnet_id=subnet.id),)
    assert (port.device_id, port.device_owner, port.status) == (SERVER, "compute:nova", "ACTIVE")


def test_routers_floating_ips_and_groups(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    router = shown(cloud, rest, Kind.ROUTER)
    assert len(router.external_ips) == 1
    floating_ip = shown(cloud, rest, Kind.FLOATING_IP)
    assert floating_ip.name == floating_ip.ip == "203.0.113.40"
    assert (floating_ip.external_network_id, floating_ip.router_id) == (router.external_network_id, router.id)
    group = shown(cloud, rest, Kind.SECURITY_GROUP)
    assert {(rule.direction, rule.ip_version, rule.protocol, rule.port_min) for rule in group.rules} == {
        ("egress", 4, None, None),
        ("egress", 6, None, None),
        ("ingress", 4, "tcp", 22),
    }


def test_a_groups_rules_are_in_the_same_order_whenever_they_are_shown(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    rules = recorded("security_groups")["security_group_rules"]
    groups = [
        shown(cloud, rest, Kind.SECURITY_GROUP, id=id, security_group_rules=order)
        for id, order in (("one", rules), ("two", rules[::-1]))
    ]
    assert groups[0].rules == groups[1].rules
    assert {rule.port_min for rule in groups[0].rules} == {None, 22}


def test_a_server_that_has_ended_is_not_there(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    with pytest.raises(NotFound):
        shown(cloud, rest, Kind.SERVER, status="DELETED")


def test_a_stopped_server_may_have_printed_nothing(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    refusal = {"itemNotFound": {"code": 404, "message": "Guest does not have a console available."}}
    rest.answer("POST", f"{NOVA}/v2.1/servers/{SERVER}/action", refusal, 404)
    rest.answer("GET", f"{NOVA}/v2.1/servers/{SERVER}", {"server": recorded("servers")})
    rest.answer("GET", f"{NEUTRON}/v2.0/ports", {"ports": [recorded("ports")]})
    assert cloud.servers.console_log(SERVER) == ""
    rest.answer("GET", f"{NOVA}/v2.1/servers/{SERVER}", refusal, 404)
    rest.answer("GET", f"{NOVA}/v2.1/servers/detail", {"servers": []})
    with pytest.raises(NotFound):
        cloud.servers.console_log(SERVER)


def test_cinder_is_not_sent_what_its_database_does_not_hold(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    for text in ({"name": "a🚀"}, {"name": "a", "description": "🚀"}, {"name": "a", "metadata": {"a": "🚀"}}):
        with pytest.raises(InvalidRequest, match="holds no '🚀'"):
            cloud.volumes.create(size_gib=1, **text)
    assert rest.sent == []


def test_a_key_pair_has_the_fingerprint_of_its_key(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    key_pair = shown(cloud, rest, Kind.KEY_PAIR)
    assert key_pair.public_key.endswith(" conformance")
    assert key_pair.fingerprint == parse_public_key(key_pair.public_key).fingerprint
    certificate = shown(cloud, rest, Kind.KEY_PAIR, name="x", public_key="-----BEGIN CERTIFICATE-----")
    assert certificate.fingerprint == recorded("key_pairs")["fingerprint"]


# ---------------------------------------------------------------- what is sent


def test_a_servers_request(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    rest.answer("GET", f"{NEUTRON}/v2.0/subnets", {"subnets": [{"cidr": "10.7.1.0/24"}]})
    rest.answer(
        "POST", f"{NOVA}/v2.1/servers", {"server": {"id": SERVER}}, 202, {"Date": "Wed, 25 Nov 2026 23:46:44 GMT"}
    )
    server = cloud.servers.create(
        "web",
        image=NOBODY,
        flavor=NOBODY,
        networks=[Nic(network_id=NOBODY, fixed_ip="10.7.1.9"), Nic(port_id=NOBODY)],
        key_pair="key",
        security_groups=[NOBODY],
        user_data="#!/bin/sh\n",
        metadata={"role": "web"},
        tags=["blue"],
        availability_zone="nova",
        server_group=NOBODY,
        description="words",
        native={"config_drive": True, "os:scheduler_hints": {"same_host": [SERVER]}},
        wait=False,
    )
    assert server.mark is not None
    assert server.created_at == datetime(2026, 11, 25, 23, 46, 44, tzinfo=UTC)
    assert rest.body() == {
        "server": {
            "name": "web",
            "imageRef": NOBODY,
            "flavorRef": NOBODY,
            "networks": [{"uuid": NOBODY, "fixed_ip": "10.7.1.9"}, {"port": NOBODY}],
            "key_name": "key",
            "security_groups": [{"name": NOBODY}],
            "user_data": base64.b64encode(b"#!/bin/sh\n").decode(),
            "metadata": {"role": "web", "cloudkit:request": server.mark.request},
            "tags": ["blue"],
            "availability_zone": "nova",
            "description": "words",
            "config_drive": True,
        },
        "os:scheduler_hints": {"group": NOBODY, "same_host": [SERVER]},
    }


def test_a_server_from_a_volume_without_an_interface(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    rest.answer("POST", f"{NOVA}/v2.1/servers", {"server": {"id": SERVER}}, 202)
    cloud.servers.create("web", boot_volume=NOBODY, flavor=NOBODY, networks="none", wait=False)
    sent = rest.body()["server"]
    assert sent["networks"] == "none"
    assert "imageRef" not in sent
    assert sent["block_device_mapping_v2"][0]["uuid"] == NOBODY


def test_an_address_that_no_subnet_has_is_refused_before_a_server_is_asked_for(
    cloud: cloudkit.Cloud, rest: Cloud
) -> None:
    rest.answer("GET", f"{NEUTRON}/v2.0/subnets", {"subnets": [{"cidr": "10.7.1.0/24"}]})
    for ip in ("10.7.1.0", "10.7.1.255", "10.7.2.9"):
        with pytest.raises(InvalidRequest):
            cloud.servers.create("web", image=NOBODY, flavor=NOBODY, networks=[Nic(network_id=NOBODY, fixed_ip=ip)])
    assert not any(sent.startswith("POST") for sent in rest.sent)


@pytest.mark.parametrize("user_data", [None, "#!/bin/sh\necho hello\n", "#cloud-config\npackages: [jq]\n"])
def test_a_host_key_goes_beside_the_users_data(cloud: cloudkit.Cloud, rest: Cloud, user_data: str | None) -> None:
    rest.answer("POST", f"{NOVA}/v2.1/servers", {"server": {"id": SERVER}}, 202)
    server = cloud.servers.create(
        "web",
        image=NOBODY,
        flavor=NOBODY,
        networks="none",
        user_data=user_data,
        inject_host_key=True,
        wait=False,
    )
    sent = rest.body()["server"]
    assert sent["metadata"][marks.HOST_KEY] == server.host_key
    assert server.host_key is not None
    text = base64.b64decode(sent["user_data"]).decode()
    parts = [text]
    if user_data is not None:
        parts = [part.get_payload(decode=True).decode() for part in email.message_from_string(text).get_payload()]  # type: ignore[union-attr]
        assert parts[1] == user_data
    keys = json.loads(parts[0].removeprefix("#cloud-config\n"))["ssh_keys"]
    assert parse_public_key(keys["ed25519_public"]).typed_fingerprint == server.host_key
    assert "PRIVATE KEY" in keys["ed25519_private"]
    assert "PRIVATE" not in repr(server)


@pytest.mark.parametrize("user_data", [b"\xff\xfe binary", b"#" * 49_000], ids=["binary", "large"])
def test_user_data_beside_which_no_host_key_fits(cloud: cloudkit.Cloud, rest: Cloud, user_data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="user_data"):
        cloud.servers.create(
            "web", image=NOBODY, flavor=NOBODY, networks="none", user_data=user_data, inject_host_key=True
        )
    assert rest.sent == []


def test_requests_of_other_kinds(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    sent = made(cloud, rest, Kind.VOLUME, lambda: cloud.volumes.create("data", size_gib=1, image=NOBODY, wait=False))
    assert sent == {
        "name": "data",
        "description": "",
        "size": 1,
        "imageRef": NOBODY,
        "metadata": {"cloudkit:request": sent["metadata"]["cloudkit:request"]},
    }


def test_a_networks_and_a_subnets_request(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    rest.answer("POST", f"{NEUTRON}/v2.0/networks", {"network": {**recorded("networks"), "subnets": []}}, 201)
    rest.answer("POST", f"{NEUTRON}/v2.0/subnets", {"subnet": recorded("subnets")}, 201)
    made = cloud.networks.create("private", cidr="10.7.1.0/24", gateway_ip=None, mtu=1400, description="words")
    assert made.subnet_ids == (recorded("subnets")["id"],)
    network, subnet = rest.body(0)["network"], rest.body(1)["subnet"]
    assert (network["name"], network["mtu"]) == ("private", 1400)
    assert network["description"].startswith("words [cloudkit:")
    assert "shared" not in network
    assert "router:external" not in network
    assert subnet["gateway_ip"] is None
    assert (subnet["cidr"], subnet["ip_version"], subnet["enable_dhcp"]) == ("10.7.1.0/24", 4, True)
    assert "allocation_pools" not in subnet
    assert [sent.partition(" ")[0] for sent in rest.sent] == ["POST", "POST"]


def test_an_ipv6_gateway_is_the_first_address_as_with_ipv4(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    sent = made(
        cloud,
        rest,
        Kind.SUBNET,
        lambda: cloud.subnets.create("six", network=NOBODY, cidr="fd00:7::/64"),
    )
    assert sent["gateway_ip"] == "fd00:7::1"


def test_an_administrator_makes_no_subnet_in_another_projects_network(
    connect: Callable[[], Any], rest: Cloud
) -> None:
    rest.roles = ("admin",)
    cloud = connect()
    network = {**recorded("networks"), "project_id": "another", "tenant_id": "another", "shared": True}
    rest.answer("GET", f"{NEUTRON}/v2.0/networks/{NOBODY}", {"network": network})
    with pytest.raises(PermissionDenied):
        cloud.subnets.create("mine", network=NOBODY, cidr="10.8.0.0/24")
    assert [sent for sent in rest.sent if sent.startswith("POST")] == []


def test_tags_that_are_refused_leave_no_network(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    url = f"{NEUTRON}/v2.0/networks"
    one = f"{url}/{recorded('networks')['id']}"
    rest.answer("POST", url, {"network": recorded("networks")}, 201)
    rest.answer("PUT", f"{one}/tags", {"NeutronError": {"type": "x", "message": "no", "detail": ""}}, 400)
    rest.answer("DELETE", one, None, 204)
    with pytest.raises(InvalidRequest):
        cloud.networks.create("private", tags=["blue"])
    assert rest.sent[-1].startswith("DELETE")


def test_an_upload_streams_and_checks(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    image = recorded("images")
    seen: list[Any] = []

    def take(request: PreparedRequest) -> tuple[int, Any]:
        seen.append((request.headers.get("Content-Length"), b"".join(request.body)))  # type: ignore[arg-type]
        return 204, None

    rest.answer("POST", f"{GLANCE}/v2/images", image, 201)
    rest.answers("PUT", f"{GLANCE}/v2/images/{image['id']}/file", take)
    rest.answer("GET", f"{GLANCE}/v2/images/{image['id']}", image)
    rest.answer("PATCH", f"{GLANCE}/v2/images/{image['id']}", image)
    rest.answer("DELETE", f"{GLANCE}/v2/images/{image['id']}", None, 204)
    with pytest.raises(cloudkit.ResourceFailed, match="damaged"):
        cloud.images.upload("image", data=b"x" * 3_000_000)
    assert seen == [("3000000", b"x" * 3_000_000)]
    assert rest.sent[-1].startswith("DELETE")
    first = rest.body(0)
    assert first["id"] == first["cloudkit:request"]


def test_an_upload_is_never_sent_twice(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    image = recorded("images")
    rest.answer("POST", f"{GLANCE}/v2/images", image, 201)
    rest.answer("PUT", f"{GLANCE}/v2/images/{image['id']}/file", None, 401)
    rest.answer("PATCH", f"{GLANCE}/v2/images/{image['id']}", image)
    rest.answer("DELETE", f"{GLANCE}/v2/images/{image['id']}", None, 204)
    with pytest.raises(cloudkit.Unauthenticated):
        cloud.images.upload("image", data=b"x" * 512)
    assert [sent.partition(" ")[0] for sent in rest.sent] == ["POST", "PUT", "PATCH", "DELETE"]


def test_metadata_are_replaced_and_the_mark_stays(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    server = recorded("servers")
    rest.answer("GET", f"{NOVA}/v2.1/servers/{SERVER}", {"server": server})
    rest.answer("GET", f"{NEUTRON}/v2.0/ports", {"ports": []})
    rest.answer("PUT", f"{NOVA}/v2.1/servers/{SERVER}/metadata", {"metadata": {}})
    cloud.servers.update(SERVER, metadata={"role": "database"})
    sent = next(json.loads(each.body or b"") for each in rest.requests if each.method == "PUT")["metadata"]
    assert sent == {"role": "database", **{k: v for k, v in server["metadata"].items() if k.startswith("cloudkit:")}}


# ---------------------------------------------------------------- an administrator sees its project only


def test_an_administrator_sees_and_changes_the_own_project_only(connect: Callable[[], Any], rest: Cloud) -> None:
    rest.roles = ("admin", "member")
    cloud = connect()
    theirs = {**recorded("volumes"), "os-vol-tenant-attr:tenant_id": "another"}
    rest.answer("GET", f"{CINDER}/v3/{PROJECT}/volumes/{VOLUME}", {"volume": theirs})
    rest.answer("GET", f"{CINDER}/v3/{PROJECT}/volumes/detail", {"volumes": [theirs]})
    for verb in (cloud.volumes.get, cloud.volumes.delete):
        with pytest.raises(cloudkit.NotFound):
            verb(VOLUME)
    assert list(cloud.volumes.list()) == []
    assert [each.project_id for each in cloud.volumes.list(all_projects=True)] == ["another"]
    assert not any(sent.startswith("DELETE") for sent in rest.sent)


def test_an_administrator_does_not_change_what_all_see(connect: Callable[[], Any], rest: Cloud) -> None:
    rest.roles = ("admin",)
    cloud = connect()
    network = {**recorded("networks"), "project_id": "another", "tenant_id": "another", "shared": True}
    rest.answer("GET", f"{NEUTRON}/v2.0/networks/{network['id']}", {"network": network})
    assert cloud.networks.get(network["id"]).project_id == "another"
    with pytest.raises(cloudkit.PermissionDenied):
        cloud.networks.delete(network["id"])


def test_limits_of_three_services(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    # From the services' API samples.
    nova = {"maxTotalInstances": 10, "totalInstancesUsed": 1, "maxTotalCores": -1, "totalCoresUsed": 2}
    nova["maxTotalKeypairs"] = 100
    rest.answer("GET", f"{NOVA}/v2.1/os-keypairs", {"keypairs": [{"keypair": recorded("key_pairs")}]})
    rest.answer("GET", f"{NOVA}/v2.1/limits", {"limits": {"absolute": nova}})
    cinder = {"maxTotalVolumes": 10, "totalVolumesUsed": 3}
    rest.answer("GET", f"{CINDER}/v3/{PROJECT}/limits", {"limits": {"absolute": cinder}})
    neutron = {"port": {"limit": 500, "used": 4, "reserved": 1}, "rbac_policy": {"limit": 1, "used": 0}}
    rest.answer("GET", f"{NEUTRON}/v2.0/quotas/{PROJECT}/details.json", {"quota": neutron})
    found = {name: (quota.limit, quota.in_use) for name, quota in cloud.limits().items()}
    assert found == {
        "servers": (10, 1),
        "vcpus": (None, 2),
        "key_pairs": (100, 1),
        "volumes": (10, 3),
        "ports": (500, 5),
    }


def floating(cloud: cloudkit.Cloud) -> list[str]:
    return [address.ip for address in cloud.servers.get(SERVER).addresses if address.floating]


def test_where_a_floating_ip_went_is_known_before_nova_hears_of_it(
    cloud: cloudkit.Cloud, rest: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, port, body = recorded("servers"), recorded("ports"), recorded("floating_ips")
    (fixed, shown_floating) = server["addresses"]["private"]
    at_nova = [fixed]
    shown = {**server, "addresses": {"private": at_nova}}
    rest.answers("GET", f"{NOVA}/v2.1/servers/{SERVER}", lambda _: (200, {"server": shown}))
    rest.answer("GET", f"{NEUTRON}/v2.0/ports", {"ports": [port]})
    url = f"{NEUTRON}/v2.0/floatingips"
    rest.answer("POST", url, {"floatingip": {**body, "port_id": port["id"]}}, 201)
    rest.answer("PUT", f"{url}/{body['id']}", {"floatingip": {**body, "port_id": None}})
    rest.answer("GET", f"{url}/{body['id']}", {"floatingip": {**body, "port_id": None}})
    assert floating(cloud) == []
    cloud.floating_ips.create(external=NOBODY, port=port["id"])
    assert floating(cloud) == [body["floating_ip_address"]]
    at_nova.append(shown_floating)
    assert floating(cloud) == [body["floating_ip_address"]]
    cloud.floating_ips.disassociate(body["id"])
    assert floating(cloud) == []
    monkeypatch.setattr("cloudkit_openstack.plugs.NOVA_HEARS_S", -1.0)
    cloud.floating_ips.disassociate(body["id"])
    assert floating(cloud) == [shown_floating["addr"]]


def test_a_backup(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    backup = shown(cloud, rest, Kind.BACKUP)
    assert (backup.status, backup.size_gib, backup.description, backup.metadata) == (
        "available",
        1,
        "words",
        {"a": "b"},
    )
    failed = shown(cloud, rest, Kind.BACKUP, id="f", status="error", fail_reason="No space")
    assert failed.fault.message == "No space"


def test_a_cloud_without_a_service_for_backups_says_so(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    refusal = {"computeFault": {"code": 500, "message": "Service cinder-backup could not be found."}}
    rest.answer("POST", PATHS[Kind.BACKUP][0], refusal, 500)
    with pytest.raises(cloudkit.Unsupported, match="does not run"):
        cloud.backups.create("backup", volume=NOBODY)


@pytest.mark.parametrize(
    ("nic", "sent"),
    [
        (Nic(network_id=NOBODY), {"net_id": NOBODY}),
        (
            Nic(network_id=NOBODY, fixed_ip="10.7.1.9"),
            {"net_id": NOBODY, "fixed_ips": [{"ip_address": "10.7.1.9"}]},
        ),
        (Nic(port_id=NOBODY), {"port_id": NOBODY}),
    ],
    ids=["network", "address", "port"],
)
def test_an_interfaces_request(cloud: cloudkit.Cloud, rest: Cloud, nic: Nic, sent: dict[str, Any]) -> None:
    port = recorded("ports")
    rest.answer(
        "POST", f"{NOVA}/v2.1/servers/{NOBODY}/os-interface", {"interfaceAttachment": {"port_id": port["id"]}}
    )
    rest.answer("GET", f"{NEUTRON}/v2.0/ports/{port['id']}", {"port": port})
    assert cloud.servers.attach_interface(NOBODY, nic).id == port["id"]
    assert rest.body(0) == {"interfaceAttachment": sent}


def test_an_interface_to_a_network_that_is_not_there_is_told(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    refusal = {"computeFault": {"code": 500, "message": "Unexpected API Error."}}
    rest.answer("POST", f"{NOVA}/v2.1/servers/{NOBODY}/os-interface", refusal, 500)
    missing = {"NeutronError": {"type": "NetworkNotFound", "message": "Network x could not be found.", "detail": ""}}
    rest.answer("GET", f"{NEUTRON}/v2.0/networks/{NOBODY}", missing, 404)
    # Not found is the network; whether a server has this name is looked up all the same.
    rest.answer("GET", f"{NOVA}/v2.1/servers/detail", {"servers": []})
    with pytest.raises(cloudkit.NotFound, match="Network"):
        cloud.servers.attach_interface(NOBODY, Nic(network_id=NOBODY))


def test_a_vlan_is_on_the_profiles_physical_network(connect: Callable[..., cloudkit.Cloud], rest: Cloud) -> None:
    cloud = connect(physical_network="physnet1")
    provider = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}
    vlan = {**provider, "provider:segmentation_id": 20}
    sent = made(cloud, rest, Kind.NETWORK, lambda: cloud.networks.create("office", vlan_id=20), **vlan)
    assert {name: value for name, value in sent.items() if name.startswith("provider:")} == vlan


def test_a_vlan_is_where_the_call_says(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    native = {"provider:physical_network": "physnet2"}
    sent = made(cloud, rest, Kind.NETWORK, lambda: cloud.networks.create("office", vlan_id=20, native=native))
    assert sent["provider:physical_network"] == "physnet2"
    with pytest.raises(InvalidRequest, match="physical network") as refused:
        cloud.networks.create("office", vlan_id=20)
    assert "physical_network in the profile" in str(refused.value)


@pytest.mark.parametrize(("type", "vlan_id"), [("vlan", 20), ("vxlan", None), ("flat", None), (None, None)])
def test_only_a_vlans_number_is_a_vlan_id(
    cloud: cloudkit.Cloud, rest: Cloud, type: str | None, vlan_id: int | None
) -> None:
    provider = {} if type is None else {"provider:network_type": type, "provider:segmentation_id": 20}
    assert shown(cloud, rest, Kind.NETWORK, **provider).vlan_id == vlan_id


TRUNK = {"trunk_id": "7", "sub_ports": [{"port_id": NOBODY, "segmentation_type": "vlan", "segmentation_id": 30}]}


def test_a_ports_trunk_is_shown_as_its_subports(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    assert shown(cloud, rest, Kind.PORT).subports is None
    assert shown(cloud, rest, Kind.PORT, trunk_details=TRUNK).subports == (Subport(port_id=NOBODY, vlan_id=30),)


def test_a_first_subport_makes_the_trunk_and_is_marked(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    free = {**recorded("ports"), "device_id": "", "device_owner": ""}
    other = {**free, "id": NOBODY, "name": "other"}
    for body in (free, other):
        rest.answer("GET", f"{NEUTRON}/v2.0/ports/{body['id']}", {"port": body})
    rest.answer("POST", f"{NEUTRON}/v2.0/trunks", {"trunk": {"id": "7"}}, 201)
    rest.answer("PUT", f"{NEUTRON}/v2.0/ports/{NOBODY}", {"port": other})
    cloud.ports.add_subport(free["id"], NOBODY, vlan_id=30)
    sent = {request.method: json.loads(request.body) for request in rest.requests if request.body}
    subport = {"port_id": NOBODY, "segmentation_type": "vlan", "segmentation_id": 30}
    assert sent["POST"] == {"trunk": {"name": free["name"], "port_id": free["id"], "sub_ports": [subport]}}
    assert sent["PUT"] == {"port": {"device_id": free["id"], "device_owner": "trunk:subport"}}


def test_a_subport_that_cannot_be_marked_is_none(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    trunk = {**recorded("ports"), "device_id": "", "device_owner": "", "trunk_details": {**TRUNK, "sub_ports": []}}
    other = {**trunk, "id": NOBODY, "trunk_details": None}
    bodies = iter([trunk, trunk, {**trunk, "trunk_details": TRUNK}])
    last = {**trunk, "trunk_details": TRUNK}
    rest.answers("GET", f"{NEUTRON}/v2.0/ports/{trunk['id']}", lambda _: (200, {"port": next(bodies, last)}))
    rest.answer("GET", f"{NEUTRON}/v2.0/ports/{NOBODY}", {"port": other})
    refused = {"NeutronError": {"type": "PolicyNotAuthorized", "message": "not you", "detail": ""}}
    rest.answers("PUT", f"{NEUTRON}/v2.0/ports/{NOBODY}", lambda _: (403, refused))
    rest.answer("PUT", f"{NEUTRON}/v2.0/trunks/7/add_subports", {})
    rest.answer("PUT", f"{NEUTRON}/v2.0/trunks/7/remove_subports", {})
    with pytest.raises(PermissionDenied):
        cloud.ports.add_subport(trunk["id"], NOBODY, vlan_id=30)
    assert f"{NEUTRON}/v2.0/trunks/7/remove_subports" in [str(request.url) for request in rest.requests]
