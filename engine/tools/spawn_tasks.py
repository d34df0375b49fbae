"""spawn_tasks: a planner asks for work."""

from msgspec import Struct

from engine.events import Draft, TaskQueued
from engine.tools.tool import Answer, Desk, Tool, refused
from engine.types import Task, TaskId, TaskSpec

MOST = 60
"""Tasks in one call."""


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    goal: str
    scope: str = ""
    acceptance: str = ""
    priority: int = 0


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    tasks: tuple[Asked, ...]


async def call(desk: Desk, arguments: Arguments) -> Answer:
    if not 0 < len(arguments.tasks) <= MOST:
        return refused(f"give 1 to {MOST} tasks in one call, not {len(arguments.tasks)}")
    if any(not asked.title.strip() or not asked.goal.strip() for asked in arguments.tasks):
        return refused("every task needs a title and a goal")
    drafts, lines = [], []
    intent = desk.snapshot.intent
    for asked in arguments.tasks:
        title = " ".join(asked.title.split())[:120]
        task = Task(
            id=TaskId(desk.ids.new("t")),
            spec=TaskSpec(title, asked.goal, asked.scope, asked.acceptance, asked.priority),
            planner=desk.agent.id,
            intent=intent.version if intent else 0,
            queued_at=desk.clock.now(),
        )
        drafts.append(Draft(TaskQueued(task), desk.agent.id, task.id))
        lines.append(f"queued: {task.id} {title}")
    return Answer("\n".join(lines), drafts=tuple(drafts))


TOOL = Tool("spawn_tasks", Arguments, call, writes=True, atomic=True, target=lambda a: f"{len(a.tasks)} tasks")
