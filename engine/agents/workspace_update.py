"""Brings an agent's workspace to the newest trunk before it hands off, merged as a landing would be."""

from engine.agents.conflicts import conflict, hand_back
from engine.agents.landed_meanwhile import SHOWN, landed_between, listed
from engine.domain.events import Draft, WorkspaceUpdated
from engine.domain.types import Agent, LandingState
from engine.ports.protocols import Workspace
from engine.runtime.host import Host

UP_TO_DATE = "your copy is the newest project: nothing has landed since it was made or last updated"


async def update(host: Host, agent: Agent, workspace: Workspace) -> WorkspaceUpdated | str:
    """Merge the newest trunk into the workspace. Returns what was recorded of it, or why it was not done.

    The record is on disk before the workspace changes. A process that dies after that leaves a workspace that is as
    it was, or that the next process brings to the new base.
    """
    since = workspace.base
    if await host.trunk.tip() == since:
        return UP_TO_DATE
    result = await host.trunk.merge(await workspace.commit(agent.title))
    if result.state is LandingState.REFUSED:
        return f"not updated: {result.reason}"
    found = WorkspaceUpdated(since, result.base, result.conflicts, result.reason)
    await host.durable(host.record(Draft(found, agent.id, agent.task)))
    await hand_back(host, workspace, result)
    return found


async def updated(host: Host, workspace: Workspace, found: WorkspaceUpdated) -> str:
    """What the agent is told of an update: what came in, first in the files that it has changed."""
    own = await workspace.changed()
    landed = await landed_between(host, found.since, found.base, workspace)
    theirs, others = ([each for each in landed if each.touches(own) is touches] for touches in (True, False))
    head = (await workspace.shown(found.base))[:SHOWN]
    parts = [f"updated: your copy is now the newest project ({head}) with your change merged in"]
    if found.conflicts:
        parts.append(await conflict(host, workspace, found))
    if theirs:
        parts.append(f"Landed in files that you changed:\n{listed(theirs, own)}")
    if others:
        parts.append(f"Landed elsewhere:\n{listed(others, ())}")
    return "\n\n".join(parts)
