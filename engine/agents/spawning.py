"""Sets up new agents for tasks: their place in the tree, their model, their loop, and the repository's notes."""

from collections.abc import Callable

from engine.agents.conversation_log import Conversation
from engine.agents.loop import Loop
from engine.agents.tool_context import AgentToolContext
from engine.domain.os_text import output_text
from engine.domain.types import Agent, AgentId, AgentPath, AgentState, CommitId, Intent, Role, Task
from engine.runtime.host import Host
from engine.state.retired import Retired

NOTES = ("AGENTS.md", "CLAUDE.md")
"""Files with a repository's notes for agents; the first one that exists is used."""
NOTES_MOST = 16_000
"""Characters of the notes that agents get."""
INTENT_FILE = "INTENT.md"
"""Where a repository usually keeps the intent, unless `watch_intent` names another file."""


def spawned(host: Host, task: Task, role: Role) -> Agent:
    """A new agent for a task, below the task's planner."""
    agents = host.snapshot.agents
    planner = agents[task.planner]
    prefix = {Role.RESOLVER: "resolver", Role.RECONCILER: "fixup"}.get(role, "w")
    retired = host.snapshot.retired.get(planner.id, Retired()).children.get(role, 0)
    number = 1 + retired + sum(agents[id].role is role for id in host.snapshot.children.get(planner.id, ()))
    while (path := AgentPath(f"{planner.path}/{prefix}-{number}")) in host.snapshot.paths:
        number += 1  # a subplanner's title may produce the same path
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


async def task_loop(
    host: Host,
    context: AgentToolContext,
    role: Role,
    opening: Callable[[], str],
    conversation: Conversation | None = None,
) -> Loop:
    """The loop of an agent for a task, whose `opening` reads as the task does now. Opens its workspace."""
    prompt = host.prompts[role]
    system = prompt.render(root=(await context.workspace()).root)
    return Loop(host, context, prompt, system, opening, host.settings.task.max_steps, conversation)


async def repository_notes(host: Host, commit: CommitId) -> str:
    """The repository's own notes for agents; empty if it has none."""
    for name in NOTES:
        content = await host.trunk.read_file(commit, name)
        if content:
            return output_text(content)[:NOTES_MOST]
    return ""


async def intent_file(host: Host, commit: CommitId, intent: Intent) -> str:
    """What a planner should know about the intent's file, which workers can read; empty if the repository has none."""
    name = host.settings.swarm.watch_intent or INTENT_FILE
    content = await host.trunk.read_file(commit, name)
    if not content:
        return ""
    if output_text(content).split() == intent.text.split():
        return f"(Workers can read this text in {name}.)"
    return f"(Workers can read {name} in the repository, but its text differs from this one.)"
