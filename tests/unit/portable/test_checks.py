from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkit import _checks as checks
from cloudkit.errors import InvalidRequest
from cloudkit.types import EMPTY_MAP, FrozenMap, ServerStatus, Visibility


@pytest.mark.parametrize("good", ["web", "a" * 255, "naïve ☁ 雲", "x y"])
def test_names_that_are_taken(good: str) -> None:
    assert checks.name(good) == good


@pytest.mark.parametrize("bad", ["", "  ", "a" * 256, "a\nb", "a\0b", "\x1b[31m", 5, None, b"web", ["web"]])
def test_names_that_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^name: "):
        checks.name(bad)


def test_a_long_wrong_value_is_shown_cut() -> None:
    with pytest.raises(InvalidRequest) as raised:
        checks.name(["x" * 1000])
    assert len(raised.value.message) < 150


@pytest.mark.parametrize(
    ("check", "bad", "says"),
    [
        (lambda value: checks.text(value, "description"), 5, "description: text is expected, not 5"),
        (lambda value: checks.flag(value, "shared"), 1, "shared: True or False is expected, not 1"),
        (lambda value: checks.integer(value, "vcpus", 1, 8), True, "a whole number is expected"),
        (lambda value: checks.integer(value, "vcpus", 1, 8), 1.0, "a whole number is expected"),
        (lambda value: checks.integer(value, "vcpus", 1, 8), "2", "a whole number is expected"),
        (lambda value: checks.integer(value, "vcpus", 1, 8), 0, "it is 0, and must be from 1 to 8"),
        (lambda value: checks.integer(value, "vcpus", 1, 8), 9, "it is 9, and must be from 1 to 8"),
        (checks.seconds, -0.1, "must not be negative"),
        (checks.seconds, "5", "a number of seconds is expected"),
        (checks.seconds, float("nan"), "a number of seconds is expected"),
        (checks.seconds, True, "a number of seconds is expected"),
        (lambda value: checks.items(value, "networks"), "private", "a list is expected, not 'private'"),
        (lambda value: checks.items(value, "networks"), {"a": 1}, "a list is expected"),
        (lambda value: checks.items(value, "networks"), 5, "a list is expected"),
        (checks.tags, "abc", "a list is expected"),
        (checks.tags, [""], "tags: it is empty"),
        (checks.metadata, ["a"], "a mapping of text to text is expected"),
        (checks.metadata, {"a": 1}, r"metadata\['a'\]: text is expected, not 1"),
        (checks.metadata, {1: "a"}, "metadata's key: text is expected"),
        (checks.metadata, {"cloudkit:scope": "x"}, "cloudkit's own"),
        (checks.metadata, {"Größe": "x"}, "'Größe' is no key"),
        (checks.metadata, {"a/b": "x"}, "'a/b' is no key"),
        (checks.metadata, {"a": "x" * 256}, r"metadata\['a'\]: 256 characters are too many"),
        (checks.network_of, "172.16.1.0", "a CIDR as 172.16.1.0/24 is expected"),
        (checks.network_of, 5, "a CIDR as"),
        (checks.network_of, "172.16.1.0/33", "is no CIDR"),
        (checks.network_of, "300.1.1.0/24", "is no CIDR"),
        (lambda value: checks.address(value, "dns"), "8.8.8", "dns: an IP address is expected"),
        (lambda value: checks.address(value, "dns"), 134744072, "dns: an IP address is expected"),
        (lambda value: checks.address(value, "dns", 4), "::1", "an IPv4 address is expected"),
        (lambda value: checks.address(value, "dns", 6), "8.8.8.8", "an IPv6 address is expected"),
        (checks.mac, "fa:16:3e:00:00", "the MAC address of a network card"),
        (checks.mac, "01:16:3e:00:00:01", "the MAC address of a network card"),
        (checks.mac, "00:00:00:00:00:00", "the MAC address of a network card"),
        (checks.mac, 5, "the MAC address of a network card"),
        (checks.native, "x", "native: a mapping is expected"),
    ],
)
def test_what_is_refused_and_how_it_is_told(check: Callable[[Any], Any], bad: Any, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        check(bad)


def test_bounds_are_inclusive() -> None:
    assert [checks.integer(n, "n", 1, 3) for n in (1, 2, 3)] == [1, 2, 3]
    assert checks.seconds(0) == 0.0


def test_host_bits_are_answered_with_what_was_meant() -> None:
    with pytest.raises(InvalidRequest) as raised:
        checks.network_of("172.16.1.5/24")
    assert raised.value.hint == "Did you mean 172.16.1.0/24?"


def test_a_misspelt_word_is_answered_with_the_closest_one() -> None:
    with pytest.raises(InvalidRequest) as raised:
        checks.choice("ACTIVEE", ServerStatus, "status")
    assert "Did you mean 'ACTIVE'?" in raised.value.hint
    with pytest.raises(InvalidRequest) as raised:
        checks.one_of("ingres", ("ingress", "egress"), "direction")
    assert "Did you mean 'ingress'?" in raised.value.hint


def test_words_that_are_taken() -> None:
    assert checks.choice("public", Visibility, "visibility") is Visibility.PUBLIC
    assert checks.choice(Visibility.PUBLIC, Visibility, "visibility") is Visibility.PUBLIC
    assert checks.one_of("egress", ("ingress", "egress"), "direction") == "egress"


def test_tags_keep_their_order_and_lose_repeats() -> None:
    assert checks.tags(["b", "a", "b"]) == ("b", "a")
    assert checks.tags(()) == ()


def test_metadata_is_frozen() -> None:
    assert checks.metadata(None) is EMPTY_MAP
    given_metadata = {"a": "1"}
    frozen = checks.metadata(given_metadata)
    given_metadata["a"] = "2"
    assert frozen == FrozenMap({"a": "1"})


def test_addresses_are_written_by_convention() -> None:
    assert checks.address("2001:DB8:0::1", "dns") == "2001:db8::1"
    assert checks.mac("FA:16:3E:00:00:01") == "fa:16:3e:00:00:01"
    assert checks.mac(None) is None


NETWORK = checks.network_of("172.16.1.0/24")


@pytest.mark.parametrize(
    ("pools", "says"),
    [
        ([("172.16.2.1", "172.16.2.9")], "is not within 172.16.1.0/24"),
        ([("172.16.1.9", "172.16.1.1")], "ends before it starts"),
        ([("172.16.1.1",)], "pairs of first and last address"),
        ([("::1", "::2")], "an IPv4 address is expected"),
        (["172.16.1.1"], "a list is expected"),
    ],
)
def test_pools_that_are_refused(pools: Any, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        checks.pools(pools, NETWORK)


def test_pools_that_are_taken() -> None:
    pools = [("172.16.1.1", "172.16.1.1"), ["172.16.1.5", "172.16.1.9"]]
    assert checks.pools(pools, NETWORK) == (("172.16.1.1", "172.16.1.1"), ("172.16.1.5", "172.16.1.9"))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CHECKS: tuple[Callable[[Any], Any], ...] = (
    checks.name,
    checks.seconds,
    checks.tags,
    checks.metadata,
    checks.network_of,
    checks.mac,
    checks.native,
    lambda value: checks.address(value, "x"),
    lambda value: checks.pools(value, NETWORK),
    lambda value: checks.integer(value, "x", 0, 10),
    lambda value: checks.choice(value, ServerStatus, "x"),
    lambda value: checks.one_of(value, ("a", "b"), "x"),
    lambda value: checks.items(value, "x"),
)


@given(ANYTHING)
def test_nothing_but_invalid_request_comes_out_of_a_check(value: Any) -> None:
    for check in CHECKS:
        try:
            check(value)
        except InvalidRequest as error:
            assert error.message
