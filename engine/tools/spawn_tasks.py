"""spawn_tasks: a planner queues tasks for workers."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from engine.domain.bounds import Instruction, Name, Priority
from engine.domain.events import Draft, HotFilesTold, TaskQueued
from engine.domain.landing_text import task_state_text
from engine.domain.types import HOUR, Pathology, Remedy, Task, TaskId, TaskSpec
from engine.policy.hotspots import meetings
from engine.policy.pathologies import (
    ALONE_LIMITED,
    ALONE_NUDGED,
    BARREN_LIMITED,
    NEAR,
    Symptom,
    alone_in_a_row,
    barren_in_a_row,
    found,
    spawned_since,
)
from engine.policy.scope import scope_fault
from engine.policy.task_names import NamingError, folded, predecessors, refuse_circle, task_named
from engine.policy.task_order import LOST
from engine.tools.tool import Answer, Tool, ToolContext, refused

MOST = 60
"""Most tasks in one call."""
HOT_FILES_NAMED = 5


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    title: Annotated[Name, Meta(description="A short name, at most 120 characters.")]
    goal: Annotated[Instruction, Meta(description="The outcome, and the constraints that matter.")]
    scope: Annotated[
        Instruction,
        Meta(description="Globs that the change should stay within, a guide, separated by commas; empty: anywhere."),
    ] = ""
    acceptance: Annotated[Instruction, Meta(description="How to tell that it is done.")] = ""
    priority: Annotated[Priority, Meta(description="Higher starts first.")] = 0
    after: Annotated[
        tuple[Name, ...],
        Meta(description="Titles or ids of your tasks, here or earlier, that have to land before this one starts."),
    ] = ()
    replaces: Annotated[
        Name,
        Meta(description="The id of a failed or cancelled task of yours: the worker gets its notes, not its changes."),
    ] = ""


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    tasks: Annotated[tuple[Asked, ...], Meta(description="1 to 60 tasks.")]
    constraints: Annotated[Instruction, Meta(description="What holds for all of them; it is added to each goal.")] = ""


class Caution(Struct, frozen=True):
    """What is wrong with spawning these tasks, in `text` for the planner. `refuses`: they are not queued."""

    finding: Symptom
    text: str
    refuses: bool = False


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    if not 0 < len(arguments.tasks) <= MOST:
        return refused(f"spawn 1 to {MOST} tasks in one call, not {len(arguments.tasks)}")
    if any(not asked.title.strip() or not asked.goal.strip() for asked in arguments.tasks):
        return refused("every task needs a title and a goal")
    for asked in arguments.tasks:
        if fault := scope_fault(asked.scope):
            return refused(f"nothing was queued: the scope of `{folded(asked.title)}`: {fault}")
    earlier = await context.own_tasks(*(name for asked in arguments.tasks for name in (*asked.after, asked.replaces)))
    count = len(arguments.tasks)
    cautions = [caution for look in (_barren, _crowd, _alone) if (caution := look(context, count)) is not None]
    for caution in cautions:
        if caution.refuses:  # this call only: the planner can continue in another way
            limit = replace(caution.finding, remedy=Remedy.LIMIT).draft
            return Answer(f"not queued: {caution.text}", error=True, drafts=(limit,))
    try:
        tasks = _ordered(context, arguments, earlier)
    except NamingError as error:
        return refused(f"nothing was queued: {error}")
    drafts = [replace(caution.finding, remedy=Remedy.NUDGE).draft for caution in cautions]
    drafts += (Draft(TaskQueued(task), context.agent.id, task.id) for task in tasks)
    lines = [f"({caution.text})" for caution in cautions]
    for task in tasks:
        after = f" (after {', '.join(task.spec.after)})" if task.spec.after else ""
        lines.append(f"queued: {task.id} {task.spec.title}{after}")
    if hot := meetings(context.snapshot, context.agent.id, tasks)[:HOT_FILES_NAMED]:
        told = {meeting.file.path: meeting.file.conflicts for meeting in hot}
        drafts.append(Draft(HotFilesTold(told), context.agent.id))
        lines.insert(0, context.prompt("hotspots", files="\n".join(f"- {meeting}" for meeting in hot)) + "\n")
    return Answer("\n".join(lines), drafts=tuple(drafts))


def _ordered(context: ToolContext, arguments: Arguments, earlier: Sequence[Task]) -> list[Task]:
    """The new tasks, each with the tasks of `earlier` that it comes after or replaces. Raises NamingError."""
    asked, shared = arguments.tasks, arguments.constraints.strip()
    planner, now = context.agent, context.clock.now()
    new = [
        Task(
            id=TaskId(context.ids.new("t")),
            spec=TaskSpec(
                folded(each.title),
                f"{each.goal}\n\n{shared}" if shared else each.goal,
                each.scope,
                each.acceptance,
                each.priority,
            ),
            planner=planner.id,
            intent=planner.intent,
            queued_at=now,
            replaces=former.id if former is not None else None,
            directions=former.directions if former is not None else (),
        )
        for each in asked
        for former in [_replaced(earlier, each.replaces)]
    ]
    ordered = [
        replace(
            task, spec=replace(task.spec, after=tuple(other.id for other in predecessors(earlier, each.after, new)))
        )
        for task, each in zip(new, asked, strict=True)
    ]
    refuse_circle(ordered)
    return ordered


def _replaced(earlier: Sequence[Task], name: str) -> Task | None:
    if not name.strip():
        return None
    task = task_named([task for task in earlier if task.state in LOST] or earlier, name)
    if task.state not in LOST:
        raise NamingError(
            f"`{task.spec.title}` is {task_state_text(task.state)}: only a failed or cancelled task can be replaced"
        )
    return task


def _barren(context: ToolContext, asked: int) -> Caution | None:
    """More tasks after a row that landed nothing, with no change of plan on record."""
    me, snapshot = context.agent.id, context.snapshot
    row = barren_in_a_row(snapshot, me)
    pad = snapshot.scratchpads.get(me)
    if len(row) < BARREN_LIMITED or (pad is not None and pad.at >= (row[0].ended_at or 0)):
        return None
    why = f"none of the last {len(row)} tasks landed anything"
    finding = found(snapshot, me, Pathology.NEVER_MERGES, why)
    pivot = (
        "rewrite your scratchpad with a `pivot` that says what you now think is wrong, then spawn what follows from it"
    )
    return Caution(finding, f"{why}; {pivot}", refuses=True)


def _crowd(context: ToolContext, asked: int) -> Caution | None:
    """Too many open tasks, or too many in an hour."""
    me, snapshot, limits = context.agent.id, context.snapshot, context.settings.planner
    in_an_hour = spawned_since(snapshot, me, context.clock.now() - HOUR)
    told = Pathology.SPAWNS_WITHOUT_END in snapshot.pathologies.get(me, {})
    for count, most, what in (
        (len(snapshot.open_tasks(me)) + asked, limits.max_open_tasks, "open tasks"),
        (in_an_hour + asked, limits.max_tasks_per_hour, "tasks in an hour"),
    ):
        if count > most or (count > NEAR * most and not told):
            finding = found(snapshot, me, Pathology.SPAWNS_WITHOUT_END, f"{count} {what}, at most {most}")
            text = f"this makes {count} {what}, and the limit is {most}: wait for handoffs, or cancel some"
            return Caution(finding, text, refuses=count > most)
    return None


def _alone(context: ToolContext, asked: int) -> Caution | None:
    """One task after another, each waited for, where several could run together."""
    me, snapshot = context.agent.id, context.snapshot
    row = alone_in_a_row(snapshot, me) + 1
    if asked > 1 or row < ALONE_NUDGED or snapshot.open_tasks(me) or snapshot.open_subplanners(me):
        return None
    finding = found(snapshot, me, Pathology.ONE_AT_A_TIME, f"{row} tasks in a row, one at a time")
    text = f"{row} tasks in a row ran alone: look further ahead and spawn all of it in one call, in order with `after`"
    refuses = row >= ALONE_LIMITED and finding.times == 1
    return Caution(finding, f"{text}; if this really is the only task, call again" if refuses else text, refuses)


def _target(arguments: Arguments) -> str:
    return f"{len(arguments.tasks)} task{'' if len(arguments.tasks) == 1 else 's'}"


TOOL = Tool("spawn_tasks", Arguments, call, writes=True, atomic=True, target=_target)
