"""Questions and answers as messages: from a subplanner to the planner above it, and answers to whoever asked."""

import re
from collections.abc import Iterable, Sequence

from engine.agents.markdown import bullets, quoted
from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.notes import HEADING, Note, answers_in
from engine.domain.types import AgentId, MessageSource
from engine.runtime.inbox import message_to
from engine.runtime.recorder import RunRecorder

UNANSWERED = "Your planner went on without an answer"


def asked(run: RunRecorder, note: Note) -> tuple[Draft, ...]:
    """A subplanner's question, and the message that brings it to the planner above."""
    assert note.to_agent is not None
    title = run.snapshot.agents[note.agent].title
    text = run.prompts["question"].render(title=title, question=as_asked(note))
    message = message_to(run, note.to_agent, MessageSource.QUESTION, text, notes=(note.number,))
    return Draft(e.NoteMade(note), note.agent), message


def answered_by_planner(run: RunRecorder, questions: Sequence[Note], answer: str) -> tuple[Draft, ...]:
    """A planner's answer to all that a subplanner has asked it."""
    child, numbers = questions[0].agent, tuple(note.number for note in questions)
    closed = (Draft(e.NoteAnswered(number, answer, by="planner"), child) for number in numbers)
    said = "\n\n".join((*(quoted(note.text) for note in questions), answer.strip()))
    text = run.prompts["answer"].render(who="your planner", answers=said)
    return (*closed, message_to(run, child, MessageSource.ANSWER, text, notes=numbers))


def left_open(run: RunRecorder, agent: AgentId, questions: Sequence[Note], why: str) -> tuple[Draft, ...]:
    """Who asked no longer waits for the answers, and is told so unless it has handed off."""
    overdue = Draft(e.AnswersOverdue(tuple(note.number for note in questions), why), agent)
    if run.snapshot.agents[agent].ended:
        return (overdue,)
    text = "\n\n".join(map(as_asked, questions))
    then = (
        "say in your handoff what you assumed" if questions[0].to_agent else "note what you assume (`note_to_person`)"
    )
    message = run.prompts["no_answer"].render(why=why, questions=text, then=then)
    return overdue, message_to(run, agent, MessageSource.ANSWER, message)


def left_by_planner(run: RunRecorder, planner: AgentId) -> tuple[Draft, ...]:
    """A planner waits although it has read questions that it did not answer: its subplanners decide by themselves."""
    by_child: dict[AgentId, list[Note]] = {}
    for note in run.snapshot.questions_to(planner):
        by_child.setdefault(note.agent, []).append(note)
    drafts: list[Draft] = []
    for child, notes in by_child.items():
        drafts += (Draft(e.NoteAnswered(note.number, by="planner"), child) for note in notes)
        drafts += left_open(run, child, notes, UNANSWERED)
    return tuple(drafts)


def as_asked(note: Note) -> str:
    """A note as its reader sees it: the agent's words, quoted."""
    options = f"\n{bullets(note.options)}" if note.options else ""
    return quoted(note.text + options)


def as_answered(note: Note) -> str:
    """A note with the person's answer, in which no line is a heading: it may become part of the intent."""
    answer = re.sub("^(?=##? )", "    ", (note.answer or "").strip(), flags=re.MULTILINE)
    return f"{quoted(note.text)}\n\n{answer or 'Decide this as you think best.'}"


def intent_with(text: str, answered: Iterable[Note]) -> str:
    """The intent with answered questions in its last section."""
    start = text.rstrip() if answers_in(text) else f"{text.rstrip()}\n\n{HEADING}"
    return "\n\n".join((start.lstrip(), *map(as_answered, answered))) + "\n"


def intent_without(text: str, note: Note) -> str:
    """The intent without the answer to a question; as it is if the person has changed that part since."""
    if (answer := f"\n\n{as_answered(note)}") not in text:
        return text
    rest = text.replace(answer, "", 1).rstrip()
    above, _, last = rest.rpartition("\n")
    return f"{above.rstrip() if last == HEADING else rest}\n"
