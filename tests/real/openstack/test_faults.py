"""What goes wrong on a real cloud ends in the right error or in success, and leaves nothing; printed as a table."""

from __future__ import annotations

import json
import os
import secrets
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import FaultProxy
from layout import HOST, PORTS

import cloudkit
from cloudkit import Cloud, CloudError, Kind
from cloudkit.cli.story import BLANK_IMAGE

sys.path.append(str(Path(__file__).resolve().parents[1] / "libvirt"))
from openstack_bed import OpenStackBed

# openstacksdk warns of what it does itself.
pytestmark = pytest.mark.filterwarnings("ignore:The 'service_type' parameter")
AWAY_S = 10
"""How long the database is away."""
TELLING = (Kind.SERVER, Kind.VOLUME, Kind.IMAGE, Kind.NETWORK, Kind.PORT, Kind.SNAPSHOT)


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Generator[dict[str, str]]:
    """How each fault ended; printed when all are through."""
    rows: dict[str, str] = {}
    yield rows
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\n\nfault on real services".ljust(50), "ends in")
        for fault, end in rows.items():
            print(f"{fault:<47} {end}")


@pytest.fixture
def tell(request: pytest.FixtureRequest, table: dict[str, str]) -> Callable[[str], None]:
    """Tell how the test's fault ended."""
    fault = request.node.name.removeprefix("test_").replace("_", " ")
    return lambda end: table.update({fault: end})


@pytest.fixture(scope="module")
def bed() -> OpenStackBed:
    return OpenStackBed(Path(os.environ["CLOUDKIT_TEST_BED"]))


@pytest.fixture
def demo() -> Generator[Cloud]:
    """A member of a project, in a scope; nothing is left in the project that was not there."""
    with cloudkit.connect("bed-demo") as cloud:
        before = inventory(cloud)
        with cloud.scope("faults") as mine:
            yield mine
        assert inventory(cloud) == before


def inventory(cloud: Cloud) -> set[tuple[Kind, str]]:
    return {(kind, value.id) for kind in TELLING for value in getattr(cloud, kind.value).list()}


def server_of(cloud: Cloud, **options: Any) -> Any:
    image = cloud.images.find("faults") or cloud.images.upload("faults", data=BLANK_IMAGE)
    given = {"image": image, "flavor": "m1.tiny", "networks": "none", **options}
    return cloud.servers.create(f"faults-{secrets.token_hex(3)}", **given)


@contextmanager
def down(bed: OpenStackBed, service: str, seconds: float) -> Generator[None]:
    """A service is killed now, and started again after some seconds."""

    def start_again() -> None:
        time.sleep(seconds)
        bed.control("start")

    bed.control("kill", service)
    with ThreadPoolExecutor(1) as thread:
        back = thread.submit(start_again)
        try:
            yield
        finally:
            # What the bed says of a service that does not start is told.
            back.result()
            bed.check()


@pytest.fixture
def clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Changes what clouds.yaml says of bed-demo; settings of ``auth`` are given as auth_NAME."""
    settings = json.loads(Path(os.environ["OS_CLIENT_CONFIG_FILE"]).read_text())

    def change(**changes: Any) -> None:
        demo = settings["clouds"]["bed-demo"]
        for name, value in changes.items():
            where, key = (demo["auth"], name[5:]) if name.startswith("auth_") else (demo, name)
            where[key] = value
        (tmp_path / "clouds.yaml").write_text(json.dumps(settings))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))

    return change


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with FaultProxy(HOST, PORTS["nova"]) as proxy:
        yield proxy


# ---------------------------------------------------------------- services that go away


@pytest.mark.parametrize(("service", "seconds"), [("cinder", 1), ("mariadb", AWAY_S)], ids=["API", "database"])
def test_service_killed_and_restarted_in_a_wait(
    bed: OpenStackBed, demo: Cloud, tell: Callable[[str], None], service: str, seconds: float
) -> None:
    server, volume = server_of(demo), demo.volumes.create("faults", size_gib=1)
    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            demo.volumes.wait, volume, "in-use", timeout_s=240, on_progress=lambda _change: begun.set()
        )
        assert begun.wait(30)
        with down(bed, service, seconds):
            assert not waiting.done()
        demo.volumes.attach(volume, server)
        assert waiting.result().status == "in-use"
    tell("success")


def test_database_stopped_before_a_create(bed: OpenStackBed, demo: Cloud, tell: Callable[[str], None]) -> None:
    with down(bed, "mariadb", AWAY_S), pytest.raises(cloudkit.Unavailable) as raised:
        demo.volumes.create("faults", size_gib=1)
    tell(type(raised.value).__name__)


def test_token_revoked_in_mid_script(tell: Callable[[str], None]) -> None:
    with cloudkit.connect("bed-demo") as cloud:
        session = cloud.native.session
        token = session.get_token()
        tokens = f"http://{HOST}:{PORTS['keystone']}/v3/auth/tokens"
        assert session.delete(tokens, headers={"X-Subject-Token": token}).status_code == 204
        # A service that has seen the token goes on to take it for a while; this one has not.
        assert list(cloud.volumes.list()) == []
        assert session.get_token() != token
    tell("success")


# ---------------------------------------------------------------- refusals


def test_verb_while_a_task_runs(demo: Cloud, tell: Callable[[str], None]) -> None:
    server = server_of(demo)
    demo.servers.create_image(server, "faults-image", wait=False)
    with pytest.raises((cloudkit.Busy, cloudkit.InvalidState)) as raised:
        demo.servers.resize(server, "m1.small")
        demo.servers.stop(server)
    tell(type(raised.value).__name__)


@pytest.mark.parametrize(
    ("service", "path", "body", "kind"),
    [
        ("compute", "os-quota-sets/{}", {"quota_set": {"instances": 0, "force": True}}, Kind.SERVER),
        ("network", "quotas/{}", {"quota": {"network": 0}}, Kind.NETWORK),
        ("block_storage", "os-quota-sets/{}", {"quota_set": {"volumes": 0}}, Kind.VOLUME),
    ],
    ids=["Nova", "Neutron", "Cinder"],
)
def test_quota_exceeded(
    demo: Cloud, tell: Callable[[str], None], service: str, path: str, body: dict[str, Any], kind: Kind
) -> None:
    with cloudkit.connect("bed-admin") as admin:
        adapter = getattr(admin.native, service)
        place = f"/{path.format(demo.project_id)}"
        adapter.put(place, json=body).raise_for_status()
        try:
            with pytest.raises(cloudkit.QuotaExceeded):
                if kind is Kind.SERVER:
                    server_of(demo)
                elif kind is Kind.NETWORK:
                    demo.networks.create("faults", cidr="172.16.9.0/24")
                else:
                    demo.volumes.create("faults", size_gib=1)
        finally:
            adapter.delete(place).raise_for_status()
    tell("QuotaExceeded")


def test_flavor_too_small_for_the_image(demo: Cloud, tell: Callable[[str], None]) -> None:
    image = demo.images.upload("faults", data=BLANK_IMAGE, min_disk_gib=2)
    with pytest.raises(cloudkit.InvalidRequest):
        server_of(demo, image=image)
    tell("InvalidRequest")


def test_no_valid_host(demo: Cloud, tell: Callable[[str], None]) -> None:
    with cloudkit.connect("bed-admin") as admin, admin.scope("faults") as mine:
        # Within the project's quota, and more than the host has.
        flavor = mine.flavors.create("faults-huge", vcpus=1, ram_mib=64, disk_gib=1 << 24)
        with pytest.raises(cloudkit.ResourceFailed, match="No valid host"):
            server_of(demo, flavor=flavor)
        assert list(demo.servers.list()) == []
    tell("ResourceFailed: No valid host")


def test_no_host_for_another_size(demo: Cloud, tell: Callable[[str], None]) -> None:
    with cloudkit.connect("bed-admin") as admin, admin.scope("faults") as mine:
        flavor = mine.flavors.create("faults-huge", vcpus=1, ram_mib=64, disk_gib=1 << 24)
        server = server_of(demo)
        with pytest.raises(cloudkit.ResourceFailed, match="is ACTIVE again"):
            demo.servers.resize(server, flavor, timeout_s=60)
        assert demo.servers.get(server).flavor_id == server.flavor_id
    tell("ResourceFailed: is ACTIVE again")


def test_volume_in_error(demo: Cloud, tell: Callable[[str], None]) -> None:
    volume = demo.volumes.create("faults", size_gib=1)
    with cloudkit.connect("bed-admin") as admin:
        change = {"os-reset_status": {"status": "error"}}
        admin.native.block_storage.post(f"/volumes/{volume.id}/action", json=change).raise_for_status()
    with pytest.raises(cloudkit.ResourceFailed):
        demo.volumes.wait(volume)
    tell("ResourceFailed")


# ---------------------------------------------------------------- settings


def test_endpoint_missing_from_the_catalog(clouds: Callable[..., None], tell: Callable[[str], None]) -> None:
    clouds(region_name="Nowhere")
    with pytest.raises(CloudError) as raised, cloudkit.connect("bed-demo") as cloud:
        list(cloud.servers.list())
    assert type(raised.value) is cloudkit.Unsupported
    tell("Unsupported")


def test_wrong_password(clouds: Callable[..., None], tell: Callable[[str], None]) -> None:
    clouds(auth_password="wrong")
    with pytest.raises(cloudkit.Unauthenticated):
        cloudkit.connect("bed-demo")
    tell("Unauthenticated")


def test_wrong_ca(clouds: Callable[..., None], tell: Callable[[str], None], tmp_path: Path) -> None:
    names = {"keyout": tmp_path / "key.pem", "out": tmp_path / "cert.pem"}
    options = [word for name, path in names.items() for word in (f"-{name}", str(path))]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=other", *options],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(names["out"], names["keyout"])
    with FaultProxy(HOST, PORTS["keystone"], context) as keystone:
        clouds(auth_auth_url=f"https://{HOST}:{keystone.port}/v3")
        with pytest.raises(cloudkit.Unavailable) as raised:
            cloudkit.connect("bed-demo")
    assert not raised.value.retryable
    tell("Unavailable, not worth a retry")


# ---------------------------------------------------------------- answers that do not arrive


def test_answer_cut_off(clouds: Callable[..., None], proxy: FaultProxy, tell: Callable[[str], None]) -> None:
    clouds(compute_endpoint_override=f"http://{HOST}:{proxy.port}/v2.1")
    with cloudkit.connect("bed-demo") as cloud:
        list(cloud.servers.list())
        proxy.cut_off("GET", times=99)
        with pytest.raises(cloudkit.Unavailable):
            list(cloud.servers.list())
        proxy.cut_off("GET", times=1)
        assert list(cloud.servers.list()) == []
    tell("Unavailable; success where the second try has it")


def test_answer_of_a_create_lost(clouds: Callable[..., None], proxy: FaultProxy, tell: Callable[[str], None]) -> None:
    clouds(compute_endpoint_override=f"http://{HOST}:{proxy.port}/v2.1")
    with cloudkit.connect("bed-demo") as cloud, cloud.scope("faults") as mine:
        mine.images.upload("faults", data=BLANK_IMAGE)
        assert list(mine.servers.list()) == []
        proxy.lose("POST", times=1)
        server = server_of(mine)
        assert [each.id for each in mine.servers.list()] == [server.id]
        assert server.status == "ACTIVE"
    tell("success: one server, found by its mark")


# ---------------------------------------------------------------- several at once


def test_threads_share_one_cloud(demo: Cloud, tell: Callable[[str], None]) -> None:
    made: list[tuple[str, str]] = []
    failed: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(3):
                volume = demo.volumes.create(f"{name}-{number}", size_gib=1)
                assert demo.volumes.get(volume.id).name == f"{name}-{number}"
                made.append((volume.name, volume.id))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("red", "blue", "green")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert {(volume.name, volume.id) for volume in demo.volumes.list()} == set(made)
    assert len(made) == 9
    tell("success")


WORK = """
import cloudkit, sys
with cloudkit.connect("bed-demo") as cloud, cloud.scope("faults-process") as mine:
    made = [mine.volumes.create(f"process-{number}", size_gib=1) for number in range(3)]
    input()
    assert [each.id for each in mine.volumes.list() if each.mark and each.mark.scope == made[0].mark.scope]
print("done")
"""


def test_two_processes_delete_their_own_only(demo: Cloud, tell: Callable[[str], None]) -> None:
    kept = demo.volumes.create("kept", size_gib=1)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", WORK], **pipes) for _ in range(2)]
    deadline = time.monotonic() + 120
    while len(list(demo.volumes.list())) < 7 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert processes[0].communicate("\n", timeout=120)[0] == "done\n"
    assert len(list(demo.volumes.list())) == 4
    assert processes[1].communicate("\n", timeout=120)[0] == "done\n"
    assert [volume.id for volume in demo.volumes.list()] == [kept.id]
    tell("success")
