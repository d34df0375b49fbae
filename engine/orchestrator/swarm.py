"""The running swarm: the work of one process on one run, from its start to its outcome."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

import msgspec

from engine.domain import commands as c
from engine.domain import events as e
from engine.domain import types as t
from engine.domain.errors import ErrorKind, ExitStatus, ModelError, SwarmError
from engine.domain.events import Draft, Event
from engine.orchestrator import recovery
from engine.orchestrator.answers import AwaitedAnswers
from engine.orchestrator.base_survey import BaseSurvey, base_fails
from engine.orchestrator.check_schedule import CheckSchedule
from engine.orchestrator.command_handler import drafts_for
from engine.orchestrator.pathology_monitor import PathologyMonitor
from engine.orchestrator.publisher import Publisher
from engine.orchestrator.reactions import reactions
from engine.orchestrator.sampler import Sampler
from engine.orchestrator.supervisor import Supervisor
from engine.policy import run_end
from engine.policy.run_end import Outcome, Verdict
from engine.runtime.host import Host
from engine.runtime.pauses import ACTIVE
from engine.state.recalled import landed_by

T = TypeVar("T")
DRAIN_S = 10.0
"""Seconds that agents have to reach a safe point when the run stops."""


class Swarm:
    """Starts agents, carries out commands and ends the run. All of it lives on one event loop.

    `attended`: a person decides whether to go on if the base fails the check, and answers questions. `run` may be
    called once; `submit` takes commands in the meantime. `record` is the one way to change the state, `on_change`
    registers a listener to all events, `watch` streams one agent's text.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.snapshot, self.settings, self.clock = host.snapshot, host.settings, host.clock
        self.record, self.durable, self.on_change = host.record, host.durable, host.on_event
        self.watch = host.live.watch
        self._after_crash = not host.snapshot.ended
        self._wake = asyncio.Event()
        self._outcome: Outcome | None = None
        self._error: BaseException | None = None

        self.supervisor = Supervisor(host, self.fail, self._wake.set)
        self._pathologies = PathologyMonitor(host, self._wake.set)
        self._checks = CheckSchedule(host)
        self._base_survey = BaseSurvey(host, self._checks.reconciler, self.supervisor.guarded)
        self.publisher = Publisher(host)
        self._answers = AwaitedAnswers(host)
        self._sampler = Sampler(host, self._wake.set)
        self.reactions = reactions(
            host, self.supervisor, self._pathologies, self._checks, self.publisher, look_again=self._wake.set
        )
        self.on_change(self._react)

    @property
    def attended(self) -> bool:
        return self.host.attended

    @attended.setter
    def attended(self, attended: bool) -> None:
        self.host.attended = attended
        self._wake.set()

    def _react(self, event: Event) -> None:
        for reaction in self.reactions[type(event.body)]:
            reaction(event, event.body)

    # --- what a person may do --------------------------------------------------------------------------------

    async def submit(self, command: c.Command) -> None:
        """Carry out a command. Returns once it is on disk. Raises SwarmError if it cannot be done."""
        command = _bounded(command)
        match command:
            case c.Cancel(path=t.ROOT, reason=reason) if self.snapshot.root is None:
                self.stop(Outcome(t.RunState.FINISHED, ExitStatus.STOPPED, reason))
                return
            case c.Stop(reason=reason) | c.Cancel(path=t.ROOT, reason=reason):
                self.stop(Outcome(t.RunState.STOPPED, ExitStatus.STOPPED, reason))
                return
            case c.SetModel(model=model):
                await self.host.models.prepare([model])
                self.host.models.check(model)
        if drafts := drafts_for(self.host, command):
            self.record(*drafts)
            await self.host.freezer.settle()
        self.host.pauses.settle()
        await self.durable(self.snapshot.seq)

    async def diff(self, agent: t.AgentId) -> str:
        """The agent's change as it is now, or as it has landed; empty if there is none."""
        if (workspace := self.supervisor.workspace(agent)) is not None:
            return self.host.mask.text(await workspace.diff())
        return await self.landed_diff(await landed_by(self.snapshot, agent, self.host.journal.agent_events))

    async def landed_diff(self, commit: t.CommitId | None) -> str:
        return self.host.mask.text(await self.host.trunk.diff(t.CommitId(f"{commit}^"), commit)) if commit else ""

    def stop(self, outcome: Outcome) -> None:
        """End this process's work on the run. Only the first outcome counts."""
        if self._outcome is None:
            self._outcome = outcome
            self.host.pauses.ending = True
            self.host.landing_turns.look_again()
            self._wake.set()

    def fail(self, error: BaseException) -> None:
        """End the run because the program or its provider cannot continue; `run` raises the error."""
        if isinstance(error, ModelError):
            hint = "check the key and the model's name; `swarm-tui doctor` shows what is set"
            error = SwarmError(ErrorKind.PROVIDER, error.message, hint, ExitStatus.REFUSED)
        self._error = self._error or error
        status = error.status if isinstance(error, SwarmError) else ExitStatus.NOT_GREEN
        self.stop(Outcome(t.RunState.FAILED, status, str(error)))

    # --- the run ---------------------------------------------------------------------------------------------

    async def run(self) -> Outcome:
        """Work until the run is finished, stopped or failed. Raises SwarmError if the program cannot continue."""
        helpers = [
            asyncio.create_task(self.supervisor.guarded(helper.run), name=type(helper).__name__)
            for helper in (self._sampler, self._checks, self.publisher)
        ]
        try:
            await recovery.recover(self.host, self._after_crash)
            await self._survey_base()
            while self._outcome is None:
                await self._step()
        except Exception as error:
            self.fail(error)
        finally:
            await self._end(helpers)
        if self._error is not None:
            raise self._error
        assert self._outcome is not None
        return self._outcome

    async def _survey_base(self) -> None:
        """Survey the commit to start from, before any model is asked. If it fails, decide whether to go on."""
        await self._meanwhile(self._base_survey.run(), self._stop_if_spent)
        survey, begun = self.snapshot.base_survey, self.snapshot.root is not None
        if begun or survey is None or survey.check.passed or self._outcome is not None:
            return
        if self.settings.repo.require_green_base:
            self.stop(Outcome(t.RunState.FINISHED, ExitStatus.NOT_GREEN, base_fails(survey.check)))
        elif self.attended and self.snapshot.state is t.RunState.RUNNING:
            self.record(Draft(e.RunStateChanged(t.RunState.PAUSED, base_fails(survey.check))))

    async def _step(self) -> None:
        """Check everything once: enforce the budget, report findings, start what can start, conclude. Then wait."""
        self.host.budget.look()
        self._pathologies.report()
        self._answers.look()
        self.supervisor.start_all()
        self.host.pauses.settle()
        await self._conclude()
        if self._outcome is None:
            await self._wait()

    async def _wait(self) -> None:
        """Wait for a reason to check everything again: a reaction to an event, or the end of a backoff."""
        now = self.clock.now()
        later = min(
            (at for at in (self.supervisor.next_start(now), self._answers.due()) if at is not None), default=None
        )
        timeout = (later - now) / 1_000_000 if later is not None else None
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    # --- the end ---------------------------------------------------------------------------------------------

    async def _conclude(self) -> None:
        """End the run if it is done and a last check has passed or failed, or if the budget lets nobody continue."""
        if run_end.is_done(self.snapshot, self.supervisor.activity):
            if (failed := run_end.root_failed(self.snapshot)) is not None:
                self.stop(failed)
                return
            verdict = await self._last_verdict()
            done = run_end.is_done(self.snapshot, self.supervisor.activity)
            if done and verdict not in (None, Verdict.REPAIRING):
                self.stop(run_end.finished(self.snapshot, verdict))
        self._stop_if_spent()

    def _stop_if_spent(self) -> None:
        self.host.budget.look()
        spent = run_end.out_of_budget(
            self.snapshot,
            self.supervisor.activity,
            self.host.budget.grace,
            self.host.budget.overrun_s,
            self.host.budget.most_overrun_s,
        )
        if spent is not None:
            self.stop(spent)

    async def _last_verdict(self) -> Verdict | None:
        """Check trunk while the swarm still reacts to events. None if the run ends before the check does."""
        return await self._meanwhile(self._checks.last_verdict(), self.supervisor.start_all)

    async def _meanwhile(self, work: Coroutine[None, None, T], look: Callable[[], None]) -> T | None:
        """Do some work, and `look` whenever something happens meanwhile. None if the run ends before the work does."""
        working = asyncio.ensure_future(work)
        working.add_done_callback(lambda _: self._wake.set())
        try:
            while not working.done() and self._outcome is None:
                await self._wait()
                look()
            return working.result() if working.done() else None
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    async def _end(self, helpers: list[asyncio.Task[None]]) -> None:
        """Let agents reach a safe point, stop all of them, then publish the refs and record the outcome."""
        self.supervisor.closing = True
        agents = list(self.supervisor.running.values())
        try:
            if agents and self._error is None and self._outcome is not None:
                await self._drain()
        finally:  # also if a second signal interrupts the draining
            for task in (*agents, *helpers):
                task.cancel()
            await asyncio.gather(*agents, *helpers, self._base_survey.close(), return_exceptions=True)
        if (outcome := self._outcome) is not None:
            await self.publisher.publish()
            outcome = run_end.published(outcome, self.snapshot)
            ended = e.RunStateChanged(outcome.state, outcome.reason, int(outcome.status))
            await self.durable(self.record(Draft(ended)))

    async def _drain(self) -> None:
        """Wait until no agent is active, at most DRAIN_S."""
        end = self.clock.monotonic() + DRAIN_S
        while self.clock.monotonic() < end:
            if not any(agent.state in ACTIVE for agent in self.supervisor.running_agents):
                return
            await self.clock.sleep(0.05)


def _bounded(command: c.Command) -> c.Command:
    """The command, whose values are within their bounds. Raises SwarmError (usage)."""
    try:
        bounded: c.Command = msgspec.convert(msgspec.to_builtins(command), type=c.Command)
    except msgspec.ValidationError as error:
        raise SwarmError(ErrorKind.USAGE, f"the command is not valid: {error}"[:300], "give a smaller value") from error
    return bounded
