"""What a command is given and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudkit_fake.guests import Guest


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed, and its exit status."""

    stdout: str = ""
    stderr: str = ""
    exit_status: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A command that was run in a guest.

    Attributes:
        line: the whole command line.
        arguments: its words; the first is the command.
        user: who runs it; ``root`` after sudo.
        read_stdin: reads what the caller sent, to its end.
    """

    guest: Guest
    line: str
    arguments: tuple[str, ...]
    user: str
    read_stdin: Callable[[], bytes]


Respond = Callable[[Call], Answer]


def as_respond(answer: str | Answer | Callable[[Call], str | Answer]) -> Respond:
    """One form of the three that an answer can have."""

    def respond(call: Call) -> Answer:
        given = answer(call) if callable(answer) else answer
        return Answer(given) if isinstance(given, str) else given

    return respond
