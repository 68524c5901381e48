from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import cloudkit
from cloudkit.cli import main
from cloudkit.cli.network_map import read_map
from cloudkit.cli.network_picture import graph_of

DISK = bytes(2**20)


@pytest.fixture
def small_company(store: str) -> Any:
    """Two networks behind a router, one of them behind a second one too, and one that leads nowhere."""
    with cloudkit.connect(store) as cloud:
        (public,) = (network for network in cloud.networks.list() if network.external)
        front = cloud.networks.create("front", cidr="172.16.1.0/24")
        back = cloud.networks.create("back", cidr="172.16.2.0/24")
        island = cloud.networks.create("<b>island</b>", cidr="172.16.3.0/24")
        cloud.routers.create("router", external=public, networks=[front])
        cloud.routers.create("inner", networks=[back])
        image = cloud.images.upload("image", data=DISK, disk_format="raw")
        flavor = next(iter(cloud.flavors.list()))
        made = {"image": image, "flavor": flavor}
        web = cloud.servers.create("web", networks=[front], **made)
        cloud.servers.create("db", networks=[front, back], **made)
        cloud.servers.stop(cloud.servers.create("work\\er", networks=[island], **made))
        cloud.floating_ips.create(external=public, server=web, ip="203.0.113.50")
        cloud.floating_ips.create(external=public, ip="203.0.113.60")
        yield cloud


@pytest.mark.usefixtures("small_company")
def test_the_tree_begins_outside_and_draws_each_thing_once(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topology", "--cloud", store]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "network public  203.0.113.0/24  external",
        "├── router router  ACTIVE  203.0.113.2",
        "│   └── network front  172.16.1.0/24",
        "│       ├── server db  ACTIVE  172.16.1.3",
        "│       └── server web  ACTIVE  172.16.1.2  ← 203.0.113.50",
        "└── floating IP 203.0.113.60  free",
        "network <b>island</b>  172.16.3.0/24",
        "└── server work\\er  SHUTOFF  172.16.3.2",
        "network back  172.16.2.0/24",
        "├── server db  ACTIVE  172.16.2.2",
        "└── router inner  ACTIVE  172.16.2.1",
    ]


def test_two_routers_between_two_networks_are_no_endless_tree(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    with cloudkit.connect(store) as cloud:
        left = cloud.networks.create("left", cidr="172.16.1.0/24")
        right = cloud.networks.create("right", cidr="172.16.2.0/24")
        cloud.routers.create("one", networks=[left, right])
        two = cloud.routers.create("two")
        for network, cidr in ((left, "172.16.3.0/24"), (right, "172.16.4.0/24")):
            cloud.routers.add_interface(two, cloud.subnets.create("more", network=network, cidr=cidr))
    assert main(["topology", "--cloud", store]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "network left  172.16.1.0/24  172.16.3.0/24",
        "├── router one  ACTIVE  172.16.1.1",
        "│   └── network right  172.16.2.0/24  172.16.4.0/24",
        "│       └── router two  ACTIVE  172.16.4.1",
        "│           └── network left  172.16.1.0/24  172.16.3.0/24  (see above)",
        "└── router two  ACTIVE  172.16.3.1  (see above)",
    ]


def test_what_is_on_no_network_is_shown_too(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    with cloudkit.connect(store) as cloud:
        cloud.routers.create("lonely")
    assert main(["topology", "--cloud", store]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["on no network", "└── router lonely  ACTIVE"]


def test_a_line_is_never_broken(
    store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    with cloudkit.connect(store) as cloud:
        cloud.networks.create("n" * 100, cidr="172.16.1.0/24")
    assert main(["topology", "--cloud", store]) == 0
    assert f"network {'n' * 100}  172.16.1.0/24" in capsys.readouterr().out.splitlines()


def test_the_picture_has_all_of_it_by_name(small_company: cloudkit.Cloud) -> None:
    cloud = small_company
    source = graph_of(read_map(cloud)).source
    ids = {
        each.name: each.id
        for kind in ("networks", "routers", "servers")
        for each in getattr(small_company, kind).list()
    }
    for tail, head, ip in (
        ("public", "router", "203.0.113.2"),
        ("router", "front", "172.16.1.1"),
        ("front", "web", "172.16.1.2"),
        ("back", "db", "172.16.2.2"),
        ("public", "web", "203.0.113.50"),
    ):
        assert f'"{ids[tail]}" -- "{ids[head]}" [label="{ip}"' in source
    # A name is a text, neither HTML nor an escape of Graphviz' language.
    assert 'label="<b>island</b>\n172.16.3.0/24"' in source
    assert 'label="work\\\\er\nSHUTOFF"' in source
    assert "free floating IPs: 203.0.113.60" in source


@pytest.mark.usefixtures("small_company")
@pytest.mark.parametrize(("ending", "first_bytes"), [("svg", b"<?xml"), ("PNG", b"\x89PNG"), ("pdf", b"%PDF")])
@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_draws_it(store: str, tmp_path: Path, ending: str, first_bytes: bytes) -> None:
    path = tmp_path / f"picture.{ending}"
    assert main(["topology", "--cloud", store, "-o", str(path)]) == 0
    assert path.read_bytes().startswith(first_bytes)


def test_without_graphviz_its_language_can_be_written(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["topology", "--cloud", store, "-o", str(tmp_path / "picture.svg")]) == 1
    assert "apt-get install graphviz" in capsys.readouterr().err
    assert not (tmp_path / "picture.svg").exists()
    assert main(["topology", "--cloud", store, "-o", str(tmp_path / "picture.dot")]) == 0
    assert (tmp_path / "picture.dot").read_text().startswith("graph topology {")


@pytest.mark.parametrize("name", ["picture", "picture.gif", "missing/picture.dot"])
def test_a_file_that_cannot_be_is_refused(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["topology", "--cloud", store, "-o", str(tmp_path / name)]) == 1
    assert str(tmp_path / name) in capsys.readouterr().err
