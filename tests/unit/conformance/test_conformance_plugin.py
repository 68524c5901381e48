"""How the plug-in runs a suite: skips, gaps, several targets, reports."""

from __future__ import annotations

import json

import pytest

SUITE = """
import pytest

import cloudkit
from cloudkit.conformance import Target
from cloudkit.conformance.base import Conformance, needs


def target(name, *capabilities):
    def connect():
        cloud = cloudkit.connect("fake://")
        cloud._context.driver.capabilities = frozenset(capabilities)
        return cloud
    return Target(name=name, connect=connect)


class TestPause(Conformance):
    @needs("servers.pause", "images.create")
    def test_pause(self, lab, cloud):
        assert cloud.servers.pause(lab.server(cloud)).status == "PAUSED"


class TestBasics(Conformance):
    def test_volume(self, lab, cloud):
        assert lab.volume(cloud).status == "available"
"""
ONE = """
@pytest.fixture(scope="session")
def conformance_target():
    return target("toy", {capabilities})
"""
TWO = """
@pytest.fixture(scope="session", params=["one", "two"])
def conformance_target(request):
    return target(request.param, "images.create", *(["servers.pause"] if request.param == "two" else []))
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest('pytest_plugins = ["cloudkit.conformance"]')
    return pytester


def test_what_is_not_declared_is_skipped(suite: pytest.Pytester) -> None:
    suite.makepyfile(SUITE + ONE.format(capabilities='"images.create"'))
    done = suite.runpytest("-rs", "-k", "Test")
    done.assert_outcomes(passed=1, skipped=1)
    done.stdout.fnmatch_lines(["*servers.pause is not declared"])


def test_packets_are_not_asked_of_guests_that_nobody_logs_in_to(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        SUITE
        + ONE.format(capabilities='"images.create", "routers"')
        + "\nfrom cloudkit.conformance.traffic import *\n"
    )
    done = suite.runpytest("-rs", "-k", "Traffic")
    outcomes = done.parseoutcomes()
    assert set(outcomes) == {"skipped", "deselected"}
    assert outcomes["skipped"] > 15
    done.stdout.fnmatch_lines(["*floating_ips is not declared"])


def test_the_matrix_is_printed(suite: pytest.Pytester) -> None:
    suite.makepyfile(SUITE + ONE.format(capabilities='"images.create", "servers.pause"'))
    done = suite.runpytest()
    assert done.ret == 0
    done.stdout.re_match_lines(
        [r" +toy$", "what every driver has +1$", "images.create +1$", "servers.pause +1$", "servers.suspend +-$"]
    )


def test_a_declared_capability_without_a_test_fails_the_run(suite: pytest.Pytester) -> None:
    suite.makepyfile(SUITE + ONE.format(capabilities='"images.create", "servers.pause", "limits"'))
    done = suite.runpytest()
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(["toy declares limits, and no test of it has passed"])


@pytest.mark.parametrize("how", [["-k", "pause"], ["test_part.py::TestPause"]], ids=["by word", "by name"])
def test_a_part_of_the_suite_need_not_be_whole(suite: pytest.Pytester, how: list[str]) -> None:
    suite.makepyfile(test_part=SUITE + ONE.format(capabilities='"images.create", "servers.pause", "limits"'))
    done = suite.runpytest(*how)
    assert done.ret == 0
    done.assert_outcomes(passed=1, deselected=1 if "-k" in how else 0)


def test_each_target_has_its_column(suite: pytest.Pytester) -> None:
    suite.makepyfile(SUITE + TWO)
    done = suite.runpytest()
    done.assert_outcomes(passed=3, skipped=1)
    done.stdout.re_match_lines([" +one +two$", "servers.pause +- +1$"])


def test_two_modules_have_two_targets(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_one=SUITE + ONE.format(capabilities='"images.create"').replace("toy", "one"),
        test_two=SUITE + ONE.format(capabilities='"images.create", "servers.pause"').replace("toy", "two"),
    )
    done = suite.runpytest("-k", "Test")
    done.assert_outcomes(passed=3, skipped=1)
    done.stdout.re_match_lines([" +one +two$", "servers.pause +- +1$"])


def test_processes_of_xdist_fill_one_matrix(suite: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    suite.makepyfile(SUITE + ONE.format(capabilities='"images.create", "servers.pause", "limits"'))
    done = suite.runpytest("-n", "2", "-p", "xdist", "--conformance-report", "reports")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.assert_outcomes(passed=2)
    done.stdout.re_match_lines(
        [r" +toy$", "what every driver has +1$", "servers.pause +1$", "toy declares limits, and no test of it"]
    )
    report = json.loads((suite.path / "reports/toy.json").read_text())
    assert sorted(report["passed"].values()) == [["images.create", "servers.pause"], ["what every driver has"]]
    assert report["whole"]


def test_a_report_is_written(suite: pytest.Pytester) -> None:
    suite.makepyfile(SUITE + ONE.format(capabilities='"images.create", "servers.pause"'))
    suite.runpytest("--conformance-report", "reports")
    report = json.loads((suite.path / "reports/toy.json").read_text())
    assert report["declared"] == ["images.create", "servers.pause"]
    assert sorted(report["passed"].values()) == [["images.create", "servers.pause"], ["what every driver has"]]
    assert report["whole"]


def test_what_a_test_leaves_behind_fails_the_run(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        SUITE
        + ONE.format(capabilities='"images.create", "servers.pause"')
        + """
class TestLeak(Conformance):
    def test_leak(self, lab):
        assert lab.volume(lab.cloud)
"""
    )
    done = suite.runpytest()
    done.assert_outcomes(passed=3, errors=1)
    done.stdout.fnmatch_lines(["*the tests have left behind*VOLUME*"])


def test_an_unknown_capability_is_told(suite: pytest.Pytester) -> None:
    suite.makepyfile(SUITE.replace("servers.pause", "servers.fly") + ONE.format(capabilities='"images.create"'))
    done = suite.runpytest()
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*there is no 'servers.fly'*"])


def test_a_failing_assertion_shows_its_values(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
import pytest
import cloudkit
from cloudkit.conformance import Target
from cloudkit.conformance.suite import TestCapabilities


@pytest.fixture(scope="session")
def conformance_target():
    return Target(name="toy", connect=lambda: cloudkit.connect("fake://"), never=frozenset({"limits"}))
"""
    )
    done = suite.runpytest_subprocess()
    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines(["E *frozenset({'limits'}) == frozenset()"])
