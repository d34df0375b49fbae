"""The survey of the base: whether the commit that a run starts from passes the check in a clean copy, and what agents'
commands find in one.

The check comes before the first model call. A passed one is kept for later runs on the same commit; a failed one is
not, because what made it fail is often repaired outside of the repository.
"""

import asyncio
from collections.abc import Callable, Coroutine

from msgspec.structs import replace

from engine.agents.markdown import bullets
from engine.agents.reconciler import OUTPUT_SHOWN, Reconciler
from engine.domain import events as e
from engine.domain import types as t
from engine.domain.environment import Environment
from engine.domain.events import Draft
from engine.policy.environment_lines import found_lines
from engine.ports.protocols import Output, WorkspaceLost
from engine.runtime.host import Host
from engine.runtime.inbox import message_to

Work = Callable[[], Coroutine[None, None, None]]
SURVEYING = "checking the base commit in a clean copy"
LOOK_S = 3.0
"""Seconds that the first model call waits for the look at the environment after the base is checked."""


class BaseSurvey:
    """Surveys the base once in a run, and runs the setup command in each process. `guarded` runs the look at the
    environment, so that an error there ends the run."""

    def __init__(
        self, host: Host, reconciler: Reconciler, guarded: Callable[[Work], Coroutine[None, None, None]]
    ) -> None:
        self._host = host
        self._reconciler = reconciler
        self._guarded = guarded
        self._checked = asyncio.Event()
        self._looking: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Survey the base unless that is done, and prepare workspaces with the setup command.

        The look at the environment runs beside the check; with a setup command it begins after that command. It begins
        again if the check has left builds, which agents will find, too. On a loaded machine the look takes long: after
        LOOK_S the run goes on, and planners are told later.
        """
        workspaces = self._host.workspaces
        if not workspaces.setup:
            self._looking = asyncio.ensure_future(self._guarded(self._look))
        if self._host.checker is not None or workspaces.setup:
            await self._check()
        if self._looking is None or workspaces.has_builds:
            await self.close()
            self._looking = asyncio.ensure_future(self._guarded(self._look))
        self._checked.set()
        await asyncio.wait([self._looking], timeout=LOOK_S)

    async def close(self) -> None:
        """End the look at the environment."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _check(self) -> None:
        host, snapshot = self._host, self._host.snapshot
        known = snapshot.base_survey
        if snapshot.root is not None or (known is not None and known.check.command == snapshot.check_command):
            await self._set_up_again()
        else:
            host.record(Draft(e.RunStateChanged(snapshot.state, SURVEYING)))
            await self._survey()

    async def _survey(self) -> None:
        host = self._host
        kept = host.surveys.kept() if host.surveys is not None else None
        made = await self._set_up(host.snapshot.base) if kept is not None or host.checker is None else None
        if made is not None and not made.passed:
            kept = None
        check = await self._reconciler.check_base(kept) or made
        assert check is not None
        advice: tuple[str, ...] = ()
        if host.surveys is not None:
            if not check.passed:
                advice = await host.surveys.advice(check)
            elif kept is None:
                host.surveys.keep(check)
        short = replace(check, output=check.output[-OUTPUT_SHOWN:])
        await host.durable(host.record(Draft(e.BaseSurveyed(t.BaseSurvey(short, advice, kept is not None)))))

    async def _look(self) -> None:
        """Look up what commands find, in copies as agents get them, unless an earlier process did on the same terms."""
        host, probe, known = self._host, self._host.environment, self._host.snapshot.environment
        if probe is None or (known is not None and known.conditions == probe.conditions):
            return
        intent = host.snapshot.intent
        found = await probe.look(host.snapshot.base, intent.text if intent is not None else "")
        await self._checked.wait()
        host.record(Draft(e.EnvironmentSurveyed(found)), *self._told_anew(found))

    def _told_anew(self, found: Environment) -> list[Draft]:
        """Messages for planners at work that have read otherwise, or nothing. The tasks of workers end soon."""
        known, lines = self._host.snapshot.environment, found_lines(found)
        if known is not None and found_lines(known) == lines:
            return []
        text = self._host.prompts["environment_changed"].render(lines=bullets(lines))
        planners = [each for each in self._host.snapshot.agents.values() if each.role is t.Role.PLANNER]
        return [message_to(self._host, each.id, t.MessageSource.SYSTEM, text) for each in planners if not each.ended]

    async def _set_up_again(self) -> None:
        """A new process has none of the layers of the one before."""
        made = await self._set_up(await self._host.trunk.tip())
        if made is not None and not made.passed:
            self._host.record(Draft(e.Warned(f"{made.outcome}, so workspaces start without what it makes")))

    async def _set_up(self, commit: t.CommitId) -> t.Check | None:
        """Run the setup command; its result in the shape of a check. None if there is nothing to do."""
        workspaces, clock = self._host.workspaces, self._host.clock
        try:
            output = await workspaces.set_up(commit)
        except WorkspaceLost as error:
            output = Output(None, f"it did not finish: {error}", 0, "", "", 0.0)
        if output is None:
            return None
        passed = output.exit == 0
        setup = "" if passed else workspaces.setup
        return t.Check(clock.now(), commit, passed, output.exit, output.text, output.wall_s, clean=True, setup=setup)


def base_fails(check: t.Check) -> str:
    """What a person is told about a base that fails, in one line."""
    return f"the check fails in a clean copy: {check.outcome}"


def about_the_base(host: Host, root: t.AgentId) -> tuple[Draft, ...]:
    """What the root planner is told of a survey that failed."""
    survey = host.snapshot.base_survey
    if survey is None or survey.check.passed:
        return ()
    text = host.prompts["check_red_base"].render(outcome=survey.check.outcome, output=survey.check.output)
    return (message_to(host, root, t.MessageSource.CHECK, text),)
