"""A driver of a distribution of its own, joined the way every driver is: by one entry point."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from cloudkit import _plugins

DISTRIBUTION = {
    "toy_cloud-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: toy-cloud\nVersion: 1.0\n",
    "toy_cloud-1.0.dist-info/entry_points.txt": """
        [cloudkit.drivers]
        toy = toy_cloud:PLUGIN
        toy-needy = toy_cloud:NEEDY
        toy-old = toy_cloud:OLD
        toy-liar = toy_cloud:LIAR
        toy-broken = toy_cloud:BROKEN
        toy-down = toy_cloud:DOWN
        toy-gone = toy_cloud_that_is_not_there:PLUGIN
        toy-thing = toy_cloud:parse_port
        """,
    "toy_cloud.py": """
        from dataclasses import replace
        from types import SimpleNamespace

        from cloudkit.driver import DRIVER_API, DriverPlugin, Option
        from cloudkit.errors import Unavailable

        CLOSED = []


        class Toy:
            name = "toy"
            api = DRIVER_API
            capabilities = frozenset()
            compute = image = network = volume = SimpleNamespace()

            def __init__(self, request):
                self.request = request

            def close(self):
                CLOSED.append(self)


        class Liar(Toy):
            capabilities = frozenset({"routers"})


        def broken(request):
            raise RuntimeError("no socket")


        def down(request):
            raise Unavailable("the service does not answer")


        def parse_port(value):
            port = int(value)
            if not 0 < port < 65536:
                raise ValueError("it must be from 1 to 65535")
            return port


        PLUGIN = DriverPlugin(
            name="toy",
            api=DRIVER_API,
            open=Toy,
            options=(
                Option("host", "the toy's host"),
                Option("port", "the toy's port", parse=parse_port, default=4711),
                Option("password", "the toy's password"),
                Option("pin_secret", "a secret number", parse=int),
            ),
            address_query=("socket", "keyfile"),
            story={"user": "bear", "image": None, "external_network": "outside"},
        )
        NEEDY = replace(PLUGIN, name="toy-needy", requires=("json", "toy_engine"), extra="toys")
        OLD = replace(PLUGIN, name="toy-old", api=DRIVER_API + 1)
        LIAR = replace(PLUGIN, name="toy-liar", open=Liar)
        BROKEN = replace(PLUGIN, name="toy-broken", open=broken)
        DOWN = replace(PLUGIN, name="toy-down", open=down)
        """,
}


@pytest.fixture(autouse=True)
def _toy_distribution(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path_factory.mktemp("site")
    for name, content in DISTRIBUTION.items():
        path = site / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(content))
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "toy_cloud", raising=False)
    _plugins.load_plugin.cache_clear()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home and working folder, and an environment that names no cloud."""
    for variable in ("CLOUDKIT_CLOUD", "OS_CLOUD", "CLOUDKIT_CONFIG", "OS_CLIENT_CONFIG_FILE"):
        monkeypatch.delenv(variable, raising=False)
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return home


class Toml:
    """Writes cloudkit.toml where it is looked for."""

    def __init__(self, home: Path) -> None:
        self.user_path = home / ".config/cloudkit/cloudkit.toml"

    def __call__(self, text: str, path: Path | None = None) -> Path:
        path = path or self.user_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        path.chmod(0o644)
        return path


@pytest.fixture
def toml(home: Path) -> Toml:
    return Toml(home)
