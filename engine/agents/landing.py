"""Lands an agent's change on trunk, and brings conflicts back into its workspace. Every role with a task uses it."""

import asyncio
from collections.abc import Iterable

from msgspec.structs import replace

from engine.agents.markdown import bullets
from engine.agents.tool_context import AgentToolContext
from engine.domain import events as e
from engine.domain.commit_message import commit_message
from engine.domain.events import Draft
from engine.domain.types import AgentId, CommitId, HandoffText, Landing, LandingId, LandingState, Task
from engine.policy.left_out import left_out_lines
from engine.ports.protocols import LandResult, Workspace, WorkspaceError
from engine.runtime.host import Host
from engine.runtime.recorder import RunRecorder

MARKER = b"<<<<<<< trunk"
YOURS = ".swarm/yours"
"""Folder in a workspace for the agent's version of conflicting files that cannot hold markers; it never lands."""
NO_CHANGE = "no change: your copy has nothing that is new to trunk, so nothing landed"
DETAILS = 2_000
"""Characters kept of what git says about a conflict."""


async def offer(host: Host, task: Task, context: AgentToolContext, text: HandoffText) -> LandResult:
    """Offer the change in the agent's workspace to trunk. The landing's start is in the journal before trunk moves.

    A successful landing is not recorded here but together with the handoff, atomically. The change of a task that
    has ended in the meantime is refused, and nothing is recorded.
    """
    workspace = context.opened
    change = context.commit if workspace is None else await workspace.commit(task.spec.title)
    if host.snapshot.tasks[task.id].ended:  # cancelled while its workspace was read
        return LandResult(LandingState.REFUSED, base=context.commit, reason="the task has ended")
    if workspace is not None and (left_out := left_out_lines(workspace.left_out)):
        text = with_deviation(text, f"Left out of the commit: {'; '.join(left_out)}")
    landing = LandingId(host.ids.new("l"))
    owner = task.agent or context.agent.id
    await host.durable(host.record(Draft(e.LandingStarted(landing, change, text), owner, task.id)))
    if task.attempt > 1 and (earlier := await host.trunk.find_landed(task.id)) is not None:
        # A git process of a killed engine may have moved trunk after recovery looked: never land a task twice.
        result = LandResult(LandingState.MERGED, base=context.commit, commit=earlier)
    elif workspace is None:
        result = LandResult(LandingState.EMPTY, base=context.commit)
    else:
        result = await host.trunk.land(change, message(host, task, text))
    if result.state in (LandingState.CONFLICTED, LandingState.REFUSED):
        host.record(Draft(e.LandingFinished(landing_of(host, landing, task, owner, result)), owner, task.id))
        if workspace is not None and result.merged is not None:
            await _hand_back(workspace, result.merged, result)
    return result


async def _hand_back(workspace: Workspace, merged: CommitId, result: LandResult) -> None:
    """Put both sides into the workspace. A file that cannot hold both keeps trunk's; the agent's goes into YOURS."""
    mine = {path: content for path in result.conflicts if (content := await _content(workspace, path)) is not None}
    await workspace.advance(merged, result.base)
    marked = await still_marked(workspace, mine)
    for path, content in mine.items():
        if path not in marked:
            await workspace.write_file(f"{YOURS}/{path}", content)


async def _content(workspace: Workspace, path: str) -> bytes | None:
    try:
        return await workspace.read_file(path)
    except WorkspaceError:
        return None


def conflict(host: Host, result: LandResult) -> str:
    """What an agent is told about the conflict in its workspace."""
    return host.prompts["conflict"].render(
        paths=bullets(result.conflicts), yours=YOURS, details=result.reason[:DETAILS] or "(nothing)"
    )


async def land(host: Host, task: Task, context: AgentToolContext, text: HandoffText) -> LandResult:
    """Offer the change in a way that cancellation cannot stop halfway.

    A cancellation takes effect afterwards, and not at all if the change has landed.
    """
    landing_task = asyncio.ensure_future(offer(host, task, context, text))
    cancelled: asyncio.CancelledError | None = None
    while not landing_task.done():
        try:
            await asyncio.shield(landing_task)
        except asyncio.CancelledError as error:
            cancelled = error
    result = landing_task.result()
    if cancelled is None:
        return result
    if result.state in (LandingState.CONFLICTED, LandingState.REFUSED):
        raise cancelled
    if (me := asyncio.current_task()) is not None:
        me.uncancel()
    return result


def message(host: Host, task: Task, text: HandoffText) -> str:
    """The message of the landed commit; its trailers name the task, agent and intent in the journal."""
    agent = host.snapshot.agents[task.agent].path if task.agent else ""
    return commit_message(
        task.spec.title,
        text.summary,
        {"Swarm-Task": task.id, "Swarm-Agent": agent, "Swarm-Intent": str(task.intent)},
    )


async def still_marked(workspace: Workspace | None, paths: Iterable[str]) -> list[str]:
    """The paths whose files still hold conflict markers."""
    if workspace is None:
        return []
    marked = []
    for path in paths:
        try:
            if any(line.startswith(MARKER) for line in (await workspace.read_file(path)).splitlines()):
                marked.append(path)
        except WorkspaceError:
            continue  # deleted, or not a file any more: that resolves the conflict
    return marked


def with_deviation(text: HandoffText, found: str) -> HandoffText:
    """The handoff with what the engine found out about its change, after what the agent says of it."""
    return replace(text, deviations=f"{text.deviations}\n\n{found}" if text.deviations.strip() else found)


def landing_of(run: RunRecorder, id: LandingId, task: Task, owner: AgentId, result: LandResult) -> Landing:
    """The record of a finished landing. One that merges after a conflict counts as resolved."""
    state = result.state
    if state is LandingState.MERGED and run.snapshot.tasks[task.id].conflicts:
        state = LandingState.RESOLVED
    return Landing(
        id=id,
        at=run.clock.now(),
        task=task.id,
        agent=owner,
        state=state,
        base=result.base,
        commit=result.commit,
        paths=result.paths,
        conflicts=result.conflicts,
        reason=result.reason,
        large=result.large,
    )
