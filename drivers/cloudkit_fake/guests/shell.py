"""A guest's shell: words, quotes, ``;`` ``&&`` ``||`` ``|`` and redirections; every command is one of ours."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from cloudkit_fake.guests.answers import Answer, Call
from cloudkit_fake.guests.commands import COMMANDS

if TYPE_CHECKING:
    from cloudkit_fake.guests import Guest

_SEPARATORS = (";", "&&", "||")
_OPERATORS = (*_SEPARATORS, "|")
NOT_FOUND = 127
"""What shells report for a command that there is not."""


def run_line(guest: Guest, line: str, user: str, read_stdin: Callable[[], bytes]) -> Answer:
    """Run a command line as a user."""
    respond = guest.respond(line)
    if respond is not None:
        return respond(Call(guest, line, tuple(line.split()), user, read_stdin))
    try:
        words = _words(line)
    except ValueError as error:
        return Answer(stderr=f"sh: syntax error: {error}\n", exit_status=2)
    out, err, status = "", "", 0
    separator = ";"
    while words:
        part, next_separator, words = _cut(words)
        if part and (separator == ";" or (separator == "&&") == (status == 0)):
            answer = _run_pipe(guest, part, user, read_stdin)
            out, err, status = out + answer.stdout, err + answer.stderr, answer.exit_status
        separator = next_separator
    return Answer(out, err, status)


def _words(line: str) -> list[str]:
    """Words and operators; the end of a line is a semicolon. Raises ValueError for a quote that is not closed."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    bare = ((word, word.strip("\n")) for word in lexer)
    return [";" if word and text in ("", ";") else text if text in _OPERATORS else word for word, text in bare]


def _cut(words: list[str]) -> tuple[list[str], str, list[str]]:
    """The first part, what separates it from the rest, the rest."""
    for position, word in enumerate(words):
        if word in _SEPARATORS:
            return words[:position], word, words[position + 1 :]
    return words, ";", []


def _run_pipe(guest: Guest, words: list[str], user: str, read_stdin: Callable[[], bytes]) -> Answer:
    answer, err = Answer(), ""
    part: list[str] = []
    for word in [*words, "|"]:
        if word != "|":
            part.append(word)
            continue
        answer = _run_redirected(guest, part, user, read_stdin)
        err += answer.stderr
        read_stdin = partial(str.encode, answer.stdout)
        part = []
    return Answer(answer.stdout, err, answer.exit_status)


def _run_redirected(guest: Guest, words: list[str], user: str, read_stdin: Callable[[], bytes]) -> Answer:
    kept: list[str] = []
    target, append, quiet, joined = "", False, False, ""
    rest = iter(words)
    for word in rest:
        if word in (">", ">>"):
            place = next(rest, "")
            if kept[-1:] == ["2"]:
                kept.pop()
                quiet = True
            else:
                target, append = place, word == ">>"
        elif word == ">&":
            joined = next(rest, "")
            kept = kept[:-1] if kept[-1:] in (["1"], ["2"]) else kept
        else:
            kept.append(word)
    answer = _run_command(guest, kept, user, read_stdin)
    if joined == "1":
        answer = Answer(answer.stdout + answer.stderr, "", answer.exit_status)
    elif joined == "2":
        answer = Answer("", answer.stdout + answer.stderr, answer.exit_status)
    if target and target != "/dev/null":
        before = b""
        if append:
            with suppress(FileNotFoundError):
                before = guest.files.read(target, user)
        guest.files.write(target, before + answer.stdout.encode(), user)
    return Answer("" if target else answer.stdout, "" if quiet else answer.stderr, answer.exit_status)


def _run_command(guest: Guest, words: list[str], user: str, read_stdin: Callable[[], bytes]) -> Answer:
    if words[:1] == ["sudo"]:
        rest, other = words[1:], "root"
        while rest and rest[0].startswith("-"):
            other, rest = (rest[1], rest[2:]) if rest[0] == "-u" and rest[1:] else (other, rest[1:])
        return _run_command(guest, rest, other, read_stdin)
    if not words:
        return Answer()
    if words[0] in ("sh", "bash") and words[1:2] == ["-c"] and len(words) > 2:
        return run_line(guest, words[2], user, read_stdin)
    line = shlex.join(words)
    respond = guest.respond(line) or COMMANDS.get(words[0].rpartition("/")[2])
    if respond is None:
        return Answer(stderr=f"sh: 1: {words[0]}: not found\n", exit_status=NOT_FOUND)
    return respond(Call(guest, line, tuple(words), user, read_stdin))
