"""Delivers handoffs: each is recorded together with the message that brings it to the planner above."""

from engine.agents.markdown import bullets, quoted, sections
from engine.domain import events as e
from engine.domain import types as t
from engine.domain.events import Draft
from engine.domain.handoff_facts import Facts, Finding
from engine.domain.landing_text import landing_text
from engine.policy.hotspots import newly_hot
from engine.policy.work_facts import facts_lines, slice_facts, task_facts
from engine.runtime.inbox import message_to
from engine.runtime.recorder import RunRecorder

HOT_FILES_NAMED = 5
"""The most files with repeated conflicts that one message names."""


def engine_text(summary: str, notes: str = "", concerns: str = "", findings: tuple[Finding, ...] = ()) -> t.HandoffText:
    """A failed handoff that the engine writes on an agent's behalf."""
    return t.HandoffText(t.HandoffStatus.FAILED, summary, notes, concerns, findings=findings)


def delivered(
    run: RunRecorder,
    task: t.Task,
    text: t.HandoffText,
    landing: t.Landing | None = None,
    *,
    by_engine: bool = False,
    agent: t.AgentId | None = None,
) -> tuple[Draft, ...]:
    """A task's handoff and the message to its planner. `agent`: who it is from, if no agent works on the task."""
    agent = agent or task.agent
    assert agent is not None
    now = run.clock.now()
    handoff = t.Handoff(
        id=t.HandoffId(run.ids.new("h")),
        at=now,
        task=task.id,
        agent=agent,
        to_agent=task.planner,
        text=text,
        landing=landing.state if landing is not None else None,
        commit=landing.commit if landing is not None else None,
        intent=task.intent,
        by_engine=by_engine,
        facts=task_facts(run.snapshot, task, text, now, landing, by_engine=by_engine),
    )
    hot = newly_hot(run.snapshot, task)
    note = run.prompts["hotspots"].render(files=bullets(map(str, hot[:HOT_FILES_NAMED]))) if hot else ""
    return addressed(run, handoff, task.spec.title, note)


def slice_delivered(
    run: RunRecorder, planner: t.Agent, text: t.HandoffText, *, by_engine: bool = False
) -> tuple[Draft, ...]:
    """A planner's handoff, and the message to the planner above, if there is one."""
    now = run.clock.now()
    handoff = t.Handoff(
        id=t.HandoffId(run.ids.new("h")),
        at=now,
        task=None,
        agent=planner.id,
        to_agent=planner.parent,
        text=text,
        intent=planner.intent,
        by_engine=by_engine,
        facts=slice_facts(run.snapshot, planner, text, now, by_engine=by_engine),
    )
    return addressed(run, handoff, planner.title)


def addressed(run: RunRecorder, handoff: t.Handoff, title: str, more: str = "") -> tuple[Draft, ...]:
    """A handoff, and the message that brings it to the planner above. `more`: what the engine adds to the message."""
    handed_off = Draft(e.HandedOff(handoff), handoff.agent, handoff.task)
    if handoff.to_agent is None:
        return (handed_off,)
    text = "\n\n".join(filter(None, (handoff_message(title, handoff), more.strip())))
    message = message_to(run, handoff.to_agent, t.MessageSource.HANDOFF, text, task=handoff.task, handoff=handoff.id)
    return handed_off, message


def handoff_message(title: str, handoff: t.Handoff) -> str:
    """A handoff as the planner reads it."""
    text = handoff.text
    facts = handoff.facts or Facts()
    head = [f"Handoff: {title}\n", f"from: {'slice' if handoff.task is None else f'task {handoff.task}'}"]
    head.append(f"status: {text.status.value}")
    if handoff.task is not None:
        head.append(f"landing: {landing_text(handoff.landing, handoff.commit, onto_newer=facts.onto_newer)}")
    said = {name: quoted(section) for name, section in text.sections.items()}
    return sections("\n".join(head), facts=_facts(facts), summary=quoted(text.summary), **said)


def _facts(facts: Facts) -> str:
    """The engine's facts of a handoff as a few lines; what programs printed is quoted."""
    lines: list[str] = []
    for label, value, printed in facts_lines(facts):
        lines += [f"{label}: {value}", *([quoted(printed)] if printed else [])]
    return "\n".join(lines)
