"""When a planner's note is refused: too long, too many open ones, or the same again."""

from collections.abc import Sequence

from engine.domain.notes import NoteKind
from engine.domain.types import Agent
from engine.state.snapshot import Snapshot

TEXT = 1_000
OPTION = 200
OPTIONS = 6
"""Most characters of a note and of an option, and most options."""
ABOUT_INTENT = 5
"""Most questions about the intent before any work is given out."""
MOST_OPEN = {NoteKind.QUESTION: 5, NoteKind.ASSUMPTION: 15}
"""Most open notes of one agent to one reader."""


def before_planning(snapshot: Snapshot, agent: Agent) -> bool:
    """Whether the agent is the root planner and has not given out any work."""
    below = (snapshot.tasks_of, snapshot.children, snapshot.retired)
    return agent.parent is None and not any(agent.id in each for each in below)


def objection(
    snapshot: Snapshot, agent: Agent, kind: NoteKind, text: str, options: Sequence[str], *, to_planner: bool = False
) -> str:
    """Why a note is refused, and what to do instead; empty if it is not."""
    if not text.strip():
        return "`text` is empty: say what you assume or ask"
    if len(text) > TEXT:
        return f"the text has {len(text):,} characters, and at most {TEXT:,} are allowed: say only what matters"
    if len(options) > OPTIONS or any(not option.strip() or len(option) > OPTION for option in options):
        return f"give at most {OPTIONS} options, each of 1 to {OPTION} characters"
    mine = [note for note in snapshot.notes.values() if note.agent == agent.id and bool(note.to_agent) is to_planner]
    if (same := next((note for note in mine if _plain(note.text) == _plain(text)), None)) is not None:
        answer = f", and the answer was: {same.answer}" if same.answer else "; no answer has come" if same.open else ""
        return f"you have noted this already{answer}"
    about_intent = kind is NoteKind.QUESTION and not to_planner and before_planning(snapshot, agent)
    if about_intent and sum(bool(note.intent) for note in mine) >= ABOUT_INTENT:
        return f"you have asked {ABOUT_INTENT} questions about the intent: decide the rest, and note what you assume"
    if sum(note.open and note.kind is kind for note in mine) >= MOST_OPEN[kind]:
        return f"{MOST_OPEN[kind]} of your {kind}s are still open: decide by yourself, and say so in your handoff"
    return ""


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
