from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cloudkit import (
    AlreadyExists,
    Cloud,
    Conflict,
    Image,
    InvalidRequest,
    Nic,
    NotFound,
    QuotaExceeded,
    ResourceFailed,
    ServerStatus,
    Unavailable,
    Unsupported,
    WaitTimeout,
)
from cloudkit.testing import Disconnect, Fail, Faults, Hang, LoseAnswer, Raise
from cloudkit.types import Kind


def everything(cloud: Cloud) -> set[str]:
    return {f"{kind.value}/{value.id}" for kind in Kind for value in getattr(cloud, kind.value).list()}


def test_a_server_is_active_with_its_address_when_create_returns(cloud: Cloud, server_args: dict[str, Any]) -> None:
    seen: list[str] = []
    server = cloud.servers.create("web", **server_args, on_progress=lambda value: seen.append(value.status))
    assert server.status is ServerStatus.ACTIVE
    assert [address.ip for address in server.addresses] == ["172.16.1.2"]
    assert seen[0] == "BUILD"
    assert seen[-1] == "ACTIVE"


def test_without_waiting_it_is_still_built(cloud: Cloud, server_args: dict[str, Any]) -> None:
    server = cloud.servers.create("web", **server_args, wait=False)
    assert server.status is ServerStatus.BUILD
    assert cloud.servers.wait(server).status is ServerStatus.ACTIVE


def test_one_that_fails_is_deleted_and_its_error_tells_why(
    cloud: Cloud, server_args: dict[str, Any], fake_faults: Faults
) -> None:
    before = everything(cloud)
    fake_faults.add("servers.create", Fail("No valid host was found."))
    with pytest.raises(ResourceFailed) as raised:
        cloud.servers.create("web", **server_args)
    error = raised.value
    assert error.fault == "No valid host was found."
    assert error.operation == "servers.create"
    assert getattr(error.resource, "status", None) is ServerStatus.ERROR
    assert error.console_tail is not None
    assert "login:" in error.console_tail
    assert "went to the status ERROR" in error.message
    assert everything(cloud) == before


def test_one_that_fails_is_kept_when_asked_for(
    cloud: Cloud, server_args: dict[str, Any], fake_faults: Faults
) -> None:
    fake_faults.add("servers.create", Fail())
    with pytest.raises(ResourceFailed):
        cloud.servers.create("web", **server_args, on_failure="keep")
    assert cloud.servers.get("web").status is ServerStatus.ERROR


def test_a_deadline_deletes_nothing_and_tells_the_consoles_tail(
    cloud: Cloud, server_args: dict[str, Any], fake_faults: Faults
) -> None:
    fake_faults.add("servers.create", Hang())
    with pytest.raises(WaitTimeout) as raised:
        cloud.servers.create("web", **server_args, timeout_s=30)
    assert "the server 'web' is BUILD and not ACTIVE after 30 s" in str(raised.value)
    assert isinstance(raised.value, TimeoutError)
    assert raised.value.resource == cloud.servers.get("web")


def test_an_interrupt_while_waiting_deletes_and_goes_on(cloud: Cloud, server_args: dict[str, Any]) -> None:
    before = everything(cloud)

    def interrupt(_value: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cloud.servers.create("web", **server_args, on_progress=interrupt)
    assert everything(cloud) == before


def test_an_interrupt_in_the_request_deletes_what_it_made(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    volumes = cloud._context.driver.volume.volumes
    create = volumes.create

    def create_and_interrupt(spec: Any) -> Any:
        create(spec)
        raise KeyboardInterrupt

    monkeypatch.setattr(volumes, "create", create_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        cloud.volumes.create("data", size_gib=1)
    assert list(cloud.volumes.list()) == []


def test_a_lost_answer_is_found_again_by_its_mark(cloud: Cloud, fake_faults: Faults) -> None:
    cloud.volumes.create("data", size_gib=1)
    fake_faults.add("volumes.create", LoseAnswer())
    made = cloud.volumes.create("data", size_gib=2)
    assert made.size_gib == 2
    assert fake_faults.calls["volumes.create"] == 2


def test_a_lost_answer_is_looked_for_again_when_the_look_fails(cloud: Cloud, fake_faults: Faults) -> None:
    fake_faults.add("volumes.create", LoseAnswer())
    fake_faults.add("volumes.list", Disconnect(), times=2)
    assert cloud.volumes.create("data", size_gib=1).name == "data"


def test_what_cannot_be_found_again_is_not_sent_twice(cloud: Cloud, fake_faults: Faults) -> None:
    fake_faults.add("volumes.create", Disconnect(), times=None)
    with pytest.raises(Unavailable) as raised:
        cloud.volumes.create("data", size_gib=1)
    assert "not sent twice" in raised.value.hint
    assert isinstance(raised.value, ConnectionError)
    assert fake_faults.calls["volumes.create"] == 1


def test_a_lost_key_pair_is_known_by_its_fingerprint(cloud: Cloud, fake_faults: Faults, tmp_path: Path) -> None:
    fake_faults.add("key_pairs.create", LoseAnswer())
    assert cloud.key_pairs.generate("me", tmp_path / "key").name == "me"


def test_a_trouble_while_waiting_only_delays(cloud: Cloud, server_args: dict[str, Any], fake_faults: Faults) -> None:
    fake_faults.add("servers.get", Disconnect(), times=3)
    assert cloud.servers.create("web", **server_args).status is ServerStatus.ACTIVE


def test_a_failing_roll_back_is_told_beside_the_error(
    cloud: Cloud, server_args: dict[str, Any], fake_faults: Faults
) -> None:
    fake_faults.add("servers.create", Fail())
    fake_faults.add("servers.delete", Raise(Conflict("not now")))
    with pytest.raises(ResourceFailed) as raised:
        cloud.servers.create("web", **server_args)
    assert any("failed as well" in note and "not now" in note for note in raised.value.__notes__)


def test_a_refused_create_is_raised_as_it_is(cloud: Cloud, fake_faults: Faults) -> None:
    fake_faults.add("volumes.create", Raise(QuotaExceeded("no more")))
    with pytest.raises(QuotaExceeded, match="no more") as raised:
        cloud.volumes.create("data", size_gib=1)
    assert raised.value.operation == "volumes.create"
    assert raised.value.resource == "data"


def test_what_is_no_cloud_error_is_translated(cloud: Cloud, fake_faults: Faults) -> None:
    fake_faults.add("volumes.create", Raise(RuntimeError("boom")))
    with pytest.raises(Exception, match=r"unexpected: RuntimeError: boom") as raised:
        cloud.volumes.create("data", size_gib=1)
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_a_network_whose_subnet_fails_is_deleted_again(cloud: Cloud, fake_faults: Faults) -> None:
    before = everything(cloud)
    fake_faults.add("subnets.create", Raise(Conflict("overlaps")))
    with pytest.raises(Conflict, match="overlaps"):
        cloud.networks.create("private", cidr="172.16.1.0/24")
    assert everything(cloud) == before


def test_a_router_that_cannot_join_is_deleted_again(cloud: Cloud) -> None:
    first = cloud.networks.create("first", cidr="172.16.1.0/24")
    second = cloud.networks.create("second", cidr="172.16.1.0/24")
    before = everything(cloud)
    with pytest.raises(Conflict, match="overlaps"):
        cloud.routers.create("router", external="public", networks=[first, second])
    assert everything(cloud) == before


def test_what_a_backend_does_not_offer_is_refused_before_anything_is_sent(
    cloud: Cloud, server_args: dict[str, Any], calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = cloud.capabilities - {"servers.create:tags", "snapshots", "images.create", "servers.pause"}
    monkeypatch.setattr(cloud._context.driver, "capabilities", lacking, raising=False)
    server_args["flavor"] = "1"
    calls.clear()
    attempts = {
        "snapshots": lambda: cloud.snapshots.create("s", volume="v"),
        "images.create": lambda: cloud.images.upload("i", data=b"x"),
        "servers.pause": lambda: cloud.servers.pause("s"),
        "servers.create:tags": lambda: cloud.servers.create("s", **server_args, tags=["a"]),
    }
    for capability, attempt in attempts.items():
        with pytest.raises(Unsupported, match=capability) as raised:
            attempt()
        assert raised.value.capability == capability
        assert raised.value.driver == "fake"
    for look in (cloud.snapshots.list, lambda: cloud.snapshots.get("s"), lambda: cloud.snapshots.find("s")):
        with pytest.raises(Unsupported):
            look()
    assert not cloud.supports("snapshots")
    assert "servers.create" not in calls
    assert cloud.servers.create("s", **server_args, tags=()).name == "s"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image": None}, "either image or boot_volume is expected"),
        ({"boot_volume": "x"}, "either image or boot_volume is expected"),
        ({"networks": "private"}, "networks: a list is expected"),
        ({"networks": [Nic()]}, "either network_id or port_id"),
        ({"networks": [Nic(network_id="a", port_id="b")]}, "either network_id or port_id"),
        ({"networks": [Nic(port_id="b", fixed_ip="1.2.3.4")]}, "fixed_ip cannot be given with port_id"),
        ({"networks": [Nic(network_id="private", fixed_ip="1.2.3")]}, "fixed_ip: an IP address is expected"),
        ({"user_data": 5}, "user_data: text or bytes is expected"),
        ({"user_data": "x" * 50_000}, "50000 bytes are too many"),
        ({"metadata": {"a": 1}}, "text is expected"),
        ({"tags": "abc"}, "tags: a list is expected"),
        ({"inject_host_key": "yes"}, "True or False is expected"),
        ({"on_failure": "explode"}, "on_failure: there is no 'explode'"),
        ({"timeout_s": -1}, "must not be negative"),
        ({"native": "x"}, "native: a mapping is expected"),
        ({"security_groups": "default"}, "a list is expected"),
        ({"description": 5}, "description: text is expected"),
    ],
)
def test_a_wrong_argument_makes_nothing(
    cloud: Cloud, server_args: dict[str, Any], fake_faults: Faults, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says):
        cloud.servers.create("web", **{**server_args, **change})
    assert fake_faults.calls["servers.create"] == 0


def test_no_network_named_takes_the_only_one(cloud: Cloud, server_args: dict[str, Any]) -> None:
    del server_args["networks"]
    server = cloud.servers.create("web", **server_args)
    assert [address.ip for address in server.addresses] == ["172.16.1.2"]


def test_no_network_named_and_several_there_lists_them(cloud: Cloud, server_args: dict[str, Any]) -> None:
    cloud.networks.create("second", cidr="172.16.2.0/24")
    cloud.networks.create("without-subnet")
    del server_args["networks"]
    with pytest.raises(InvalidRequest, match=r"2 to choose from: private \(.*\), second") as raised:
        cloud.servers.create("web", **server_args)
    assert 'networks="none"' in raised.value.hint


def test_no_network_at_all_says_so(cloud: Cloud, image: Image) -> None:
    with pytest.raises(InvalidRequest, match="the project has none with a subnet"):
        cloud.servers.create("web", image=image, flavor="m1.tiny")
    assert cloud.servers.create("web", image=image, flavor="m1.tiny", networks="none").addresses == ()


def test_ports_and_addresses_of_ones_own(cloud: Cloud, server_args: dict[str, Any]) -> None:
    port = cloud.ports.create("p", network="private", fixed_ips=["172.16.1.77"], mac="FA:16:3E:00:00:01")
    server_args["networks"] = [port, Nic(network_id="private", fixed_ip="172.16.1.88")]
    server = cloud.servers.create("web", **server_args)
    assert [address.ip for address in server.addresses] == ["172.16.1.77", "172.16.1.88"]
    assert server.addresses[0].mac == "fa:16:3e:00:00:01"
    cloud.servers.delete(server)
    assert [each.id for each in cloud.ports.list()] == [port.id]
    assert cloud.ports.get(port).device_id == ""


def test_native_reaches_the_driver(cloud: Cloud) -> None:
    volume = cloud.volumes.create("data", size_gib=1, native={"consistencygroup_id": "x"})
    assert cloud.native.native_requests[volume.id] == {"consistencygroup_id": "x"}


# ---------------------------------------------------------------- images


class Reader(io.RawIOBase):
    """Gives some bytes, then breaks."""

    def __init__(self, good: int) -> None:
        super().__init__()
        self.left = good

    def read(self, size: int = -1, /) -> bytes:
        if self.left <= 0:
            raise OSError("the disk broke")
        piece = bytes(min(size, self.left))
        self.left -= len(piece)
        return piece


def test_a_readers_own_error_is_what_its_author_sees(cloud: Cloud) -> None:
    for good in (0, 100_000):
        with pytest.raises(OSError, match="the disk broke"):
            cloud.images.upload("broken", data=Reader(good))  # type: ignore[arg-type]
    assert list(cloud.images.list()) == []


def test_an_upload_tells_its_progress(cloud: Cloud, tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(3 << 20))
    told: list[tuple[int, int | None]] = []
    image = cloud.images.upload("blank", path=path, on_bytes=lambda count, total: told.append((count, total)))
    assert told[-1] == (3 << 20, 3 << 20)
    assert [count for count, _ in told] == sorted(count for count, _ in told)
    assert (image.size_bytes, image.disk_format) == (3 << 20, "raw")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "either path or data is expected"),
        ({"path": "x", "data": b"x"}, "either path or data is expected"),
        ({"path": "missing.img"}, "the image missing.img cannot be read"),
        ({"path": 5}, "path: a file's path is expected"),
        ({"path": "."}, "cannot be read"),
        ({"data": b""}, "the image is empty"),
        ({"data": "text"}, "data: bytes or a binary file is expected"),
        ({"data": io.StringIO("text")}, "the file gives text"),
        ({"data": b"x", "disk_format": "qcow3"}, "disk_format: there is no 'qcow3'"),
        ({"data": b"x", "disk_format": "qcow2"}, "said to be qcow2"),
        ({"data": b"QFI\xfb" + bytes(600)}, "qcow2 image is refused"),
        ({"data": b"x", "container_format": "box"}, "container_format: there is no 'box'"),
        ({"data": b"x", "visibility": "secret"}, "visibility: there is no 'secret'"),
    ],
)
def test_a_wrong_image_makes_nothing(cloud: Cloud, calls: Counter[str], arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        cloud.images.upload("image", **arguments)
    assert "images.create" not in calls


def test_what_is_downloaded_is_what_was_uploaded(cloud: Cloud, tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000
    image = cloud.images.upload("data", data=content)
    told: list[int] = []
    assert cloud.images.download("data", tmp_path / "copy", on_bytes=lambda count, _: told.append(count)) == image
    assert (tmp_path / "copy").read_bytes() == content
    assert told[-1] == len(content)


def test_a_download_that_does_not_have_the_checksum_leaves_no_file(cloud: Cloud, tmp_path: Path) -> None:
    image = cloud.images.upload("data", data=b"x" * 1000)
    cloud.native.blobs.write(image.id, b"y" * 1000)
    with pytest.raises(ResourceFailed, match="do not have its checksum"):
        cloud.images.download(image, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_a_download_to_where_nothing_can_be_written_says_so(cloud: Cloud, tmp_path: Path) -> None:
    cloud.images.upload("data", data=b"x")
    with pytest.raises(InvalidRequest, match="cannot be written"):
        cloud.images.download("data", tmp_path / "missing" / "copy")


def test_a_private_key_is_not_left_for_a_key_pair_that_failed(
    cloud: Cloud, fake_faults: Faults, tmp_path: Path
) -> None:
    fake_faults.add("key_pairs.create", Raise(AlreadyExists("taken")))
    with pytest.raises(AlreadyExists, match="taken"):
        cloud.key_pairs.generate("me", tmp_path / "key")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "key").write_text("precious")
    with pytest.raises(AlreadyExists, match="exists already"):
        cloud.key_pairs.generate("me", tmp_path / "key")
    assert (tmp_path / "key").read_text() == "precious"


def test_not_found_names_what_was_looked_for(cloud: Cloud, server_args: dict[str, Any]) -> None:
    with pytest.raises(NotFound, match="'nobody'"):
        cloud.servers.create("web", **{**server_args, "key_pair": "nobody"})
    with pytest.raises(NotFound, match="'m1.huge'"):
        cloud.servers.create("web", **{**server_args, "flavor": "m1.huge"})
    assert list(cloud.servers.list()) == []
