"""How requests are sent: retries where they are safe, tokens, pages, microversions; and how many there are."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cloud_of_answers import CINDER, GLANCE, NEUTRON, NOVA, PASSWORD, SERVER, VOLUME, Cloud, recorded
from requests import PreparedRequest
from requests.exceptions import ChunkedEncodingError
from requests.exceptions import ConnectionError as Disconnected

import cloudkit
from cloudkit import Nic
from cloudkit_openstack.service import PAGE

VOLUMES, ONE_VOLUME = f"{CINDER}/v3/491f5adc3fd344c69ff2c73dfb983a83/volumes/detail", ""


def volume_url(rest: Cloud) -> str:
    return f"{CINDER}/v3/{rest.project}/volumes/{VOLUME}"


@pytest.fixture
def volume() -> dict[str, Any]:
    return recorded("volumes")


@pytest.fixture
def server(rest: Cloud) -> dict[str, Any]:
    """A server, and its port, which are there."""
    body = recorded("servers")
    rest.answer("GET", f"{NOVA}/v2.1/servers/{SERVER}", {"server": body})
    rest.answer("GET", f"{NEUTRON}/v2.0/ports", {"ports": [recorded("ports")]})
    return body


# ---------------------------------------------------------------- how many


def test_opening_asks_for_a_token_and_neutrons_extensions(connect: Callable[[], Any], rest: Cloud) -> None:
    rest.prepare()
    with cloudkit.connect("lab"):
        assert rest.tokens == 1
        assert rest.sent == ["GET /v2.0/extensions"]


def test_a_get_is_one_request(cloud: cloudkit.Cloud, rest: Cloud, volume: dict[str, Any]) -> None:
    rest.answer("GET", volume_url(rest), {"volume": volume})
    assert cloud.volumes.get(VOLUME).name == "data"
    assert rest.sent == [f"GET /v3/{rest.project}/volumes/{VOLUME}"]
    assert rest.requests[0].headers["OpenStack-API-Version"] == "volume 3.42"


def test_a_servers_ports_are_asked_for_once(cloud: cloudkit.Cloud, rest: Cloud, server: dict[str, Any]) -> None:
    first, second = cloud.servers.get(SERVER), cloud.servers.get(SERVER)
    assert first == second
    paths = [sent.partition("?")[0] for sent in rest.sent]
    assert paths == [f"GET /v2.1/servers/{SERVER}", "GET /v2.0/ports", f"GET /v2.1/servers/{SERVER}"]
    assert parse_qs(urlsplit(str(rest.requests[1].url)).query)["device_id"] == [SERVER]


def test_a_server_that_is_built_is_one_request(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    body = recorded("servers") | {"status": "BUILD"}
    rest.answer("GET", f"{NOVA}/v2.1/servers/{SERVER}", {"server": body})
    assert cloud.servers.get(SERVER).addresses == ()
    assert len(rest.sent) == 1


def test_many_servers_ports_are_listed_at_once(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    servers = [recorded("servers") | {"id": f"server-{number}"} for number in range(50)]
    ports = [recorded("ports") | {"device_id": each["id"], "id": f"port-of-{each['id']}"} for each in servers]
    rest.answer("GET", f"{NOVA}/v2.1/servers/detail", {"servers": servers})
    rest.answer("GET", f"{NEUTRON}/v2.0/ports", {"ports": ports})
    found = list(cloud.servers.list())
    assert [each.addresses[0].port_id for each in found] == [f"port-of-server-{number}" for number in range(50)]
    assert [sent.partition("?")[0] for sent in rest.sent] == ["GET /v2.1/servers/detail", "GET /v2.0/ports"]
    assert "device_id=" not in rest.sent[1]


def test_a_create_with_ids_is_one_request(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    rest.answer("POST", f"{NOVA}/v2.1/servers", {"server": {"id": SERVER}}, 202)
    ids = {name: f"0000000{number}-0000-4000-8000-000000000000" for number, name in enumerate(("i", "f", "n"))}
    created = cloud.servers.create("web", image=ids["i"], flavor=ids["f"], networks=[ids["n"]], wait=False)
    assert (created.id, created.status, created.image_id) == (SERVER, "BUILD", ids["i"])
    assert rest.sent == ["POST /v2.1/servers"]


def test_a_name_is_looked_up_by_one_request(cloud: cloudkit.Cloud, rest: Cloud, volume: dict[str, Any]) -> None:
    rest.answer("GET", VOLUMES, {"volumes": [volume, {**volume, "name": "data-2", "id": "x"}]})
    found = cloud.volumes.find("data")
    assert found is not None
    assert found.id == VOLUME
    assert rest.sent == [f"GET /v3/{rest.project}/volumes/detail?name=data&limit={PAGE}"]


def test_a_wait_for_many_is_one_list_a_look(
    cloud: cloudkit.Cloud, rest: Cloud, volume: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudkit_openstack.driver.time.sleep", lambda _s: None)
    looks = 0

    def create(request: PreparedRequest) -> tuple[int, Any]:
        name = json.loads(request.body or b"")["volume"]["name"]
        return 202, {"volume": {**volume, "id": name, "name": name, "status": "creating", "attachments": []}}

    def show(_request: PreparedRequest) -> tuple[int, Any]:
        nonlocal looks
        looks += 1
        status = "available" if looks == 3 else "creating"
        return 200, {"volumes": [{**volume, "id": f"v{n}", "status": status, "attachments": []} for n in range(50)]}

    rest.answers("POST", f"{CINDER}/v3/{rest.project}/volumes", create)
    rest.answers("GET", VOLUMES, show)
    made = cloud.volumes.create_many([{"name": f"v{number}", "size_gib": 1} for number in range(50)])
    assert {each.status for each in made} == {"available"}
    assert sum(sent.startswith("GET") for sent in rest.sent) == 3
    assert sum(sent.startswith("POST") for sent in rest.sent) == 50


def test_a_fault_that_nova_writes_after_the_status_is_told(
    cloud: cloudkit.Cloud, rest: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudkit_openstack.driver.time.sleep", lambda _s: None)
    body = {**recorded("servers"), "status": "ERROR"}
    fault = {"message": "No valid host was found.", "code": 500, "created": "2026-11-26T08:00:00Z"}
    rest.answer("GET", f"{NEUTRON}/v2.0/ports", {"ports": []})
    rest.answer("POST", f"{NOVA}/v2.1/servers/{SERVER}/action", {"output": ""})
    for known in ({}, {}, {"fault": fault}):
        rest.answer("GET", f"{NOVA}/v2.1/servers/{SERVER}", {"server": {**body, **known}})
    with pytest.raises(cloudkit.ResourceFailed, match="No valid host") as raised:
        cloud.servers.wait(SERVER)
    assert raised.value.fault == "No valid host was found."


# ---------------------------------------------------------------- pages


def paged(rest: Cloud, url: str, key: str, things: list[dict[str, Any]], gone: set[str]) -> None:
    """A list in pages of two, that refuses a marker which is gone."""

    def page(request: PreparedRequest) -> tuple[int, Any]:
        query = parse_qs(urlsplit(str(request.url)).query)
        marker = query.get("marker", [None])[0]
        ids = [thing["id"] for thing in things]
        if marker in gone:
            return 400, {"badRequest": {"code": 400, "message": f"marker [{marker}] not found"}}
        start = 0 if marker is None else ids.index(marker) + 1
        links = {f"{key}_links": [{"rel": "next", "href": "http://behind-a-proxy/?x"}]}
        return 200, {key: things[start : start + 2], **(links if start + 2 < len(things) else {})}

    rest.answers("GET", url, page)


def test_a_list_of_n_pages_is_n_requests(cloud: cloudkit.Cloud, rest: Cloud, volume: dict[str, Any]) -> None:
    things = [{**volume, "id": f"v{number}"} for number in range(5)]
    paged(rest, VOLUMES, "volumes", things, set())
    assert [each.id for each in cloud.volumes.list()] == ["v0", "v1", "v2", "v3", "v4"]
    assert [sent.partition("marker=")[2] for sent in rest.sent] == ["", "v1", "v3"]


def test_a_list_is_read_as_far_as_it_is_iterated(cloud: cloudkit.Cloud, rest: Cloud, volume: dict[str, Any]) -> None:
    paged(rest, VOLUMES, "volumes", [{**volume, "id": f"v{number}"} for number in range(5)], set())
    assert next(cloud.volumes.list()).id == "v0"
    assert len(rest.sent) == 1


def test_a_marker_that_is_gone_does_not_end_a_list(
    cloud: cloudkit.Cloud, rest: Cloud, volume: dict[str, Any]
) -> None:
    paged(rest, VOLUMES, "volumes", [{**volume, "id": f"v{number}"} for number in range(3)], {"v1"})
    # What was shown twice is the portable layer's and the caller's to bear; nothing is left out.
    assert [each.id for each in cloud.volumes.list()][-1] == "v2"


def test_a_refusal_of_the_first_page_is_told(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    rest.answer("GET", VOLUMES, {"badRequest": {"code": 400, "message": "no"}}, 400)
    with pytest.raises(cloudkit.InvalidRequest, match="no"):
        list(cloud.volumes.list())
    assert len(rest.sent) == 1


def test_glances_pages(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    image = recorded("images")
    rest.answer("GET", f"{GLANCE}/v2/images", {"images": [image], "next": "/v2/images?marker=x"})
    rest.answer("GET", f"{GLANCE}/v2/images", {"images": [{**image, "id": "second"}]})
    assert [each.id for each in cloud.images.list()] == [image["id"], "second"]
    assert f"marker={image['id']}" in rest.sent[1]


# ---------------------------------------------------------------- trying again


def test_a_get_is_sent_again(cloud: cloudkit.Cloud, rest: Cloud, volume: dict[str, Any], pauses: list[float]) -> None:
    url = volume_url(rest)
    rest.answer("GET", url, b"", 429, {"Retry-After": "7"})
    rest.answer("GET", url, b"", 503)
    rest.answer("GET", url, Disconnected("Connection reset by peer"))
    rest.answer("GET", url, {"volume": volume})
    assert cloud.volumes.get(VOLUME).id == VOLUME
    assert pauses == [7.0, 0.5, 1.0]


def test_it_is_not_sent_for_ever(cloud: cloudkit.Cloud, rest: Cloud, pauses: list[float]) -> None:
    rest.answer("GET", volume_url(rest), Disconnected("refused"))
    with pytest.raises(cloudkit.Unavailable) as raised:
        cloud.volumes.get(VOLUME)
    assert raised.value.retryable
    assert len(rest.sent) == 4
    assert len(pauses) == 3


def test_a_service_that_wants_to_be_left_alone_is(cloud: cloudkit.Cloud, rest: Cloud, pauses: list[float]) -> None:
    rest.answer("GET", volume_url(rest), b"", 429, {"Retry-After": "3600"})
    with pytest.raises(cloudkit.RateLimited) as raised:
        cloud.volumes.get(VOLUME)
    assert raised.value.retry_after_s == 3600
    assert pauses == []


@pytest.mark.parametrize("status", [429, 503])
def test_a_post_is_sent_once(cloud: cloudkit.Cloud, rest: Cloud, pauses: list[float], status: int) -> None:
    rest.answer("POST", f"{CINDER}/v3/{rest.project}/volumes/{VOLUME}/action", b"", status, {"Retry-After": "1"})
    with pytest.raises(cloudkit.CloudError):
        cloud.volumes.extend(VOLUME, 2)
    assert len(rest.sent) == 1
    assert pauses == []


def test_a_deletion_whose_answer_was_lost_is_done(cloud: cloudkit.Cloud, rest: Cloud, pauses: list[float]) -> None:
    rest.answer("DELETE", volume_url(rest), Disconnected("reset"))
    rest.answer("DELETE", volume_url(rest), {"itemNotFound": {"code": 404, "message": "gone"}}, 404)
    cloud.volumes.delete(VOLUME, wait=False)
    assert len(rest.sent) == 2


def test_a_create_whose_answer_was_lost_is_found_by_its_mark(
    cloud: cloudkit.Cloud, rest: Cloud, volume: dict[str, Any]
) -> None:
    rest.answer("POST", f"{CINDER}/v3/{rest.project}/volumes", Disconnected("reset"))

    def show(_request: PreparedRequest) -> tuple[int, Any]:
        return 200, {"volumes": [volume, {**volume, "id": "mine", "metadata": rest.body(0)["volume"]["metadata"]}]}

    rest.answers("GET", VOLUMES, show)
    assert cloud.volumes.create("data", size_gib=1, wait=False).id == "mine"
    assert [sent.partition(" ")[0] for sent in rest.sent] == ["POST", "GET"]


@pytest.mark.parametrize(
    "answer", [b'{"volume": {"id": ', b"<html>a proxy's page</html>", b"[]", ChunkedEncodingError("IncompleteRead")]
)
def test_an_answer_that_cannot_be_read_is_no_success(
    cloud: cloudkit.Cloud, rest: Cloud, pauses: list[float], answer: Any
) -> None:
    rest.answer("GET", volume_url(rest), answer, headers={"x-openstack-request-id": "req-7"})
    with pytest.raises(cloudkit.Unavailable) as raised:
        cloud.volumes.get(VOLUME)
    assert raised.value.request_id == ("req-7" if isinstance(answer, bytes) else None)


# ---------------------------------------------------------------- tokens, versions, logs


def test_a_token_that_has_expired_is_renewed(cloud: cloudkit.Cloud, rest: Cloud, volume: dict[str, Any]) -> None:
    rest.answer("GET", volume_url(rest), b"", 401)
    rest.answer("GET", volume_url(rest), {"volume": volume})
    assert cloud.volumes.get(VOLUME).id == VOLUME
    assert rest.tokens == 2
    assert rest.requests[-1].headers["X-Auth-Token"] == "token-2"


def test_credentials_that_are_refused_later_are_told(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    rest.answer("GET", volume_url(rest), b"", 401)
    with pytest.raises(cloudkit.Unauthenticated):
        cloud.volumes.get(VOLUME)


def test_an_older_cloud_gets_its_newest_version(connect: Callable[[], Any], rest: Cloud, server: Any) -> None:
    rest.newest_compute = "2.40"
    connect().servers.get(SERVER)
    asked = [request for request in rest.requests if f"/servers/{SERVER}" in str(request.url)]
    assert asked[0].headers["X-OpenStack-Nova-API-Version"] == "2.40"
    assert asked[0].headers["OpenStack-API-Version"] == "compute 2.40"


def test_a_cloud_of_train_gets_what_is_needed(connect: Callable[[], Any], rest: Cloud, server: Any) -> None:
    rest.newest_compute, rest.newest_volume = "2.79", "3.59"
    cloud = connect()
    rest.answer("POST", f"{NOVA}/v2.1/servers", {"server": {"id": SERVER}}, 202)
    nobody = "00000000-0000-4000-8000-000000000000"
    cloud.servers.create("web", image=nobody, flavor=nobody, networks="none", tags=["blue"], wait=False)
    assert rest.requests[-1].headers["OpenStack-API-Version"] == "compute 2.52"
    rest.answer("POST", f"{NOVA}/v2.1/servers/{SERVER}/action", {"adminPass": "secret"})
    cloud._context.driver.compute.servers.rescue(SERVER, None)
    assert rest.requests[-1].headers["OpenStack-API-Version"] == "compute 2.79"


def test_a_log_line_a_request_and_no_secret(
    cloud: cloudkit.Cloud, rest: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    rest.answer(
        "POST", f"{NOVA}/v2.1/servers", {"server": {"id": SERVER, "adminPass": "hunter2"}}, 202,
        {"x-openstack-request-id": "req-9"},
    )  # fmt: skip
    nobody = "00000000-0000-4000-8000-000000000000"
    with caplog.at_level(logging.DEBUG):
        cloud.servers.create(
            "web",
            image=nobody,
            flavor=nobody,
            networks=[Nic(port_id=nobody)],
            user_data="my secret",
            wait=False,
        )
    lines = [record.getMessage() for record in caplog.records if record.name == "cloudkit.openstack"]
    assert any(line.startswith("compute POST /servers 202 after") and "[req-9]" in line for line in lines)
    everything = "\n".join(record.getMessage() for record in caplog.records)
    for secret in (PASSWORD, "hunter2", "my secret", "bXkgc2VjcmV0", "token-1"):
        assert secret not in everything


def test_what_is_a_path_of_another_kind_is_nobodys_id(cloud: cloudkit.Cloud, rest: Cloud) -> None:
    part: Any = cloud._context.driver.volume.volumes
    for id in (".", ".."):
        with pytest.raises(cloudkit.NotFound):
            part.get(id)
        with pytest.raises(cloudkit.NotFound):
            part.delete(id)
    assert rest.sent == []
    rest.answer("GET", f"{CINDER}/v3/{rest.project}/volumes/a%2Fb%3Fc", {"x": 1}, 404)
    with pytest.raises(cloudkit.NotFound):
        part.get("a/b?c")
