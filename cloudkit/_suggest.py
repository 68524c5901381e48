"""The end of every message about a word that is not known: what is meant, and what there is."""

from __future__ import annotations

from collections.abc import Iterable


def suggest(word: str, known: Iterable[str]) -> str:
    """A hint that names the known word closest to ``word``, if one is close, and all known ones."""
    from difflib import get_close_matches

    names = sorted(known)
    if not names:
        return "None is known."
    close = get_close_matches(word, names, n=1)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    return f"{guess}Known: {', '.join(names)}."
