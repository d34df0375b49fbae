"""spawn_subplanner: a planner hands a slice to a new subplanner."""

import re
from typing import Annotated

from msgspec import Meta, Struct

from engine.domain.bounds import Instruction, Name
from engine.domain.events import AgentSpawned, Draft
from engine.domain.types import Agent, AgentId, AgentPath, Pathology, Role
from engine.policy.pathologies import found
from engine.policy.scope import scope_fault
from engine.policy.task_names import folded
from engine.state.snapshot import Snapshot
from engine.tools.tool import Answer, Tool, ToolContext, faulted, refused


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    title: Annotated[Name, Meta(description="Its name, at most 120 characters.")]
    goal: Annotated[Instruction, Meta(description="The outcome, and the constraints that matter.")]
    scope: Annotated[
        Instruction,
        Meta(description="What belongs to the slice, as globs separated by commas; empty: whatever the goal requires."),
    ] = ""


async def call(context: ToolContext, arguments: Arguments) -> Answer:
    planner, snapshot, limits = context.agent, context.snapshot, context.settings.swarm
    title = folded(arguments.title)
    if not title or not arguments.goal.strip():
        return refused("a subplanner needs a title and a goal")
    if fault := scope_fault(arguments.scope):
        return refused(f"not spawned: the scope: {fault}")
    depth = sum(1 for _ in snapshot.ancestors(planner.id))
    if depth > limits.max_depth:
        finding = found(snapshot, planner.id, Pathology.SPAWNS_WITHOUT_END, f"deeper than {limits.max_depth}")
        return faulted(
            finding,
            f"subplanners may be {limits.max_depth} levels deep, and you are at the deepest: spawn tasks instead",
        )
    if sum(not agent.ended for agent in snapshot.agents.values()) >= limits.max_agents:
        finding = found(snapshot, planner.id, Pathology.SPAWNS_WITHOUT_END, f"more than {limits.max_agents} agents")
        return faulted(finding, f"the limit of {limits.max_agents} agents at once is reached: wait for some to end")
    child = Agent(
        id=AgentId(context.ids.new("a")),
        path=free_path(snapshot, planner.path, title),
        parent=planner.id,
        role=Role.PLANNER,
        model=snapshot.model_for(Role.PLANNER, planner.id),
        title=title,
        goal=arguments.goal,
        scope=arguments.scope,
        intent=planner.intent,
        epoch=snapshot.epoch,
        spawned_at=context.clock.now(),
    )
    return Answer(f"spawned: {title}", drafts=(Draft(AgentSpawned(child), child.id),))


def free_path(snapshot: Snapshot, above: AgentPath, title: str) -> AgentPath:
    """An unused path below `above`, made from the title; a second one of the same name ends in `-2`."""
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:24].strip("-") or "slice"
    path = AgentPath(f"{above}/{name}")
    number = 1
    while path in snapshot.paths:
        number += 1
        path = AgentPath(f"{above}/{name}-{number}")
    return path


TOOL = Tool("spawn_subplanner", Arguments, call, writes=True, atomic=True, target=lambda a: a.title[:60])
