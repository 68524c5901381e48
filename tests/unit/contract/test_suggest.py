from __future__ import annotations

from collections.abc import Iterable

import pytest

from cloudkit._suggest import suggest


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("usr", ["zone", "user"], "Did you mean 'user'? Known: user, zone."),
        ("xyz", ["zone", "user"], "Known: user, zone."),
        ("user", {"user": 1}, "Did you mean 'user'? Known: user."),
        ("usr", [], "None is known."),
        ("", ("b", "a"), "Known: a, b."),
    ],
)
def test_the_closest_known_word_is_guessed_and_all_are_named(word: str, known: Iterable[str], hint: str) -> None:
    assert suggest(word, known) == hint
