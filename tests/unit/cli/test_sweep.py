from __future__ import annotations

import json
from typing import Any

import pytest

import cloudkit
from cloudkit.cli import main


@pytest.fixture
def left(store: str) -> Any:
    """A volume of a scope that this very process holds, and one without a mark of any scope."""
    with cloudkit.connect(store) as cloud:
        cloud.volumes.create("mine", size_gib=1)
        scope = cloud.scope("ci")
        scope.__enter__().volumes.create("left", size_gib=1)
        yield scope


def test_nothing_left(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--cloud", store]) == 0
    assert capsys.readouterr().out == "Nothing is left.\n"
    assert main(["sweep", "--cloud", store, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.usefixtures("left")
def test_it_lists_and_touches_nothing(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(["sweep", "--cloud", store, "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert (row["kind"], row["name"], row["scope"]) == ("volumes", "left", "ci")
        assert (row["removable"], row["deleted"], row["error"]) == (False, False, None)
        assert row["owner"]
        assert row["expires_at"].endswith("+00:00")


@pytest.mark.usefixtures("left")
def test_what_is_owned_by_a_living_process_goes_only_by_its_name(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "--cloud", store, "--delete"]) == 0
    assert "0 deleted, 1 left." in capsys.readouterr().out
    assert main(["sweep", "--cloud", store, "--name", "ci"]) == 0
    assert "1 of 1 can be deleted by --delete." in capsys.readouterr().out
    assert main(["sweep", "--cloud", store, "--name", "other", "--name", "ci", "--delete"]) == 0
    assert "1 deleted, 0 left." in capsys.readouterr().out
    with cloudkit.connect(store) as cloud:
        assert [volume.name for volume in cloud.volumes.list()] == ["mine"]
