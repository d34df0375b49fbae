"""A new agent below a planner: its place in the tree, its model, and what the repository tells it."""

from engine.agents.host import Host
from engine.agents.loop import Loop
from engine.agents.tool_context import AgentToolContext
from engine.domain.types import Agent, AgentId, AgentPath, AgentState, CommitId, Role, Task

NOTES = ("AGENTS.md", "CLAUDE.md")
"""Where a repository keeps its notes for agents; the first that exists counts."""


def spawned(host: Host, task: Task, role: Role) -> Agent:
    """A new agent value for an attempt, below the task's planner."""
    planner = host.snapshot.agents[task.planner]
    prefix = {Role.RESOLVER: "resolver", Role.RECONCILER: "fixup"}.get(role, "w")
    number = 1 + sum(host.snapshot.agents[id].role is role for id in host.snapshot.children.get(planner.id, ()))
    while (path := AgentPath(f"{planner.path}/{prefix}-{number}")) in host.snapshot.paths:
        number += 1  # a slice may have a title that reads like that
    return Agent(
        id=AgentId(host.ids.new("a")),
        path=path,
        parent=planner.id,
        role=role,
        model=host.snapshot.model_for(role, planner.id),
        title=task.spec.title,
        goal=task.spec.goal,
        scope=task.spec.scope,
        task=task.id,
        attempt=task.attempt + (role is not Role.RESOLVER),
        state=AgentState.STARTING,
        intent=task.intent,
        epoch=host.snapshot.epoch,
        spawned_at=host.clock.now(),
    )


async def task_loop(host: Host, context: AgentToolContext, role: Role, opening: str) -> Loop:
    """The loop of a new agent that works on a task, with its workspace open."""
    prompt = host.prompts[role]
    system = prompt.render(root=(await context.workspace()).root)
    return Loop(host, context, prompt, system, lambda: opening, host.settings.task.max_steps)


async def repository_notes(host: Host, commit: CommitId) -> str:
    """What the repository itself tells agents, cut at 16,000 characters."""
    for name in NOTES:
        content = await host.trunk.read_file(commit, name)
        if content:
            return content.decode("utf-8", "replace")[:16_000]
    return ""
