"""Lands an agent's change on trunk. Every role with a task uses it."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial

from msgspec import structs

from engine.agents.conflicts import hand_back
from engine.agents.landed_meanwhile import SHOWN, landed_between, listed
from engine.agents.new_dependencies import with_dependencies
from engine.agents.tool_context import AgentToolContext
from engine.domain import events as e
from engine.domain.commit_message import commit_message
from engine.domain.errors import SwarmError
from engine.domain.events import Draft
from engine.domain.patch import parse_patch
from engine.domain.types import AgentId, CommitId, HandoffText, Landing, LandingId, LandingState, Task
from engine.policy.left_out import left_out_lines
from engine.ports.protocols import LandResult
from engine.runtime.host import Host
from engine.runtime.recorder import RunRecorder

APART_FROM = 32
"""The most changes that a landing is compared with so that it need not wait."""
NO_CHANGE = "no change: your copy has nothing that is new to trunk, so nothing landed"


class Offer:
    """One change that an agent offers to trunk.

    A successful landing is not recorded here but together with the handoff, atomically. The change of a task that
    has ended in the meantime is refused, and nothing is recorded.
    """

    def __init__(self, host: Host, task: Task, context: AgentToolContext, text: HandoffText) -> None:
        self.host, self.task, self.context, self.text = host, task, context, text
        self.owner = task.agent or context.agent.id
        self.id = LandingId(host.ids.new("l"))
        self.change = context.commit
        self.paths: tuple[str, ...] = ()
        self.meanwhile = ""
        """What landed meanwhile in the files of a change that has landed."""

    async def start(self) -> LandResult | None:
        """Record the landing's start, which is in the journal before trunk moves, and merge; None: it has to wait."""
        workspace = self.context.opened
        if workspace is not None:
            self.change = await workspace.commit(self.task.spec.title)
        if self.host.snapshot.tasks[self.task.id].ended:  # cancelled while its workspace was read
            return LandResult(LandingState.REFUSED, base=self.context.commit, reason="the task has ended")
        if workspace is not None and (left_out := left_out_lines(workspace.left_out)):
            self.text = with_deviation(self.text, f"Left out of the commit: {'; '.join(left_out)}")
        started = e.LandingStarted(self.id, self.change, self.text)
        await self.host.durable(self.host.record(Draft(started, self.owner, self.task.id)))
        older = self.task.attempt > 1 or self.host.snapshot.agents[self.owner].epoch < self.host.snapshot.epoch
        if older and (earlier := await self.host.trunk.find_landed(self.task.id)):
            # A git process of a killed engine may have moved trunk after recovery looked: never land a task twice.
            return await found_on_trunk(self.host, self.context.commit, earlier[self.task.id])
        if workspace is None:
            return LandResult(LandingState.EMPTY, base=self.context.commit)
        if self.host.snapshot.claims:
            self.paths = await self.host.trunk.paths_of(self.change)
            if not await self._is_apart():
                return None
        return await self.merge()

    async def merge(self) -> LandResult | None:
        """Merge onto the newest trunk. None if the change conflicts, and others have precedence: it has to wait."""
        workspace = self.context.opened
        assert workspace is not None
        result = await self.host.trunk.land(self.change, message(self.host, self.task, self.text))
        result = structs.replace(result, since=workspace.base)
        if result.state is LandingState.REFUSED:
            return self._refused(result)
        if result.state is not LandingState.CONFLICTED:
            with suppress(SwarmError, OSError):  # the change has landed, and that must be recorded
                if result.overlapping:
                    landed = await landed_between(self.host, workspace.base, result.base)
                    self.meanwhile = listed([each for each in landed if each.touches(result.paths)], result.paths)
            return await with_dependencies(self.host, result)
        precedence = self.host.landing_turns.conflict(self.task.id, result.conflicts, result.merged)
        if precedence is None:
            self.paths = await self.host.trunk.paths_of(self.change)
            return None
        # On disk first: a process that continues with the markers in the workspace must know of them.
        await self.host.durable(self.host.record(precedence, self._finished(result)))
        await hand_back(self.host, workspace, result)
        return result

    def landed(self, result: LandResult, state: LandingState) -> str:
        """What the agent is told of a landing that has succeeded."""
        more = f"\nLanded meanwhile in files that you changed:\n{self.meanwhile}" if self.meanwhile else ""
        return f"{landed_answer(result, state)}{more}"

    async def _is_apart(self) -> bool:
        """Whether the change disturbs nobody who has precedence: not the same paths, or surely other lines of them."""
        disputed = self.host.landing_turns.disputed(self.task.id, self.paths)
        if len(disputed) > APART_FROM:
            return False
        for commit in disputed:
            if commit is None or not await self.host.trunk.is_apart(self.change, commit):
                return False
        return True

    async def wait(self) -> LandResult | None:
        """Wait for its turn; the result says why, if it does not land after all."""
        if await self.host.landing_turns.wait(self.task.id, self.context.agent.id, self.paths):
            return None
        reason = "a message arrived while the landing waited for its turn: read it first"
        return self._refused(LandResult(LandingState.REFUSED, base=self.context.commit, reason=reason))

    def _refused(self, result: LandResult) -> LandResult:
        self.host.record(self._finished(result))
        return result

    def _finished(self, result: LandResult) -> Draft:
        landing = landing_of(self.host, self.id, self.task, self.owner, result)
        return Draft(e.LandingFinished(landing), self.owner, self.task.id)


async def found_on_trunk(host: Host, base: CommitId, commit: CommitId) -> LandResult:
    """The landing of a commit that an earlier process brought onto trunk without recording it."""
    files = parse_patch(await host.trunk.diff(CommitId(f"{commit}^"), commit)).files
    return LandResult(
        LandingState.MERGED,
        base=base,
        commit=commit,
        paths=tuple(sorted({path for file in files for path in (file.old_path, file.new_path) if path})),
        added=sum(file.added for file in files),
        removed=sum(file.removed for file in files),
    )


async def land(
    host: Host, task: Task, context: AgentToolContext, text: HandoffText
) -> tuple[LandResult, Callable[[LandingState], str]]:
    """Land the change in the agent's workspace, when it is its turn. Returns also what the agent is told of success.

    A cancellation ends the waiting at once, but does not stop a merge halfway: it takes effect afterwards, and not at
    all if the change has landed.
    """
    offer = Offer(host, task, context, text)
    result = await _to_its_end(offer.start())
    while result is None:
        result = await offer.wait() or await _to_its_end(offer.merge())
    return result, partial(offer.landed, result)


def landed_answer(result: LandResult, state: LandingState) -> str:
    """The first line of what an agent is told of its change that has landed."""
    if result.commit is None:
        return NO_CHANGE
    count = len(result.paths)
    files = f", {count} file{'' if count == 1 else 's'}, commit {result.commit[:SHOWN]}" if count else ""
    return f"landed: {state}{files}"


async def _to_its_end(work: Coroutine[None, None, LandResult | None]) -> LandResult | None:
    merging = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not merging.done():
        try:
            await asyncio.shield(merging)
        except asyncio.CancelledError as error:
            cancelled = error
    result = merging.result()
    if cancelled is None:
        return result
    if result is None or result.state in (LandingState.CONFLICTED, LandingState.REFUSED):
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


def with_deviation(text: HandoffText, found: str) -> HandoffText:
    """The handoff with what the engine found out about its change, after what the agent says of it."""
    return structs.replace(text, deviations=f"{text.deviations}\n\n{found}" if text.deviations.strip() else found)


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
        added=result.added,
        removed=result.removed,
        since=result.since,
        dependencies=result.dependencies,
    )
