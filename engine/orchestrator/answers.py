"""The person's answers to notes: what they set in motion, and what happens if none comes."""

from collections.abc import Sequence

from msgspec.structs import replace

from engine.agents.notes import as_answered, intent_with, left_open
from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.notes import Note, NoteKind
from engine.domain.types import AgentId, Intent, MessageSource, Micros
from engine.domain.units import duration_s
from engine.policy.notes import before_planning
from engine.runtime.host import Host
from engine.runtime.inbox import message_to
from engine.runtime.recorder import RunRecorder

NOBODY = "Nobody is there to answer"
OVERDUE = "No answer came within {}"


def answered(run: RunRecorder, note: Note, text: str) -> tuple[Draft, ...]:
    """The person's answer, and the message that brings it to the planner.

    Answers to questions about the intent that the planner waits for come together, once all are answered, or once it
    goes on without the rest.
    """
    done = Draft(e.NoteAnswered(note.number, text), note.agent)
    if note.kind is NoteKind.ASSUMPTION and not text:
        return (done,)
    others = [other for other in run.snapshot.notes_of(note.agent) if other.number != note.number]
    waits = note.intent and before_planning(run.snapshot, run.snapshot.agents[note.agent])
    if waits and any(other.intent and other.awaited for other in others):
        return (done,)
    return (done, *_delivered(run, [*_collected(run, note.agent), replace(note, answer=text)]))


def _collected(run: RunRecorder, agent: AgentId) -> list[Note]:
    """The answers to questions about the intent that its planner has not got yet."""
    notes = run.snapshot.notes.values()
    return [note for note in notes if note.agent == agent and note.intent and not (note.open or note.delivered)]


def _delivered(run: RunRecorder, notes: Sequence[Note]) -> tuple[Draft, ...]:
    """The message with these answers. Those to questions about the intent become part of it."""
    agent, numbers = notes[0].agent, tuple(note.number for note in notes)
    said = "\n\n".join(map(as_answered, notes))
    old, stated = run.snapshot.intent, [note for note in notes if note.intent and note.answer]
    if old is None or not stated:
        text = run.prompts["answer"].render(who="the user", answers=said)
        return (message_to(run, agent, MessageSource.ANSWER, text, notes=numbers),)
    intent = Intent(old.version + 1, run.clock.now(), "person", intent_with(old.text, stated))
    text = run.prompts["intent_answered"].render(version=intent.version, answers=said)
    message = message_to(run, agent, MessageSource.INTENT, text, intent=intent.version, notes=numbers)
    return Draft(e.IntentVersioned(intent)), message


class AwaitedAnswers:
    """Ends the wait for the person's answers: nobody is there, or it has taken too long."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def look(self) -> None:
        """Tell planners that wait in vain to decide by themselves, and one that went on the answers so far."""
        host, attended, now = self._host, self._host.answers_awaited, self._host.clock.now()
        late = [note for note in self._awaited() if not attended or self._due(note) <= now]
        why = OVERDUE.format(host.settings.planner.answer_within) if attended else NOBODY
        for agent in {note.agent for note in late}:
            collected, left = _collected(host, agent), [note for note in self._awaited() if note.agent == agent]
            host.record(*(_delivered(host, collected) if collected else ()), *left_open(host, agent, left, why))
        root = host.snapshot.agents[host.snapshot.root] if host.snapshot.root is not None else None
        if root is None or root.gone or before_planning(host.snapshot, root):
            return
        if collected := _collected(host, root.id):
            host.record(*_delivered(host, collected))

    def due(self) -> Micros | None:
        """When the next wait has taken too long; None if nobody waits, or for as long as it takes."""
        if not self._host.settings.planner.answer_within:
            return None
        return min(map(self._due, self._awaited()), default=None)

    def _awaited(self) -> list[Note]:
        """The notes that somebody waits for who is not paused: the person may want to think."""
        snapshot = self._host.snapshot
        return [note for note in snapshot.notes_to_person() if note.awaited and not snapshot.is_paused(note.agent)]

    def _due(self, note: Note) -> Micros:
        """When the wait for an answer has taken too long. The time before this process does not count."""
        within = self._host.settings.planner.answer_within
        return max(note.at, self._host.snapshot.epoch_at) + int(duration_s(within) * 1_000_000) if within else 2**62
