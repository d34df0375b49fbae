"""Keeps a green branch: checks trunk, moves green to what passes, and asks for a fixup where trunk fails."""

import asyncio
from enum import StrEnum

from engine import events as e
from engine.agents.host import Host
from engine.events import Draft
from engine.protocols import Checker, WorkspaceLost
from engine.types import AgentId, AgentState, Check, CommitId, Task, TaskId, TaskKind, TaskSpec

FIXUPS = 3
"""Fixups in a row that may leave trunk red before the reconciler gives up."""
FIXUP_PRIORITY = 1_000
TITLE = "make the check pass again"


class Verdict(StrEnum):
    GREEN = "green"
    RED = "red"  # and nothing more will be tried
    REPAIRING = "repairing"  # a fixup is under way
    UNCHECKED = "unchecked"  # no check is configured


class Reconciler:
    """The one owner of the green ref."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._one_at_a_time = asyncio.Lock()

    async def reconcile(self) -> Verdict:
        """Check the newest trunk, unless its verdict is known, and act on it."""
        async with self._one_at_a_time:
            checker, snapshot = self.host.checker, self.host.snapshot
            if checker is None:
                return Verdict.UNCHECKED
            tip = await self.host.trunk.tip()
            check = snapshot.last_check
            if check is None or check.commit != tip or self._repaired_since(check):
                check = await self._checked(checker, tip)
                self.host.record(Draft(e.CheckFinished(check)))
            if check.passed:
                if snapshot.green != tip:
                    await self.host.trunk.move_green(tip)
                    self.host.record(Draft(e.GreenMoved(tip)))
                return Verdict.GREEN
            return self._repair(check)

    async def _checked(self, checker: Checker, tip: CommitId) -> Check:
        """The check of a commit; one that kills its own sandbox has failed, and the swarm goes on."""
        since = self.host.clock.monotonic()
        try:
            return await checker.check(tip)
        except WorkspaceLost as error:
            wall_s = self.host.clock.monotonic() - since
            return Check(self.host.clock.now(), tip, False, None, f"the check did not come to its end: {error}", wall_s)

    def _repaired_since(self, check: Check) -> bool:
        """Whether a fixup has ended since a failure: one that landed nothing says that the check was at fault."""
        if check.passed:
            return False
        fixups = (task for task in self.host.snapshot.tasks.values() if task.kind is TaskKind.FIXUP)
        return any((task.ended_at or 0) > check.at for task in fixups)

    def _repair(self, check: Check) -> Verdict:
        snapshot = self.host.snapshot
        fixups = [task for task in snapshot.tasks.values() if task.kind is TaskKind.FIXUP]
        if any(not task.ended for task in fixups):
            return Verdict.REPAIRING
        if sum(task.queued_at > (snapshot.green_at or 0) for task in fixups) >= FIXUPS:
            return Verdict.RED
        owner = self._owner(check)
        if owner is None:
            return Verdict.RED
        intent = snapshot.intent
        task = Task(
            id=TaskId(self.host.ids.new("t")),
            spec=TaskSpec(TITLE, _report(snapshot.check_command, check), priority=FIXUP_PRIORITY),
            planner=owner,
            intent=intent.version if intent else 0,
            kind=TaskKind.FIXUP,
            queued_at=self.host.clock.now(),
        )
        self.host.record(Draft(e.TaskQueued(task), owner, task.id))
        return Verdict.REPAIRING

    def _owner(self, check: Check) -> AgentId | None:
        """The planner that hears of the fixup: of the newest landing whose files the failure names, else of the
        newest landing at all, else the root."""
        snapshot = self.host.snapshot
        suspects = [landing for landing in reversed(snapshot.landings) if landing.commit is not None]
        if snapshot.green_at is not None:
            suspects = [landing for landing in suspects if landing.at > snapshot.green_at] or suspects[:1]
        named = [landing for landing in suspects if any(path in check.output for path in landing.paths)]
        for landing in [*named, *suspects]:
            planner = snapshot.agents.get(snapshot.tasks[landing.task].planner)
            if planner is not None and planner.state not in (AgentState.FAILED, AgentState.CANCELLED):
                return planner.id
        return snapshot.root


def _report(command: str, check: Check) -> str:
    outcome = "did not come to its end" if check.exit is None else f"ended with exit status {check.exit}"
    return f"`{command}` {outcome} on the newest trunk:\n\n```\n{check.output}\n```"
