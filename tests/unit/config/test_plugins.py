from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cloudkit import _plugins
from cloudkit._plugins import known_drivers, load_plugin, open_driver
from cloudkit.driver import OpenRequest
from cloudkit.errors import CloudError, ConfigError, MissingExtra, Unavailable

REQUEST = OpenRequest(address="", options={}, project_id=None, profile="nursery")


def test_a_third_party_driver_is_found_by_its_entry_point() -> None:
    plugin = load_plugin("toy")
    assert plugin.name == "toy"
    assert open_driver(plugin, REQUEST).name == "toy"
    assert {"fake", "toy"} <= set(known_drivers())


def test_only_the_named_driver_is_imported() -> None:
    load_plugin("toy")
    assert "toy_cloud_that_is_not_there" not in sys.modules


def test_a_second_look_up_reads_no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_plugin("toy")
    monkeypatch.setattr("importlib.metadata.entry_points", None)
    assert load_plugin("toy") is first


def test_an_unknown_driver_is_told_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="there is no driver 'toi'") as caught:
        load_plugin("toi")
    assert "Did you mean 'toy'?" in caught.value.hint
    assert "fake" in caught.value.hint


def test_what_was_unknown_is_found_once_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError):
        load_plugin("later")
    (tmp_path / "later-1.dist-info").mkdir()
    (tmp_path / "later-1.dist-info/METADATA").write_text("Name: later\nVersion: 1\n")
    (tmp_path / "later-1.dist-info/entry_points.txt").write_text("[cloudkit.drivers]\nlater = toy_cloud:PLUGIN\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_plugin("later").name == "toy"


def test_our_own_driver_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    with pytest.raises(MissingExtra) as caught:
        load_plugin("openstack")
    assert "pip install 'cloudkit-sdk[openstack]'" in str(caught.value)


def test_two_distributions_with_one_driver_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rival-1.dist-info").mkdir()
    (tmp_path / "rival-1.dist-info/METADATA").write_text("Name: rival\nVersion: 1\n")
    (tmp_path / "rival-1.dist-info/entry_points.txt").write_text("[cloudkit.drivers]\ntoy = rival:PLUGIN\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"several distributions .* 'toy': rival:PLUGIN, toy_cloud:PLUGIN"):
        load_plugin("toy")


def test_a_plugin_that_cannot_be_imported_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match="cannot be loaded from 'toy_cloud_that_is_not_there:PLUGIN'") as caught:
        load_plugin("toy-gone")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_an_entry_point_that_names_no_plugin_is_refused() -> None:
    with pytest.raises(ConfigError, match="which is no DriverPlugin"):
        load_plugin("toy-thing")


def test_a_missing_requirement_names_module_and_extra() -> None:
    with pytest.raises(MissingExtra, match="'toy_engine', which cannot be imported") as caught:
        open_driver(load_plugin("toy-needy"), REQUEST)
    assert "pip install 'cloudkit-sdk[toys]'" in caught.value.hint
    assert caught.value.driver == "toy-needy"


def test_a_requirement_that_is_broken_tells_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_engine.py").write_text("raise ImportError('libtoy.so.0: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingExtra, match=r"libtoy\.so\.0"):
        open_driver(load_plugin("toy-needy"), REQUEST)


def test_another_driver_api_is_refused_before_it_is_opened() -> None:
    with pytest.raises(ConfigError, match="driver API 2, this cloudkit speaks 1") as caught:
        open_driver(load_plugin("toy-old"), REQUEST)
    assert caught.value.hint == "Upgrade cloudkit-sdk."


def test_a_driver_that_contradicts_itself_is_refused_and_closed() -> None:
    plugin = load_plugin("toy-liar")
    for _ in range(2):
        with pytest.raises(CloudError, match="declares 'routers' but lacks"):
            open_driver(plugin, REQUEST)
    assert len(sys.modules["toy_cloud"].CLOSED) == 2


def test_a_declaration_is_checked_once_for_a_class_and_its_capabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[object] = []
    monkeypatch.setattr(_plugins, "check_declaration", checked.append)
    plugin = load_plugin("toy")
    toy = sys.modules["toy_cloud"].Toy
    open_driver(plugin, REQUEST)
    open_driver(plugin, REQUEST)
    assert len(checked) == 1
    toy.capabilities = frozenset({"routers"})
    open_driver(plugin, REQUEST)
    assert len(checked) == 2


def test_a_foreign_error_while_opening_is_wrapped() -> None:
    with pytest.raises(CloudError, match="the cloud 'nursery' could not be opened") as caught:
        open_driver(load_plugin("toy-broken"), REQUEST)
    assert caught.value.fault == "RuntimeError: no socket"
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_cloud_error_while_opening_stays_what_it_is() -> None:
    with pytest.raises(Unavailable) as caught:
        open_driver(load_plugin("toy-down"), REQUEST)
    assert caught.value.driver == "toy-down"
