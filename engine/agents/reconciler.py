"""The reconciler: checks trunk, moves green to commits that pass, finds what broke the check, and queues fixups."""

import asyncio

from msgspec.structs import replace

from engine.agents.markdown import bullets
from engine.domain import events as e
from engine.domain import types as t
from engine.domain.events import Draft
from engine.policy.bisection import trace
from engine.policy.clean_checks import is_clean_due, is_conclusive, last_clean
from engine.policy.run_end import Verdict
from engine.ports.protocols import Checker, WorkspaceLost
from engine.runtime.host import Host
from engine.runtime.inbox import message_to

LANDINGS_PER_FIXUP = 20
"""Landings that allow one more fixup than the settings do, while trunk stays red."""
FIXUP_PRIORITY = 1_000
FIXUP_TITLE = "make the check pass again"
OUTPUT_SHOWN = 6_000
"""Characters of a failed check's output, its end, that a planner gets."""


class Reconciler:
    """The only owner of the green ref. Green moves only to commits that passed a check from nothing, on disk."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._one_at_a_time = asyncio.Lock()

    async def check_base(self, kept: t.Check | None) -> t.Check | None:
        """Check the commit that the run starts from, from nothing, or record a check that was kept. None: no check."""
        checker, base = self._host.checker, self._host.snapshot.base
        if checker is None:
            return None
        async with self._one_at_a_time:
            if kept is None:
                return await self._check(checker, base, t.CheckPurpose.SNAPSHOT, clean=True)
            await self._host.durable(self._host.record(Draft(e.CheckFinished(kept))))
            return kept

    async def reconcile(self, *, last: bool = False) -> Verdict:
        """Check the newest trunk, unless the result is known, and act on it. `last`: the planners are done."""
        async with self._one_at_a_time:
            checker, snapshot = self._host.checker, self._host.snapshot
            if checker is None:
                return Verdict.UNCHECKED
            tip = await self._host.trunk.tip()
            check = snapshot.last_check
            known = check is not None and self._is_valid(check, tip, checker.command)
            if check is None or not known:
                changed = await self._changed_since_clean(checker)
                clean = last or is_clean_due(snapshot, checker.command, changed, self._host.settings.build.setup)
                check = await self._check(checker, tip, t.CheckPurpose.SNAPSHOT, clean=clean)
            reproduced = not check.clean and not check.passed
            if not check.clean and (last or not is_conclusive(check, last_clean(snapshot, checker.command))):
                check = await self._check(checker, tip, t.CheckPurpose.SNAPSHOT, clean=True, after=check)
            if check.passed:
                if check.clean:
                    await self._move_green(tip)
                return Verdict.GREEN
            if snapshot.green is not None and snapshot.green_check != checker.command:
                await self._host.trunk.take_back_green()
                self._host.record(Draft(e.GreenMoved(None)))
            if tip == snapshot.base and not known:  # only once: it would wake a planner that is done again and again
                self._tell(snapshot.root, "check_red_base", check)
            if any(not task.ended for task in self._fixups()):
                return Verdict.REPAIRING
            if snapshot.green is None and not last:
                return Verdict.RED  # never green so far: that is the planners' work until they are done
            return await self._repair(checker, check, clean=not reproduced)

    # --- checks ----------------------------------------------------------------------------------------------

    async def _check(
        self,
        checker: Checker,
        commit: t.CommitId,
        purpose: t.CheckPurpose,
        *,
        clean: bool,
        after: t.Check | None = None,
    ) -> t.Check:
        """Run the check and record it. A check that kills its own sandbox has failed.

        `after` is a check of the same commit on earlier builds. If this one, from nothing, comes out otherwise, those
        builds are not to be trusted, and all of them are discarded.
        """
        since = self._host.clock.monotonic()
        try:
            check = await checker.check(commit, clean=clean)
        except WorkspaceLost as error:
            wall_s = self._host.clock.monotonic() - since
            reason = f"the check did not finish: {error}"
            check = t.Check(self._host.clock.now(), commit, False, None, reason, wall_s, clean=clean)
        overrules = after is not None and after.passed != check.passed
        check = replace(check, purpose=purpose, overrules=overrules, command=checker.command)
        if overrules:
            await checker.discard_builds()
        await self._host.durable(self._host.record(Draft(e.CheckFinished(check))))
        return check

    def _is_valid(self, check: t.Check, commit: t.CommitId, command: str) -> bool:
        """Whether a check tells about this commit: it is of the same commit and command, and not to be repeated."""
        return check.commit == commit and check.command == command and not self._repaired_since(check)

    async def _changed_since_clean(self, checker: Checker) -> set[str] | None:
        """The paths that landed since the last check from nothing; None if they are not known."""
        last = last_clean(self._host.snapshot, checker.command)
        if last is None:
            return None
        landed = set(await self._host.trunk.landed_since(last.commit))
        known = {landing.commit: landing.paths for landing in self._host.snapshot.landings if landing.commit in landed}
        return {path for paths in known.values() for path in paths} if len(known) == len(landed) else None

    async def _move_green(self, commit: t.CommitId) -> None:
        if self._host.snapshot.green != commit:
            await self._host.trunk.move_green(commit)
            self._host.record(Draft(e.GreenMoved(commit)))

    def _repaired_since(self, check: t.Check) -> bool:
        """Whether a fixup has ended since a failed check. If it landed nothing, the check itself may be flaky."""
        return not check.passed and any((task.ended_at or 0) > check.at for task in self._fixups())

    def _fixups(self) -> list[t.Task]:
        return [task for task in self._host.snapshot.tasks.values() if task.kind is t.TaskKind.FIXUP]

    # --- repairs ---------------------------------------------------------------------------------------------

    async def _repair(self, checker: Checker, check: t.Check, *, clean: bool) -> Verdict:
        snapshot = self._host.snapshot
        since = snapshot.green_at or 0
        made = sum(task.queued_at > since for task in self._fixups())
        landings = sum(at > since for at in snapshot.landed_times)
        if made >= self._host.settings.repo.fixups + landings // LANDINGS_PER_FIXUP:
            return self._give_up(check, made)
        broken = await self._trace(checker, check, clean=clean)
        owner = self._owner(check, broken)
        if owner is None:
            return Verdict.RED
        intent = snapshot.intent
        task = t.Task(
            id=t.TaskId(self._host.ids.new("t")),
            spec=t.TaskSpec(FIXUP_TITLE, self._report(check, broken), priority=FIXUP_PRIORITY),
            planner=owner,
            intent=intent.version if intent else 0,
            kind=t.TaskKind.FIXUP,
            queued_at=self._host.clock.now(),
        )
        drafts = [Draft(e.BreakTraced(broken), owner)] if broken else []
        self._host.record(*drafts, Draft(e.TaskQueued(task), owner, task.id))
        return Verdict.REPAIRING

    def _give_up(self, check: t.Check, fixups: int) -> Verdict:
        """Fixups have not repaired trunk: leave it to the planners, who are told once."""
        snapshot = self._host.snapshot
        if snapshot.given_up or not fixups or snapshot.root is None:
            return Verdict.RED
        self._host.record(Draft(e.FixupsExhausted(check.commit, fixups)))
        owner = self._owner(check, snapshot.broken)
        for planner in dict.fromkeys((snapshot.root, owner)):
            self._tell(planner, "check_stays_red", check)
        return Verdict.REPAIRING

    async def _trace(self, checker: Checker, check: t.Check, *, clean: bool) -> t.Break | None:
        """Find the landing that broke trunk; green moves to commits that pass on the way. None: nothing was green.

        `clean`: with checks from nothing, because those on earlier builds may not fail.
        """
        snapshot = self._host.snapshot
        if snapshot.green is None:
            return None
        commits = await self._host.trunk.landed_since(snapshot.green)
        if check.commit not in commits:
            return None
        commits = commits[: commits.index(check.commit) + 1]
        if not clean:  # green may be far behind the newest commit that passed on earlier builds
            passed = {mark.commit: mark.passed for mark in snapshot.marks}
            commits = commits[max((at for at, commit in enumerate(commits, 1) if passed.get(commit)), default=0) :]

        async def passes(commit: t.CommitId) -> bool:
            made = await self._check(checker, commit, t.CheckPurpose.BISECT, clean=clean)
            if made.passed and made.clean:
                await self._move_green(commit)
            return made.passed

        repaired = {task.commit for task in self._fixups() if task.commit}
        suspects, checks = await trace(commits, passes, self._host.settings.repo.bisect_checks, repaired)
        landed = {task.commit: task.id for task in snapshot.tasks.values() if task.commit}
        tasks = tuple(landed[commit] for commit in suspects if commit in landed)
        return t.Break(self._host.clock.now(), check.commit, suspects, tasks, checks)

    def _owner(self, check: t.Check, broken: t.Break | None) -> t.AgentId | None:
        """The planner that gets the fixup's handoff: that of the newest suspect whose files the failure names, else of
        the newest suspect, else the root."""
        snapshot = self._host.snapshot
        landings = [landing for landing in reversed(snapshot.landings) if landing.commit is not None]
        if broken is not None:
            landings = [landing for landing in landings if landing.commit in broken.suspects]
        elif snapshot.green_at is not None:
            landings = [landing for landing in landings if landing.at > snapshot.green_at] or landings[:1]
        named = [landing for landing in landings if any(path in check.output for path in landing.paths)]
        for landing in [*named, *landings]:
            planner = snapshot.agents.get(snapshot.tasks[landing.task].planner)
            if planner is not None and not planner.gone:
                return planner.id
        return snapshot.root

    # --- texts -----------------------------------------------------------------------------------------------

    def _report(self, check: t.Check, broken: t.Break | None) -> str:
        report = f"{check.outcome} on the newest trunk:\n\n```\n{check.output}\n```"
        if broken is None or not broken.tasks:
            return report
        tasks = [self._host.snapshot.tasks[id] for id in broken.tasks]
        lines = bullets(f"{task.commit}: {task.spec.title}" for task in tasks if task.state is t.TaskState.LANDED)
        one = len(broken.suspects) == 1
        return f"{report}\n\n{'It broke with this change' if one else 'One of these changes broke it'}:\n\n{lines}"

    def _tell(self, planner: t.AgentId | None, prompt: str, check: t.Check) -> None:
        if planner is None:
            return
        text = self._host.prompts[prompt].render(outcome=check.outcome, output=check.output[-OUTPUT_SHOWN:])
        self._host.record(message_to(self._host, planner, t.MessageSource.CHECK, text))
