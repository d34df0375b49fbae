"""The first message of each role's conversation: what the agent is told beyond its prompt and its repository."""

from collections.abc import Iterable

from engine.agents.markdown import bullets, sections
from engine.domain.notes import NoteKind
from engine.domain.types import Agent, AgentId, Intent, Role, Task
from engine.state.snapshot import Snapshot

LISTED = 200
"""How many ended tasks and subplanners, the newest, a planner sees after a restart with a fresh context."""


def task_opening(task: Task, notes: str) -> str:
    """For a worker."""
    retried = bool(task.failures and task.reason)
    return sections(
        f"Task: {task.spec.title}",
        goal=task.spec.goal,
        scope=task.spec.scope,
        acceptance=task.spec.acceptance,
        earlier_attempt=f"An earlier attempt at this task ended without a result: {task.reason}" if retried else "",
        repository_notes=notes,
    )


def repair_opening(task: Task, notes: str) -> str:
    """For a reconciler: the failed check."""
    return sections(f"Repair: {task.spec.title}", check=task.spec.goal, repository_notes=notes)


def conflict_opening(task: Task, paths: Iterable[str], notes: str) -> str:
    """For a resolver: the files in conflict, and the task of the change that is to land."""
    return f"# Conflict: {task.spec.title}\n\nFiles in conflict:\n\n{bullets(paths)}\n\n" + sections(
        "The change marked `yours`",
        goal=task.spec.goal,
        acceptance=task.spec.acceptance,
        repository_notes=notes,
    )


def intent_opening(intent: Intent, notes: str, file: str) -> str:
    """For the root planner. `file` says where else the text stands."""
    text = with_file(f"# Intent (version {intent.version})\n\n{intent.text.strip()}", file)
    return f"{text}\n\n## Repository notes\n\n{notes.strip()}" if notes.strip() else text


def slice_opening(agent: Agent, intent: Intent, notes: str, file: str) -> str:
    """For a subplanner. `file` says where else the intent stands."""
    return sections(
        f"Slice: {agent.title}",
        goal=agent.goal,
        scope=agent.scope,
        the_whole_intent=with_file(intent.text.strip(), file),
        repository_notes=notes,
    )


def with_file(text: str, file: str) -> str:
    return f"{text}\n\n{file}" if file else text


def pinned(snapshot: Snapshot, agent: AgentId, opening: str, so_far: str) -> str:
    """The first message of a conversation that starts again, with the agent's scratchpad and its open work."""
    parts = [opening]
    scratchpad = snapshot.scratchpads.get(agent)
    if scratchpad is not None and scratchpad.text.strip():
        parts.append(f"## Your scratchpad\n\n{scratchpad.text.strip()}")
    if open_work := _outstanding(snapshot, agent):
        parts.append(f"## Outstanding\n\n{open_work}")
    if so_far.strip():
        parts.append(f"## So far\n\n{so_far.strip()}")
    return "\n\n".join(parts)


def ended(snapshot: Snapshot, agent: AgentId) -> str:
    """How a planner's newest tasks and subplanners ended, one a line."""
    tasks = [snapshot.tasks[id] for id in snapshot.tasks_of.get(agent, ())]
    below = [snapshot.agents[id] for id in snapshot.children.get(agent, ())]
    lines = [f"{task.spec.title}: {task.state}" for task in tasks if task.ended]
    lines += [
        f"subplanner {child.title}: {child.state}" for child in below if child.role is Role.PLANNER and child.ended
    ]
    return bullets(lines[-LISTED:])


def _outstanding(snapshot: Snapshot, agent: AgentId) -> str:
    """A planner's open tasks, subplanners and questions, one a line; empty for other roles."""
    tasks = [f"{task.id} {task.spec.title}" for task in snapshot.open_tasks(agent)]
    slices = [f"subplanner {child.title}" for child in snapshot.open_subplanners(agent)]
    asked = [
        f"{snapshot.agents[note.agent].title} asks you: {' '.join(note.text.split())}"
        for note in snapshot.questions_to(agent)
    ]
    asks = [
        f"you asked {'your planner' if note.to_agent else 'the user'}: {' '.join(note.text.split())}"
        for note in snapshot.notes_of(agent)
        if note.kind is NoteKind.QUESTION
    ]
    return bullets([*tasks, *slices, *asked, *asks])
