"""Notes: what a planner assumes or asks, to the person or to the planner above it, and the answer."""

import re
from enum import StrEnum

from msgspec import Struct

from engine.domain.types import AgentId, Micros


class NoteKind(StrEnum):
    ASSUMPTION = "assumption"
    QUESTION = "question"


class Note(Struct, frozen=True):
    """A note, numbered from 1 in each run, and its answer.

    `to_agent` is the planner that is asked; None: the person. `intent` is the version that a question is about, asked
    before any work was given out (0: not such a question); its answer becomes part of the intent. `awaited`: who asked
    may wait for the answer. `answer` is None while the note is open, and empty if the planner should do as it thinks.
    `delivered`: who asked has been sent the answer.
    """

    number: int
    at: Micros
    agent: AgentId
    kind: NoteKind
    text: str
    options: tuple[str, ...] = ()
    to_agent: AgentId | None = None
    intent: int = 0
    awaited: bool = False
    answer: str | None = None
    answered_at: Micros | None = None
    by: str = ""
    delivered: bool = False

    @property
    def open(self) -> bool:
        return self.answer is None


_SECTION = re.compile("^##? ", re.MULTILINE)
HEADING = "## Questions and answers"
"""The last section of an intent, with what the person answered to questions about it."""


def answers_in(text: str) -> str:
    """The last section of an intent, if it holds answers to questions; else empty."""
    _, heading, answers = f"\n{text}\n".rpartition(f"\n{HEADING}\n")
    return f"{HEADING}\n{answers}".strip() if heading and not _SECTION.search(answers) else ""
