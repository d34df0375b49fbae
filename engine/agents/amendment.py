"""Changes a task that a planner asked for, and shows its worker what has changed."""

from engine.agents.changes import difference
from engine.agents.openings import task_text
from engine.domain import events as e
from engine.domain.events import Draft
from engine.domain.types import Agent, AgentId, MessageSource, Role, Task, TaskSpec
from engine.runtime.inbox import message_to
from engine.runtime.recorder import RunRecorder
from engine.state.snapshot import Snapshot

SHOWN = ("title", "goal", "scope", "acceptance")
"""What a worker knows of its task."""


def amended(run: RunRecorder, task: Task, spec: TaskSpec, intent: int) -> tuple[Draft, ...]:
    """The events that change a task, with a message to the agent at work on it if that has to know."""
    changed = tuple(name for name in (*SHOWN, "priority", "after") if getattr(spec, name) != getattr(task.spec, name))
    drafts = [Draft(e.TaskAmended(spec, changed, intent), None, task.id)]
    if (reader := at_work(run.snapshot, task)) is not None and (shown := [name for name in SHOWN if name in changed]):
        text = run.prompts["task_changed"].render(
            difference="\n\n".join(_difference(name, getattr(task.spec, name), getattr(spec, name)) for name in shown),
            task=task_text(spec, task.directions),
        )
        drafts.append(message_to(run, reader, MessageSource.SYSTEM, text, task=task.id))
    return tuple(drafts)


def at_work(snapshot: Snapshot, task: Task) -> AgentId | None:
    """The agent that acts on the task now: its resolver, if there is one at work, else its worker."""
    agents = [agent for agent in snapshot.agents.values() if agent.task == task.id and not agent.ended]
    return max(agents, key=_last_to_act).id if agents else None


def _last_to_act(agent: Agent) -> bool:
    return agent.role is Role.RESOLVER


def _difference(name: str, old: str, new: str) -> str:
    """What has changed in one field."""
    return f"{name.capitalize()}:\n\n{difference(old, new)}"
