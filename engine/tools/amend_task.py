"""amend_task: a planner changes one of its tasks, also while a worker is at it."""

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from engine.domain.bounds import Instruction, Name, Priority
from engine.domain.events import Draft, TaskReleased
from engine.domain.landing_text import task_state_text
from engine.domain.types import Task, TaskState
from engine.policy.scope import scope_fault
from engine.policy.task_names import NamingError, folded, predecessors, refuse_circle, task_named
from engine.policy.task_order import DECIDE, WAITING, held
from engine.tools.tool import Answer, Tool, ToolContext, refused


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    old: Annotated[
        Instruction, Meta(description="Text in the goal or acceptance, to be replaced; empty: add `new` to the goal.")
    ]
    new: Annotated[Instruction, Meta(description="Text to put there.")]


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    task: Annotated[Name, Meta(description="Its id, as `spawn_tasks` returned it.")]
    changes: Annotated[tuple[Change, ...], Meta(description="Shorter than a whole new goal or acceptance.")] = ()
    title: Annotated[Name, Meta(description="Empty: unchanged.")] = ""
    goal: Annotated[Instruction, Meta(description="A new goal, whole; empty: unchanged.")] = ""
    scope: Annotated[Instruction, Meta(description="Empty: unchanged; `**`: anywhere.")] = ""
    acceptance: Annotated[Instruction, Meta(description="Empty: unchanged.")] = ""
    priority: Annotated[Priority | None, Meta(description="null: unchanged.")] = None
    after: Annotated[
        tuple[Name, ...] | None,
        Meta(description="All that it is to come after from now on; []: nothing; null: unchanged."),
    ] = None


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    if fault := scope_fault(arguments.scope):
        return refused(f"not amended: the scope: {fault}")
    snapshot = context.snapshot
    mine = await context.own_tasks(arguments.task, *(arguments.after or ()))
    try:
        task = task_named(mine, arguments.task)
        if task.ended or task.state is TaskState.LANDING:
            how = "is landing" if task.state is TaskState.LANDING else f"has ended: {task_state_text(task.state)}"
            return refused(f"not amended: {task.spec.title} {how}; spawn a task for what is missing")
        spec = replace(task.spec, **_changes(task, mine, arguments))
        if spec.after != task.spec.after:
            if task.state not in WAITING:
                late = "has started, so `after` comes too late; leave it out, or cancel the task"
                return refused(f"not amended: {task.spec.title} {late}")
            refuse_circle([replace(each, spec=spec) if each is task else each for each in mine])
    except NamingError as error:
        return refused(f"not amended: {error}")
    if spec == task.spec:
        return refused(f"nothing to amend: {task.spec.title} already reads so")
    drafts = context.amended(task, spec)
    lines = [f"amended: {task.id} {spec.title}; {_outlook(task, told=len(drafts) > 1)}"]
    if task.state is TaskState.HELD:
        now = held(snapshot, [each.id for each in mine], changed={task.id: spec.after})
        freed = [each for each in mine if each.state is TaskState.HELD and each.id not in now]
        drafts += tuple(Draft(TaskReleased(), None, each.id) for each in freed)
        named = ", ".join(f"{each.id} {each.spec.title}" for each in freed)
        lines.append(f"released: {named}" if freed else f"still held: {DECIDE}")
    return Answer("\n".join(lines), drafts=drafts)


def _changes(task: Task, mine: list[Task], arguments: Arguments) -> dict[str, Any]:
    """The fields to change. Raises NamingError."""
    texts = {name: getattr(arguments, name).strip() for name in ("goal", "scope", "acceptance")}
    changes: dict[str, Any] = {name: text for name, text in texts.items() if text}
    new = {name: changes.get(name, getattr(task.spec, name)) for name in ("goal", "acceptance")}
    for change in arguments.changes:
        if not change.old:
            new["goal"] = f"{new['goal']}\n\n{change.new.strip()}" if change.new.strip() else new["goal"]
            continue
        places = [name for name, text in new.items() for _ in range(text.count(change.old))]
        if len(places) != 1:
            raise NamingError(f"`{change.old}` occurs {len(places)} times in its goal and acceptance, not once")
        new[places[0]] = new[places[0]].replace(change.old, change.new)
    if not new["goal"].strip():
        raise NamingError("no goal would be left; to take the task back, cancel it")
    changes |= {name: text for name, text in new.items() if text != getattr(task.spec, name)}
    if title := folded(arguments.title):
        changes["title"] = title
    if arguments.priority is not None:
        changes["priority"] = arguments.priority
    if arguments.after is not None:
        changes["after"] = tuple(other.id for other in predecessors(mine, arguments.after))
    return changes


def _outlook(task: Task, *, told: bool) -> str:
    if task.state in WAITING:
        return "it has not started"
    return "its worker reads the change before its next step" if told else "its worker need not know"


TOOL = Tool("amend_task", Arguments, call, writes=True, atomic=True, target=lambda a: a.task)
