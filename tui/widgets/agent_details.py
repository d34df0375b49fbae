"""The text of the detail pane's tabs *now* and *task*: what an agent is doing, and what it was asked to do."""

from tui.bridge import Agent, Handoff, Micros, Role, Snapshot, Task, found_lines, waits_for
from tui.format.event_lines import note_line
from tui.format.numbers import age, count, counted, dollars, duration
from tui.format.state_styles import AGENT, HANDOFF, LANDING, TASK
from tui.format.text import EMPTY, Line, Span, one_line
from tui.format.view import View
from tui.sessions.session import LiveAgent
from tui.widgets.text_view import fact, heading, paragraph

OUTPUT = 4000
"""Characters of a tool's output that show, counted from its end."""
MESSAGE = 4000
"""Likewise, characters of a message."""
TASKS = 30
"""Tasks of a planner that show."""
NOTES = 10
"""Likewise, questions and assumptions."""


def now_lines(view: View, run: Snapshot, agent: Agent, live: LiveAgent, now: Micros, cells: int) -> list[Line]:
    """What the agent is doing right now."""
    look = AGENT[agent.state]
    lines: list[Line] = [
        (
            Span(f" {look.glyph} {look.word}", f"{look.style} bold"),
            Span(f"  {one_line(agent.doing or agent.reason)}", "text"),
        )
    ]
    if run.is_paused(agent.id) and not agent.ended:
        above = next((a.path for a in run.ancestors(agent.id) if a.paused), "the run")
        lines.append((Span("   paused" if above == agent.path else f"   paused with {above}", "paused"),))
    spent = f"{count(agent.usage.input + agent.usage.output)} tokens · {dollars(agent.usage.usd)}"
    lines += [
        *fact("agent", f"{agent.path} · {agent.role}", cells=cells),
        *fact("model", agent.model, cells=cells),
        *fact(
            "age",
            f"{duration((agent.ended_at or now) - agent.spawned_at)} · {counted(agent.steps, 'step')} · {spent}",
            cells=cells,
        ),
    ]
    if agent.tokens_in_context:
        lines += fact("context", f"{count(agent.tokens_in_context)} tokens", cells=cells)
    if agent.title != agent.path.rpartition("/")[2]:
        lines += fact("title", agent.title, cells=cells)
    if (slots := run.workers_below.get(agent.id)) is not None:
        lines += fact("workers", f"at most {slots} below it", "paused", cells=cells)
    if agent.role is Role.PLANNER:
        lines += _tasks(run, agent)
    inbox = run.inboxes.get(agent.id, ())
    if inbox:
        lines += heading(f"Inbox ({len(inbox)})")
        for message in inbox[-8:]:
            lines.append((Span(f"  {message.source:<9}", "accent"), Span(one_line(message.text[:300]), "text")))
    lines += _notes(run, agent, cells)
    if agent.ended and agent.reason:
        lines += [*heading("Outcome"), *paragraph(agent.reason, cells)]
    last, call = _message(agent, live, cells), _tool_call(agent, live, now, cells)
    lines += [*call, *last] if live.saying else [*last, *call]
    if live.note and not agent.ended:
        lines += [EMPTY, *paragraph(live.note, cells, "dim")]
    return lines


def _message(agent: Agent, live: LiveAgent, cells: int) -> list[Line]:
    if not live.said.strip():
        return []
    saying = live.saying and not agent.ended
    return [*heading("Message, still arriving" if saying else "Last message"), *paragraph(live.said[-MESSAGE:], cells)]


def _tool_call(agent: Agent, live: LiveAgent, now: Micros, cells: int) -> list[Line]:
    if not live.call or live.call == "wait":  # its result is empty, and the state already says that the agent waits
        return []
    running = live.running and not agent.ended
    state = f"running for {duration(max(0, now - live.since))}" if running else "finished"
    lines: list[Line] = [EMPTY, (Span(" Tool call", "accent bold"), Span(f"  {state}", "acting" if running else "dim"))]
    lines += [(Span("  ▶ ", "acting"), Span(one_line(live.call), "text bold"))]
    return lines + paragraph(live.output[-OUTPUT:], cells, "text" if running else "dim", indent=4)


def _tasks(run: Snapshot, agent: Agent) -> list[Line]:
    tasks = [run.tasks[id] for id in run.tasks_of.get(agent.id, ())]
    if not tasks:
        return []
    open_ = [task for task in tasks if not task.ended]
    lines = heading(f"Tasks: {len(open_)} open of {len(tasks)}")
    shown = [*open_, *[task for task in reversed(tasks) if task.ended]]
    for task in shown[:TASKS]:
        look = TASK[task.state]
        lines.append(
            (
                Span(f"  {look.glyph} {look.word:<10}", look.style),
                Span(one_line(task.spec.title), "text" if not task.ended else "dim"),
                Span(_outstanding(run, task), "paused"),
            )
        )
    if len(shown) > TASKS:
        lines.append((Span(f"  … and {len(shown) - TASKS} more", "dim"),))
    return lines


def _notes(run: Snapshot, agent: Agent, cells: int) -> list[Line]:
    """What a planner assumed and asked, with the answers, newest first."""
    notes = [note for note in reversed(run.notes.values()) if note.agent == agent.id]
    lines = (
        heading(f"Questions and assumptions: {sum(note.open for note in notes)} open of {len(notes)}") if notes else []
    )
    for note in notes[:NOTES]:
        lines += paragraph(f"{note.number}. {note_line(note)}", cells, "text" if note.open else "dim")
        if not note.open:
            lines += paragraph(note.answer or "left to it", cells, "accent", indent=5)
    return lines


def _outstanding(run: Snapshot, task: Task) -> str:
    """What a task waits for, or that it is tried again."""
    waits = [one_line(other.spec.title) for other in waits_for(run, task)] if not task.ended else []
    return f"  after {', '.join(waits)}" if waits else f"  attempt {task.attempt}" if task.attempt > 1 else ""


def task_lines(view: View, run: Snapshot, agent: Agent, now: Micros, cells: int) -> list[Line]:
    """What the agent was asked to do, by which planner, and the outcome."""
    task = run.tasks.get(agent.task) if agent.task is not None else None
    if task is None:
        around = _environment(run, cells) if agent.parent is None else []
        if not (agent.goal or agent.scope):
            hint = (Span("  The root planner has no task: it owns the intent. Press i to read it.", "dim"),)
            return [EMPTY, hint, *around]
        lines: list[Line] = [(Span(f" {one_line(agent.title)}", "text bold"),)]
        lines += [*heading("Goal"), *paragraph(agent.goal, cells)]
        lines += [*heading("Scope"), *paragraph(agent.scope or "anywhere", cells)]
        return lines + around + _outcome(view, run, agent, cells)
    look = TASK[task.state]
    lines = [
        (Span(f" {look.glyph} {look.word}  ", f"{look.style} bold"), Span(one_line(task.spec.title), "text bold")),
        *fact("planner", f"{view.path_of(task.planner)} · intent version {task.intent}", cells=cells),
        *fact("attempt", f"{task.attempt} · {task.failures} failed · {task.losses} interrupted", cells=cells),
        *fact("queued", f"{age(now - task.queued_at)} ago", cells=cells),
        *fact("scope", task.spec.scope or "anywhere", cells=cells),
    ]
    if task.amended:
        lines += fact("amended", counted(task.amended, "time"), cells=cells)
    if task.spec.after:
        after = (run.tasks[id] for id in task.spec.after if id in run.tasks)
        lines += fact("after", ", ".join(f"{one_line(each.spec.title)} ({each.state})" for each in after), cells=cells)
    if task.replaces is not None and (replaced := run.tasks.get(task.replaces)) is not None:
        lines += fact("replaces", one_line(replaced.spec.title), cells=cells)
    if task.spec.priority:
        lines += fact("priority", str(task.spec.priority), cells=cells)
    if task.conflicts:
        lines += fact("conflicts", str(task.conflicts), "paused", cells=cells)
    if task.reason:
        lines += fact("reason", task.reason, "paused", cells=cells)
    if task.commit:
        lines += fact("commit", task.commit[:12], "done", cells=cells)
    lines += [*heading("Goal"), *paragraph(task.spec.goal, cells)]
    if task.spec.acceptance:
        lines += [*heading("Acceptance"), *paragraph(task.spec.acceptance, cells)]
    if task.directions:
        lines += heading("Told by a person")
        for words in task.directions:
            lines += paragraph(words, cells)
    return lines + _outcome(view, run, agent, cells)


def _environment(run: Snapshot, cells: int) -> list[Line]:
    """What the run's commands find, as its planners are told."""
    if run.environment is None:
        return []
    lines = [line for each in found_lines(run.environment) for line in paragraph(each, cells)]
    return [*heading("Environment of commands"), *lines]


def _outcome(view: View, run: Snapshot, agent: Agent, cells: int) -> list[Line]:
    """The agent's handoffs, newest first, one line each."""
    handoffs: list[Handoff] = [handoff for handoff in reversed(run.handoffs.values()) if handoff.agent == agent.id]
    lines = heading("Handoff" if len(handoffs) == 1 else "Handoffs") if handoffs else []
    for handoff in handoffs[:8]:
        look = HANDOFF[handoff.text.status]
        landing = f" · {LANDING[handoff.landing].word}" if handoff.landing is not None else ""
        lead = (Span(f"  {look.glyph} {look.word}{landing}  ", look.style),)
        lines.append((*lead, Span(one_line(handoff.text.summary), "text")))
    return lines
