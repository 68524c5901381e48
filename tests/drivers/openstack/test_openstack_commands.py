"""``cloudkit endpoints`` and ``cloudkit token``."""

from __future__ import annotations

import json

import pytest
from cloud_of_answers import CINDER, GLANCE, NEUTRON, NOVA, PROJECT, Cloud

from cloudkit.cli import main


def test_the_catalog_is_shown_as_a_table(rest: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    rest.prepare()
    assert main(["endpoints", "--cloud", "lab"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["TYPE", "NAME", "REGION", "INTERFACE", "URL"],
        ["compute", "compute", "RegionOne", "public", f"{NOVA}/v2.1"],
        ["image", "image", "RegionOne", "public", GLANCE],
        ["network", "network", "RegionOne", "public", NEUTRON],
        ["volumev3", "volumev3", "RegionOne", "public", f"{CINDER}/v3/{PROJECT}"],
    ]


def test_other_interfaces_are_shown_where_that_is_asked_for(rest: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    rest.prepare()
    arguments = ["endpoints", "--json", "--cloud", "openstack://lab?interface=internal"]
    # The driver itself needs Neutron, which has a public endpoint only.
    assert main(arguments) == 1
    assert "no endpoint" in capsys.readouterr().err
    assert main(["endpoints", "--json", "--all", "--cloud", "lab"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 4


def test_a_token_is_printed_alone(rest: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    rest.prepare()
    assert main(["token", "--cloud", "lab"]) == 0
    assert capsys.readouterr().out == "token-1\n"
    assert main(["token", "--json", "--cloud", "lab"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["token"], about["project_id"], about["roles"]) == ("token-2", PROJECT, ["member"])


@pytest.mark.parametrize("command", ["endpoints", "token"])
def test_another_drivers_cloud_has_none(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--cloud", "fake://"]) == 1
    assert "has no catalog and no tokens" in capsys.readouterr().err
