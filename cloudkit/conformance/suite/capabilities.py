"""What is declared is there, what is not declared is refused."""

from __future__ import annotations

from cloudkit import Unsupported
from cloudkit.conformance.attempts import ATTEMPTS, needed_first
from cloudkit.conformance.base import Conformance
from cloudkit.conformance.lab import Lab


class TestCapabilities(Conformance):
    def test_the_floor_is_declared(self, lab: Lab) -> None:
        assert lab.target.floor - lab.capabilities == frozenset()

    def test_what_it_never_has_is_not_declared(self, lab: Lab) -> None:
        assert lab.target.never & lab.capabilities == frozenset()

    def test_what_is_not_declared_is_refused_before_anything_is_made(self, lab: Lab) -> None:
        assert lab.image
        assert lab.flavor
        before, wrong = lab.inventory(), dict[str, object]()
        for name in sorted(ATTEMPTS.keys() - lab.capabilities):
            expected = next((each for each in needed_first(name) if each not in lab.capabilities), name)
            for number, attempt in enumerate(ATTEMPTS[name]):
                try:
                    wrong[f"{name} {number}"] = attempt(lab.cloud, lab)
                except Unsupported as error:
                    if error.capability != expected:
                        wrong[f"{name} {number}"] = error.capability
                except Exception as error:
                    wrong[f"{name} {number}"] = error
        assert wrong == {}
        assert lab.inventory() == before
