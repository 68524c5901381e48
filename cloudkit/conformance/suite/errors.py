"""Errors: of the right kind, with what a program needs, and nothing done."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloudkit import AlreadyExists, AmbiguousName, Cloud, CloudError, Conflict, InvalidRequest, NotFound
from cloudkit.conformance.base import Conformance
from cloudkit.conformance.lab import PUBLIC_KEY, Lab


def _delete_one_of_two(lab: Lab, cloud: Cloud) -> None:
    for _ in range(2):
        lab.volume(cloud, name="twin")
    cloud.volumes.delete("twin")


FAILURES: dict[str, tuple[type[CloudError], str, Callable[[Lab, Cloud], object]]] = {
    "not found": (NotFound, "volumes.get", lambda lab, cloud: cloud.volumes.get(lab.name())),
    "ambiguous": (
        AmbiguousName,
        "volumes.delete",
        _delete_one_of_two,
    ),
    "already there": (
        AlreadyExists,
        "key_pairs.create",
        lambda _, cloud: [cloud.key_pairs.create("twin", public_key=PUBLIC_KEY) for _ in range(2)],
    ),
    "invalid": (InvalidRequest, "volumes.create", lambda _, cloud: cloud.volumes.create("data", size_gib=0)),
    "wrong state": (Conflict, "servers.start", lambda lab, cloud: cloud.servers.start(lab.server(cloud))),
}


class TestErrors(Conformance):
    @pytest.mark.parametrize("what", FAILURES)
    def test_an_error_tells_driver_operation_and_what_to_do(self, lab: Lab, cloud: Cloud, what: str) -> None:
        expected, operation, fail = FAILURES[what]
        with pytest.raises(expected) as raised:
            fail(lab, cloud)
        error = raised.value
        assert error.driver == cloud.driver_name
        assert error.operation == operation
        assert error.message in str(error)
        assert operation in str(error)
        assert not error.retryable
        assert error.resource is not None

    @pytest.mark.parametrize("what", FAILURES)
    def test_an_error_is_pickled(self, lab: Lab, cloud: Cloud, what: str) -> None:
        expected, _, fail = FAILURES[what]
        with pytest.raises(expected) as raised:
            fail(lab, cloud)
        copy = pickle.loads(pickle.dumps(raised.value))  # noqa: S301
        assert type(copy) is type(raised.value)
        assert str(copy) == str(raised.value)
        assert copy.__dict__ == raised.value.__dict__

    def test_threads_get_their_own_errors(self, cloud: Cloud) -> None:
        def attempt(number: int) -> str:
            try:
                cloud.volumes.get(f"missing-{number}")
            except NotFound as error:
                return str(error)
            return ""

        with ThreadPoolExecutor(8) as pool:
            texts = list(pool.map(attempt, range(16)))
        assert all(f"missing-{number}" in text for number, text in enumerate(texts))

    def test_of_many_who_want_one_name_one_gets_it(self, lab: Lab, cloud: Cloud) -> None:
        name = lab.name("key")

        def attempt(_: int) -> bool:
            try:
                cloud.key_pairs.create(name, public_key=PUBLIC_KEY)
            except AlreadyExists:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(attempt, range(8))) == 1
        assert [each.name for each in cloud.key_pairs.list(name=name)] == [name]
