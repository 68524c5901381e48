from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest
from filled_values import filled

from cloudkit import errors
from cloudkit.errors import (
    AmbiguousName,
    BatchFailed,
    Busy,
    CloudError,
    CommandFailed,
    Conflict,
    NotFound,
    QuotaExceeded,
    RateLimited,
    Unavailable,
    Unsupported,
    WaitTimeout,
)
from cloudkit.types import Server

SERVER: Server = filled(Server)

DETAILS: dict[str, Any] = {
    "driver": "fake",
    "operation": "servers.create",
    "resource": SERVER,
    "request_id": "req-1",
    "fault": "No valid host was found.",
    "hint": "Ask the operator.",
    "retryable": True,
    "console_tail": "[    0.000000] Linux\n[    0.000001] panic",
}

OWN: dict[type[CloudError], dict[str, Any]] = {
    AmbiguousName: {"candidates": ("a", "b")},
    RateLimited: {"retry_after_s": 2.5},
    Unsupported: {"capability": "servers.pause"},
    CommandFailed: {"exit_status": 3, "stdout": "out", "stderr": "err"},
    BatchFailed: {"failed": ((1, NotFound("gone", resource="x")),), "created": (SERVER,)},
}
"""The fields that a class has of its own."""


def kinds(base: type[CloudError] = CloudError) -> list[type[CloudError]]:
    return [base, *(kind for each in base.__subclasses__() for kind in kinds(each))]


OURS = sorted({kind for kind in kinds() if kind.__module__ == errors.__name__}, key=lambda kind: kind.__name__)


def plain(error: Any) -> Any:
    """What an error holds, comparable."""
    if isinstance(error, BaseException):
        return type(error), error.args[0], {name: plain(value) for name, value in vars(error).items()}
    if isinstance(error, tuple):
        return tuple(plain(each) for each in error)
    return error


# ---------------------------------------------------------------- what every one holds


@pytest.mark.parametrize("kind", OURS)
def test_every_error_keeps_what_it_is_told(kind: type[CloudError]) -> None:
    given = DETAILS | OWN.get(kind, {})
    error = kind("It failed.", **given)
    assert error.message == "It failed."
    assert {name: getattr(error, name) for name in given} == given
    assert vars(error).keys() - {"__notes__"} == given.keys()


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_every_error_survives_pickling_and_copying_with_all_it_holds(kind: type[CloudError], again: Any) -> None:
    error = kind("It failed.", **DETAILS, **OWN.get(kind, {}))
    error.add_note("while cleaning up")
    twin = again(error)
    assert twin is not error
    assert plain(twin) == plain(error)
    assert str(twin) == str(error)
    assert twin.__notes__ == ["while cleaning up"]


@pytest.mark.parametrize("kind", OURS)
def test_every_error_can_be_made_of_nothing(kind: type[CloudError]) -> None:
    error = kind()
    assert error.message == ""
    assert error.hint == kind.default_hint
    assert error.retryable is kind.default_retryable
    assert (error.driver, error.operation, error.resource) == (None, None, None)
    assert (error.request_id, error.fault, error.console_tail) == (None, None, None)


def test_the_own_fields_have_defaults_that_say_nothing() -> None:
    assert AmbiguousName().candidates == ()
    assert RateLimited().retry_after_s is None
    assert Unsupported().capability == ""
    command = CommandFailed()
    assert (command.exit_status, command.stdout, command.stderr) == (-1, "", "")
    assert (BatchFailed().failed, BatchFailed().created) == ((), ())


def test_only_what_another_try_may_mend_is_retryable() -> None:
    assert {kind for kind in OURS if kind().retryable} == {Busy, RateLimited, Unavailable}


def test_an_error_can_say_otherwise_than_its_class() -> None:
    assert Unavailable(retryable=False).retryable is False
    assert NotFound(retryable=True).retryable is True
    assert NotFound(hint="").hint == ""


def test_a_list_of_candidates_is_frozen() -> None:
    assert AmbiguousName(candidates=["a", "b"]).candidates == ("a", "b")


@pytest.mark.parametrize("kind", [kind for kind in OURS if issubclass(kind, Conflict)])
def test_conflicts_are_caught_as_one(kind: type[CloudError]) -> None:
    with pytest.raises(Conflict):
        raise kind("x")


def test_lost_connections_and_deadlines_are_pythons_own_kinds_too() -> None:
    with pytest.raises(ConnectionError):
        raise Unavailable("no answer")
    with pytest.raises(TimeoutError):
        raise WaitTimeout("too late")


def test_every_hint_is_a_sentence_and_names_no_foreign_distribution() -> None:
    for kind in OURS:
        assert not kind.default_hint or kind.default_hint.endswith(".")
        assert not re.search(r"\binstall cloudkit\b(?!-sdk)", kind.default_hint)


# ---------------------------------------------------------------- its text


def test_the_text_tells_all_in_reading_order() -> None:
    assert str(CloudError("it failed", **DETAILS)) == (
        "fake: servers.create: it failed (No valid host was found.) [request req-1]\n"
        "  Ask the operator.\n"
        "  the console's last lines:\n"
        "  | [    0.000000] Linux\n"
        "  | [    0.000001] panic"
    )


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ({}, "it failed"),
        ({"driver": "fake"}, "fake: it failed"),
        ({"operation": "servers.get"}, "servers.get: it failed"),
        ({"fault": "disk full"}, "it failed (disk full)"),
        ({"fault": "failed"}, "it failed"),
        ({"fault": ""}, "it failed"),
        ({"request_id": "r"}, "it failed [request r]"),
        ({"hint": "Wait."}, "it failed\n  Wait."),
        ({"console_tail": "one"}, "it failed\n  the console's last lines:\n  | one"),
        ({"console_tail": ""}, "it failed"),
        ({"resource": "x", "retryable": True}, "it failed"),
    ],
)
def test_the_text_leaves_out_what_is_not_known(details: dict[str, Any], text: str) -> None:
    assert str(CloudError("it failed", **details)) == text


# ---------------------------------------------------------------- its context


def test_context_is_filled_in_where_it_is_not_known() -> None:
    error = NotFound("gone")
    assert error.add_context(driver="fake", operation="servers.get", resource="web") is error
    assert (error.driver, error.operation, error.resource) == ("fake", "servers.get", "web")


def test_context_that_is_known_is_kept() -> None:
    error = NotFound("gone", driver="d", operation="o", resource="r")
    error.add_context(driver="fake", operation="servers.get", resource="web")
    assert (error.driver, error.operation, error.resource) == ("d", "o", "r")


def test_context_that_is_not_given_takes_nothing_away() -> None:
    error = NotFound("gone", driver="d", operation="o", resource="r").add_context()
    assert (error.driver, error.operation, error.resource) == ("d", "o", "r")


# ---------------------------------------------------------------- batches


@pytest.fixture
def batch() -> BatchFailed:
    """The errors of the second, third and fifth of a batch, the first of which was made."""
    failed = [(1, QuotaExceeded("full")), (2, NotFound("no flavor")), (4, QuotaExceeded("full again"))]
    return BatchFailed("3 of 5 failed", failed=failed, created=[SERVER], driver="fake", hint="See failed.")


def test_a_batch_is_the_group_of_its_errors(batch: BatchFailed) -> None:
    assert isinstance(batch, ExceptionGroup)
    assert [str(error) for error in batch.exceptions] == [str(error) for _, error in batch.failed]
    assert str(batch) == "fake: 3 of 5 failed\n  See failed."
    assert (batch.created, type(batch.failed)) == ((SERVER,), tuple)


def test_a_batch_without_errors_says_that_nothing_was_started() -> None:
    (error,) = BatchFailed("x").exceptions
    assert type(error) is CloudError
    assert str(error) == "nothing was started"


def test_a_pickled_batch_is_still_the_group_of_its_errors(batch: BatchFailed) -> None:
    twin = pickle.loads(pickle.dumps(batch))
    assert twin.exceptions == tuple(error for _, error in twin.failed)
    assert [position for position, _ in twin.failed] == [1, 2, 4]


def test_a_part_of_a_batch_is_a_batch_with_its_positions_and_context(batch: BatchFailed) -> None:
    batch.add_note("a note")
    cause = batch.__cause__ = OSError("x")
    full, other = batch.split(QuotaExceeded)
    assert isinstance(full, BatchFailed)
    assert isinstance(other, BatchFailed)
    assert full.failed == (batch.failed[0], batch.failed[2])
    assert other.failed == (batch.failed[1],)
    for part in (full, other):
        assert part.exceptions == tuple(error for _, error in part.failed)
        assert (part.message, part.driver, part.hint) == ("3 of 5 failed", "fake", "See failed.")
        assert part.created == (SERVER,)
        assert part.__notes__ == ["a note"]
        assert part.__cause__ is cause
        assert plain(pickle.loads(pickle.dumps(part)))[:2] == plain(part)[:2]


def test_a_batch_has_subgroups_by_a_condition(batch: BatchFailed) -> None:
    last = batch.subgroup(lambda error: "again" in str(error))
    assert isinstance(last, BatchFailed)
    assert last.failed == (batch.failed[2],)
    assert batch.subgroup(ValueError) is None
    assert batch.subgroup(CloudError) is batch


def test_what_except_star_leaves_is_still_a_cloud_error(batch: BatchFailed) -> None:
    caught: list[BaseException] = []
    with pytest.raises(CloudError) as rest:
        try:
            raise batch
        except* QuotaExceeded as group:
            caught += group.exceptions
    assert caught == [batch.failed[0][1], batch.failed[2][1]]
    assert isinstance(rest.value, BatchFailed)
    assert rest.value.failed == (batch.failed[1],)


def test_a_part_of_a_group_in_a_batch_is_a_plain_group() -> None:
    inner = ExceptionGroup("inner", [ValueError("a"), KeyError("b")])
    part = BatchFailed("outer", failed=[(0, inner)]).subgroup(ValueError)
    assert type(part) is ExceptionGroup
    assert part.message == "outer"
    assert [str(error) for error in part.exceptions[0].exceptions] == ["a"]
